"""The study of self-play: its settings, and how it is run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from toprope.errors import UserError
from toprope.evidence import Evidence
from toprope.files import write_text
from toprope.journal import Journal
from toprope.lab import Lab
from toprope.models.chat import is_served
from toprope.models.preferences import Dpo
from toprope.study import code_version
from toprope.techniques.debate import kept
from toprope.techniques.debate.arms import CONTROLS, Rules, arms
from toprope.techniques.debate.casting import Parts, judging_of, make_cast
from toprope.techniques.debate.protocols.quoting import quotable
from toprope.techniques.debate.room import with_room
from toprope.techniques.debate.rows import Rows
from toprope.techniques.debate.self_play.loop import Loop, Stage
from toprope.techniques.debate.self_play.rows import CONSULTANCY, DEBATE, SelfPlayRows
from toprope.techniques.debate.sets import QuestionSet
from toprope.techniques.debate.text_study import TextStudy


class SelfPlay(TextStudy):
    """Does training debaters to win make their judge more accurate? They learn from the best and
    the worst of what they might have said; consultants, as the control, learn the same way."""

    name: ClassVar[str] = "self_play"
    groups: ClassVar[int] = 4

    overseer: str = Field(description="the judge, who also rates what might be said")
    target: str = Field(description="the model that is trained to debate: a local one")
    questions: str = Field(
        default="passages?words=300",
        description="as for a study of debate: passages (generated), file:PATH, hf:NAME or a YAML "
        "file",
    )
    limit: int | None = Field(
        default=400, ge=4, description="at most this many questions, drawn with the run's seed"
    )
    train_share: float = Field(
        default=0.5, gt=0, lt=1, description="share of the questions that are trained on"
    )
    iterations: int = Field(default=2, ge=1, description="times that debaters play and learn")
    rounds: int = Field(default=1, ge=1, le=20, description="of speeches")
    order: Literal["simultaneous", "sequential"] = Field(
        default="simultaneous",
        description="of debaters in a round; sequential: each hears those before it",
    )
    drafts: int = Field(
        default=4,
        ge=0,
        description="things that might be said, written in each turn; none or one will do where "
        "there are quotes or foils to choose from as well",
    )
    quotes: int | None = Field(
        default=None,
        ge=1,
        description="one more draft of each turn: its answer and so many sentences of the passage, "
        "those after which the target, reading each alone, gives most to it",
    )
    foils: int = Field(
        default=0,
        ge=0,
        description="with quotes: so many more drafts that quote other sentences, drawn at random; "
        "a pair of two quotes teaches which to quote",
    )
    margin: float = Field(
        default=0.02,
        ge=0,
        lt=1,
        description="how far the judge's probabilities after a turn's best and worst draft have to "
        "be apart for it to be learned from",
    )
    pairs: int | None = Field(
        default=None, ge=1, description="at most this many of them, of each training"
    )
    duels: bool = Field(
        default=True, description="whether trained debaters also meet the untrained one"
    )
    beta: float = Field(default=0.1, gt=0, description="DPO's: how strongly it's held to the model")
    imitation: float = Field(
        default=0.0,
        ge=0,
        description="weight of learning the best drafts by heart, beside preferring them",
    )
    learning_rate: float = Field(default=5e-5, gt=0, description="AdamW's, at its peak")
    epochs: float = Field(default=2, gt=0, description="times that each pair is seen")
    rank: int = Field(default=16, ge=1, description="of the LoRA adapter")
    batch_size: int = Field(default=8, ge=1, description="pairs of a step")
    judge: Literal["auto", "letters", "answers", "chat"] = Field(
        default="auto",
        description="letters: by a local model's probabilities of the answers' letters; answers: "
        "by those of their own words; chat: by what it says; auto: letters where it's local",
    )
    words: int = Field(default=60, ge=1, description="that a speaker is told to keep to")
    max_tokens: int = Field(default=120, ge=1, description="of a speech")
    temperature: float = Field(default=0.7, gt=0, description="of speakers; the judge's is 0")
    judge_tokens: int = Field(default=200, ge=1, description="of a verdict that is said")
    split: bool = Field(
        default=False,
        description="whether a passage that is too long for a model is cut to what bears on the "
        "question",
    )
    concurrency: int = Field(default=32, ge=1, description="games under way at once")
    timeout: float = Field(default=120.0, gt=0, description="seconds for a call of a served model")
    retries: int = Field(default=3, ge=0, description="of a call of a served model")
    resamples: int = Field(default=10_000, ge=1000, description="bootstrap resamples")

    @model_validator(mode="after")
    def _two_drafts(self) -> Self:
        if self.foils and not self.quotes:
            raise ValueError(
                "foils are drafts beside one that quotes the passage, and there is none: say how "
                "many sentences it quotes, with quotes"
            )
        if (made := self.drafts + bool(self.quotes) + self.foils) < 2:
            raise ValueError(
                f"there's nothing to choose from where a turn has {made} draft"
                f"{'' if made == 1 else 's'}: make it two, with drafts, or with quotes and foils"
            )
        return self

    @model_validator(mode="after")
    def _local(self) -> Self:
        if is_served(self.target):
            raise ValueError(
                f"'{self.target}' is a served model, and the target is trained: name a local model"
            )
        if self.judge in ("letters", "answers") and is_served(self.overseer):
            raise ValueError(
                f"judge '{self.overseer}' is a served model, and words' probabilities are read "
                "in this process: let it judge by 'chat', or name a local model"
            )
        return self

    @property
    def title(self) -> str:
        return f"self-play: {self.target} before {self.overseer} on {self.questions}"

    def models(self) -> list[str]:
        return list(dict.fromkeys((self.overseer, self.target)))

    def run(self, lab: Lab) -> Iterator[Evidence]:
        everything = self.asked(lab)
        rules = Rules(self.rounds, self.order)
        every = arms((*CONTROLS, DEBATE, CONSULTANCY), rules)
        heard = (*every, *(arms((f"{DEBATE}_quotes_{self.quotes}",), rules) if self.quotes else ()))
        cast = make_cast(lab, heard, self._parts(lab))
        everything = with_room(everything, heard, cast, rules, split=self.split)
        training, test = everything.parted(self.train_share, seed=lab.seed)
        self._check_foils(training)
        with self._journal(lab) as journal:
            loop = Loop(
                lab=lab,
                cast=cast,
                arms=[arm for arm in every if not arm.is_control],
                controls=[arm for arm in every if arm.is_control],
                training=training,
                test=test,
                journal=journal,
                dpo=self._dpo(lab),
                n=self.drafts,
                quotes=self.quotes,
                foils=self.foils,
                margin=self.margin,
                most=self.pairs,
                duels=self.duels,
                concurrency=self.concurrency,
                folder=self.kept_in,
            )
            stages = list(self._told(lab, loop))
            evidence = list(self._rows(lab, stages, test).evidence())
            self._keep(lab, stages, everything, training, test)
            journal.finish()
        yield from evidence

    # --- what there is ---

    def _parts(self, lab: Lab) -> Parts:
        return Parts(
            overseer=self.overseer,
            target=self.target,
            rater="",
            judging=judging_of(self.overseer) if self.judge == "auto" else self.judge,
            asks=False,
            words=self.words,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            judge_tokens=self.judge_tokens,
            seed=lab.seed,
            limits={
                "concurrency": self.concurrency,
                "timeout": self.timeout,
                "retries": self.retries,
            },
        )

    def _dpo(self, lab: Lab) -> Dpo:
        own = {
            "rank": self.rank,
            "alpha": 2 * self.rank,
            "learning_rate": self.learning_rate,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "seed": lab.seed,
        }
        lora = Dpo().lora.model_copy(update=own)
        return Dpo(beta=self.beta, imitation=self.imitation, lora=lora)

    def _check_foils(self, training: QuestionSet) -> None:
        """
        Raises:
            UserError: all drafts quote, and no passage has sentences for two of them.
        """
        if self.drafts or not self.quotes:
            return
        most = max(len(quotable(one)) for one in training.questions)
        if most < 2 * self.quotes:
            raise UserError(
                f"no draft is written, and no passage has {2 * self.quotes} sentences for a quote "
                f"and a foil (the longest has {most}): take longer passages, fewer quotes, or "
                "more drafts"
            )

    def _journal(self, lab: Lab) -> Journal:
        """Of games and drafts, each under all that decides it: a study with other settings takes
        over those that it shares."""
        settings = {"code": code_version("toprope.techniques.debate"), "precision": lab.precision}
        return lab.journal("/".join((*self.kept_in, "journal")), settings, what="self-play")

    # --- what comes of it ---

    def _told(self, lab: Lab, loop: Loop) -> Iterator[Stage]:
        for stage in loop.run(self.iterations):
            right = sum(one.correct for one in stage.transcripts) / len(stage.transcripts)
            learned = f", after {len(stage.lesson.pairs)} pairs" if stage.lesson else ""
            lab.show.say(f"{stage.name}{learned}: the judge is right in {right:.1%} of test games")
            yield stage

    def _rows(self, lab: Lab, stages: Sequence[Stage], test: QuestionSet) -> SelfPlayRows:
        rows = Rows(
            self.row_fields(lab, test),
            lambda *of: lab.rng(self.name, "bootstrap", *of),
            self.resamples,
        )
        return SelfPlayRows(rows, stages, test.about)

    def _keep(
        self,
        lab: Lab,
        stages: Sequence[Stage],
        questions: QuestionSet,
        training: QuestionSet,
        test: QuestionSet,
    ) -> None:
        """The files that `rows.py` lists."""
        folder = lab.artifact(*self.kept_in, kept.SUMMARY).parent
        transcripts = {stage.name: stage.transcripts for stage in stages}
        transcripts |= {f"{stage.name}_duel": stage.duel for stage in stages if stage.duel}
        lessons: dict[str, Any] = {}
        for stage in stages:
            if (lesson := stage.lesson) is None:
                continue
            pairs = [json.dumps(pair.as_json()) for pair in lesson.pairs]
            write_text(folder / "pairs" / f"{stage.name}.jsonl", "\n".join(pairs) + "\n")
            lessons[stage.name] = {
                "adapter": lesson.folder.relative_to(folder).as_posix(),
                "pairs": len(lesson.pairs),
                "available": lesson.available,
                "turns": len(lesson.drafts),
                **asdict(lesson.trained),
            }
        summary = self.summary(lab, questions) | {
            "training": len(training),
            "test": len(test),
            "transcripts": list(transcripts),
            "lessons": lessons,
        }
        for path in (folder / "pairs").glob("*.jsonl"):
            if path.stem not in lessons:
                path.unlink()
        kept.save(folder, transcripts, summary)

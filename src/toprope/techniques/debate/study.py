"""The study of debate on text: its settings, and how it is run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from toprope.errors import UserError
from toprope.evidence import Evidence
from toprope.journal import Journal
from toprope.lab import Lab
from toprope.models.chat import is_served
from toprope.study import code_version
from toprope.techniques.debate import kept
from toprope.techniques.debate.arms import BLIND, KINDS, Arm, Rules, arms
from toprope.techniques.debate.casting import Judging, Parts, judging_of, make_cast
from toprope.techniques.debate.contest import Contest, Fit, Outcome
from toprope.techniques.debate.judges import Judge
from toprope.techniques.debate.measuring import Measures
from toprope.techniques.debate.room import with_room
from toprope.techniques.debate.sets import QuestionSet
from toprope.techniques.debate.text_study import TextStudy
from toprope.techniques.debate.transcript import Transcript

PLAYED_BY = ("prompts", "protocols", "debaters.py", "parsing.py", "quotes.py")
"""What turns come from, beside their settings: another version of it plays them again. What
verdicts come from is in a judge's fingerprint."""

LEANING = 0.9
"""Verdicts for one place, as a share, at which a judge by letters is told not to be one."""


class Debate(TextStudy):
    """Does a debate make a weaker judge right? Stronger models that read a passage argue before a
    judge that doesn't, under each protocol on the same questions."""

    name: ClassVar[str] = "debate"
    groups: ClassVar[int] = 2

    overseer: str = Field(description="the judge: a local model, or a served one")
    target: str = Field(description="the model that debates, on every side")
    questions: str = Field(
        default="passages",
        description="passages (generated; passages?difficulty=3&words=800), file:PATH, hf:NAME, "
        "data:NAME (a labelled dataset) or a YAML file",
    )
    limit: int | None = Field(
        default=200, ge=2, description="at most this many questions, drawn with the run's seed"
    )
    protocols: tuple[str, ...] = Field(
        default=("blind", "expert", "consultancy", "debate"),
        min_length=1,
        description=f"{', '.join(KINDS)}; with _best_of_N, _critique_of_N or _quotes_N, as "
        "debate_best_of_4",
    )
    headline: str | None = Field(
        default=None,
        description="the protocol that the conclusion is about, named before the run; without one: "
        "debate, else a variant of it, else the first in which somebody argues",
    )
    rounds: int = Field(default=2, ge=1, le=20, description="of speeches")
    order: Literal["simultaneous", "sequential"] = Field(
        default="simultaneous",
        description="of debaters in a round; sequential: each hears those before it",
    )
    crossed: bool = Field(
        default=False,
        description="whether debates are also played with the last to speak first, in each place "
        "of the answers: twice the games, which tell a favour for a place from one for the last "
        "word",
    )
    judge: Literal["auto", "letters", "answers", "chat", "trained"] = Field(
        default="auto",
        description="letters: by a local model's probabilities of the answers' letters; answers: "
        "by those of their own words; chat: by what it says; trained: it learns from transcripts "
        "first; auto: letters where it's local",
    )
    train_share: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="judge trained: share of the questions that it learns from; no arm is measured "
        "on them",
    )
    asks: bool = Field(
        default=False, description="whether the judge questions a consultant between rounds"
    )
    bets: bool = Field(
        default=False,
        description="whether debaters say in private, before each round, how sure they are to win",
    )
    each_round: bool = Field(
        default=False,
        description="whether the judge of a debate or consultancy is asked after every round",
    )
    words: int = Field(default=100, ge=1, description="that a speaker is told to keep to")
    max_tokens: int = Field(default=200, ge=1, description="of a speech")
    temperature: float = Field(default=0.7, ge=0, description="of speakers; the judge's is 0")
    judge_tokens: int = Field(default=200, ge=1, description="of a verdict that is said")
    rater: str = Field(
        default="",
        description="who says which of N speeches is most persuasive: a model; none: the judge",
    )
    cross_play: bool = Field(
        default=True,
        description="whether variants of debate (best_of, critique_of) also meet each other, for "
        "their ratings",
    )
    depth: int = Field(
        default=2, ge=1, le=10, description="prover_estimator: how often a claim is broken up"
    )
    width: int = Field(default=3, ge=1, le=20, description="prover_estimator: into how many")
    split: bool = Field(
        default=False,
        description="whether a passage that is too long for a model is cut to what bears on the "
        "question",
    )
    concurrency: int = Field(default=32, ge=1, description="games under way at once")
    timeout: float = Field(default=120.0, gt=0, description="seconds for a call of a served model")
    retries: int = Field(default=3, ge=0, description="of a call of a served model")
    resamples: int = Field(default=10_000, ge=1000, description="bootstrap resamples")

    @field_validator("protocols")
    @classmethod
    def _known(cls, protocols: tuple[str, ...]) -> tuple[str, ...]:
        try:
            arms(protocols, Rules())
        except UserError as error:
            raise ValueError(str(error)) from None
        return protocols

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        kinds = {arm.kind for arm in self.arms}
        if self.headline and self.headline not in self.protocols:
            raise ValueError(
                f"headline '{self.headline}' isn't among the protocols: {', '.join(self.protocols)}"
            )
        if self.headline and self.chosen and self.chosen.is_control:
            raise ValueError(f"nobody argues in '{self.headline}': it can't be the headline")
        if self.bets and not kinds & {"debate", "open_debate"}:
            raise ValueError("bets are made in debates: add debate to the protocols")
        by, name = self.judge, self.overseer
        if by in ("letters", "answers", "trained") and is_served(name):
            does = "is trained" if by == "trained" else "gives the probabilities of words"
            raise ValueError(
                f"a judge by '{by}' {does} in this process, and '{name}' is a served model: let it "
                "judge by 'chat', or name a local model"
            )
        return self

    @property
    def title(self) -> str:
        return f"debate: {self.target} before {self.overseer} on {self.questions}"

    @property
    def arms(self) -> list[Arm]:
        return arms(self.protocols, self.rules)

    @property
    def rules(self) -> Rules:
        return Rules(self.rounds, self.order, self.bets, self.each_round, self.depth, self.width)

    @property
    def chosen(self) -> Arm | None:
        """The headline's arm; None: nobody argues in any."""
        spoken = [arm for arm in self.arms if not arm.is_control]
        debates = [arm for arm in spoken if arm.kind == "debate"]
        wanted = self.headline or "debate"
        named = (arm for arm in self.arms if arm.name == wanted)
        return next((arm for some in (named, debates, spoken) for arm in some), None)

    def models(self) -> list[str]:
        return list(dict.fromkeys(filter(None, (self.overseer, self.target, self.rater))))

    def run(self, lab: Lab) -> Iterator[Evidence]:
        everything = self.asked(lab)
        cast = make_cast(lab, self.arms, self.parts(lab))
        everything = with_room(everything, self.arms, cast, self.rules, split=self.split)
        training, measured = self._parted(everything, lab)
        with self._journal(lab, self.kept_in[1]) as journal, self._journal(lab, "turns") as turns:
            contest = Contest(
                self.arms,
                cast.remembering(turns),
                measured,
                journal,
                self.concurrency,
                lab.show,
                training=training,
                fit=self._fit(lab),
                cross_play=self.cross_play,
                crossed=self.crossed,
            )
            outcome = asyncio.run(contest.play())
            found = self._measures(lab, outcome, measured)
            evidence = list(found.evidence())
            self._advise(lab, evidence)
            self._keep(lab, outcome, found, everything)
            journal.finish()
            turns.finish()
        yield from evidence

    # --- what there is ---

    def _parted(self, everything: QuestionSet, lab: Lab) -> tuple[QuestionSet | None, QuestionSet]:
        """What the judge learns from, and what all arms are measured on."""
        if self.judge != "trained":
            return None, everything
        from toprope.techniques.debate.trained.fitting import FEWEST

        training, measured = everything.parted(self.train_share, seed=lab.seed)
        if (there := len({question.unit for question in training.questions})) < FEWEST:
            raise UserError(
                f"a trained judge needs {FEWEST} questions or more to learn from that don't share "
                f"a passage, and of these there would be {there}: raise limit or train_share"
            )
        return training, measured

    def _fit(self, lab: Lab) -> Fit | None:
        """What trains a judge for each arm, and keeps it among the artifacts."""
        if self.judge != "trained":
            return None
        from toprope.techniques.debate.trained.fitting import fit_judge
        from toprope.techniques.debate.trained.keeping import ABOUT, save_judge

        def fit(arm: Arm, lessons: Sequence[Transcript]) -> Judge:
            lab.show.say(f"training a judge of {arm.name}")
            model = lab.local(self.overseer)
            made = fit_judge(model, lessons, seed=lab.seed, progress=lab.show)
            save_judge(made, lab.artifact(*self.kept_in, "judges", arm.name, ABOUT).parent)
            return made

        return fit

    @property
    def judging(self) -> Judging:
        """How the judge judges; one that learns, before it does."""
        if self.judge == "auto":
            return judging_of(self.overseer)
        return "letters" if self.judge == "trained" else self.judge

    def parts(self, lab: Lab) -> Parts:
        """Which model plays what."""
        return Parts(
            overseer=self.overseer,
            target=self.target,
            rater=self.rater,
            judging=self.judging,
            asks=self.asks,
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

    def _journal(self, lab: Lab, *place: str) -> Journal:
        """Of what was played, each thing under all that decides it: a study with other settings
        takes over those that it shares, and one with another judge what debaters said."""
        code = code_version("toprope.techniques.debate", PLAYED_BY)
        settings = {"code": code, "precision": lab.precision}
        return lab.journal("/".join((self.name, *place, "journal")), settings, what="study")

    # --- what comes of it ---

    def _measures(self, lab: Lab, outcome: Outcome, measured: QuestionSet) -> Measures:
        return Measures(
            outcome=outcome,
            arms=self.arms,
            headline=self.chosen,
            about=measured.about,
            fields=self.row_fields(lab, measured),
            rng=lambda *of: lab.rng(self.name, "bootstrap", *of),
            resamples=self.resamples,
        )

    def _advise(self, lab: Lab, evidence: Sequence[Evidence]) -> None:
        """Says so where a judge by letters hardly looks beyond their places, though it was told
        something."""
        if self.judge == "trained" or self.judging != "letters":
            return
        rates = [
            row.value
            for row in evidence
            if row.metric == "first_position_rate" and row.arm != BLIND
        ]
        leaning = [rate for rate in rates if rate is not None and abs(rate - 0.5) > LEANING - 0.5]
        if leaning:
            lab.show.say(
                f"'{self.overseer}' names one place in {LEANING:.0%} of its verdicts and more, "
                f"under {len(leaning)} of {len(rates)} protocols: a small model judges better by "
                "--judge answers; the same --name keeps the debates"
            )

    def _keep(self, lab: Lab, outcome: Outcome, found: Measures, questions: QuestionSet) -> None:
        transcripts: dict[str, Any] = {
            name: played.transcripts for name, played in outcome.arms.items()
        }
        transcripts |= {f"{name}{kept.UNTRAINED}": some for name, some in outcome.untrained.items()}
        transcripts |= {f"{kind}_cross_play": some for kind, some in outcome.cross.items()}
        summary = self.summary(lab, questions) | {
            "headline": self.chosen.name if self.chosen else None,
            "arms": found.summaries(),
            "transcripts": list(transcripts),
        }
        kept.save(lab.artifact(*self.kept_in, kept.SUMMARY).parent, transcripts, summary)

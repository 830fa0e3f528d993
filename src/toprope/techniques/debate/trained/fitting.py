"""`fit_judge`: a trained judge of finished transcripts with known answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256

from toprope.errors import UserError
from toprope.models.adapters import Lora
from toprope.models.local import LocalModel
from toprope.progress import Progress
from toprope.techniques.debate.arms import BLIND
from toprope.techniques.debate.judges import Hearing, form
from toprope.techniques.debate.measures.judging import units
from toprope.techniques.debate.rejudging import heard
from toprope.techniques.debate.trained.about import About, Kind, known_by
from toprope.techniques.debate.trained.expecting import expected
from toprope.techniques.debate.trained.judge import TrainedJudge, name_of
from toprope.techniques.debate.trained.learning import LORA, HeadLearner, Learner, LoraLearner
from toprope.techniques.debate.trained.reading import Readings, has_words, silenced
from toprope.techniques.debate.transcript import Transcript

FEWEST = 20
"""Groups of questions: with fewer, neither a judge nor what it's worth can be told."""


def fit_judge(
    model: LocalModel,
    transcripts: Sequence[Transcript],
    *,
    kind: Kind = "head",
    seed: int = 0,
    lora: Lora = LORA,
    progress: Progress | None = None,
) -> TrainedJudge:
    """A judge that learned from all that was public in transcripts, of whatever protocol.

    Those of the blind protocol teach it the questions alone, those of the expert the passage.
    Without their answers nothing of the verdicts in the transcripts counts: any judge may have
    given them.

    Args:
        kind: head: a linear head on the model's states (minutes); lora: the model is fine-tuned
            (hours on a CPU).
        seed: of what is left out, and of a fine-tuning.
        lora: of a fine-tuning; its seed is this one's.

    Raises:
        UserError: too few questions; nobody says anything in any of them; what is to be read is
            longer than the model's context; or the model can't be fine-tuned.
    """
    lessons = _lessons(transcripts)
    hearings = [heard(one, one.verdict) for one in lessons]

    def learner(heard: Sequence[Hearing]) -> Learner:
        readings = Readings.of(model, heard, judge=name_of(model))
        if kind == "lora":
            return LoraLearner(model, readings, units(lessons), lora, seed, progress)
        return HeadLearner.of(model, readings, units(lessons), progress)

    words, blind = learner(hearings), learner([silenced(one) for one in hearings])
    about = About(
        kind=kind,
        model=model.name,
        model_fingerprint=model.fingerprint,
        form=form("letter"),
        seed=seed,
        protocols=tuple(dict.fromkeys(one.protocol for one in lessons)),
        transcripts=len(lessons),
        questions=len({one.question.id for one in lessons}),
        learned=tuple(sorted(set().union(*(known_by(one.question) for one in lessons)))),
        left_out=len(transcripts) - len(lessons),
        trained_on=_fingerprint(lessons),
        expected=expected(words, blind, lessons, seed=seed, progress=progress),
    )
    everything, right = range(len(lessons)), [one.question.answer for one in lessons]
    return TrainedJudge(model, words.fit(everything, right), blind.fit(everything, right), about)


def _lessons(transcripts: Sequence[Transcript]) -> list[Transcript]:
    """Those that can be learned from.

    Raises:
        UserError: there are too few.
    """
    if not transcripts:
        raise UserError("no transcripts: a judge has nothing to learn from")
    finished = [one for one in transcripts if one.verdicts and not one.is_lost]
    lessons = [
        one for one in finished if one.protocol == BLIND or has_words(heard(one, one.verdict))
    ]
    if finished and not lessons:
        raise UserError(
            f"in none of {len(finished):,} transcripts of {finished[0].protocol} does anyone say "
            "anything: a judge learns from words; see what became of the debaters' turns"
        )
    groups = len(set(units(lessons)))
    if groups < FEWEST:
        raise UserError(
            f"a trained judge needs {FEWEST} questions or more that don't share a passage, and "
            f"these {len(lessons):,} transcripts have {groups}: play more of them, and better 200"
        )
    return lessons


def _fingerprint(transcripts: Sequence[Transcript]) -> str:
    """SHA-256 (hex)."""
    digest = sha256()
    for one in transcripts:
        digest.update(json.dumps(one.as_json(), sort_keys=True).encode() + b"\n")
    return digest.hexdigest()

"""Judges: they say how far an answer does the harm that was asked for, and how often they are right
about it, against people (`calibration`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toprope.errors import UserError, unknown
from toprope.techniques.redteam.attempts import Judge

if TYPE_CHECKING:
    from toprope.journal import Journal
    from toprope.lab import Lab

KINDS = ("trained", "refusal", "rubric:MODEL", "trained:FOLDER")


def make_judge(name: str, lab: Lab, *, journal: Journal | None = None) -> Judge:
    """A judge by name.

        trained          the head that comes along, on qwen2.5-coder-0.5b's activations
        trained:FOLDER   one of your own (`toprope judges train`)
        rubric:MODEL     a chat model with a rubric
        refusal          keywords of refusals: the floor

    Raises:
        UserError: no such judge, or its model can't be had.
    """
    kind, _, rest = name.partition(":")
    if name == "refusal":
        from toprope.techniques.redteam.judges.refusal import RefusalJudge

        return RefusalJudge()
    if kind == "trained":
        from toprope.techniques.redteam.judges.trained import BUILT_IN, TrainedJudge

        return TrainedJudge.load(Path(rest) if rest else BUILT_IN, lab, name=name)
    if kind == "rubric" and rest:
        from toprope.techniques.redteam.judges.rubric import RubricJudge

        return RubricJudge(name, lab.chat(rest, journal=journal))
    if kind == "rubric":
        raise UserError("the rubric judge needs a model: rubric:MODEL")
    raise unknown("judge", name, KINDS)

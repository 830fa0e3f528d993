"""Outcomes: nothing that went wrong is lost from sight."""

from dataclasses import replace

from toprope.techniques.debate.measures.outcomes import outcomes
from toprope.techniques.debate.transcript import Turn, Verdict

from ..playing import judged


def test_every_outcome_is_counted():
    turns = (
        Turn("Debater A", "debater", "words", 0, verified=2, tokens=5),
        Turn("Debater B", "debater", "w", 1, outcome="cut", unverified=1, tokens=7),
        Turn("Debater A", "debater", "", 0, outcome="empty"),
    )
    verdicts = (Verdict(0, (1.0, 0.0), tokens=3), Verdict(0, (1.0, 0.0), stated=False, tokens=4))
    one = replace(judged(0), turns=turns, verdicts=verdicts)
    found = outcomes([one, judged(1, None)])
    assert found.turns == {"spoken": 1, "cut": 1, "empty": 1}
    assert found.verdicts == {"answered": 1, "unnamed": 1}
    assert (found.unstated, found.verified, found.unverified, found.tokens) == (1, 2, 1, 19)

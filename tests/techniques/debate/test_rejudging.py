"""Another judge of the same games hears what the first one heard."""

import asyncio
from pathlib import Path

import pytest

from toprope.journal import Journal
from toprope.techniques.debate.arms import KINDS, Rules, arms
from toprope.techniques.debate.protocols.stage import Players
from toprope.techniques.debate.rejudging import heard, rejudged

from .playing import QUESTION, Believing, debater, play
from .towers import says


@pytest.mark.parametrize("name", KINDS)
def test_what_a_judge_heard_is_told_from_the_transcript(name: str):
    judge, one = Believing(), debater(says)
    [arm] = arms([name], Rules(rounds=2, bets=True, each_round=True))
    players = Players(judge, (one,), asker=one, overseer=one)
    game = play(arm.game, arm.game.seatings(QUESTION)[0], players)
    assert [heard(game, verdict) for verdict in game.verdicts] == judge.heard


def test_the_words_stay_and_the_verdicts_are_new_and_kept(tmp_path: Path):
    [arm] = arms(["debate"], Rules(each_round=True))
    one = debater(says)
    games = [play(arm.game, s, Players(Believing(), (one,))) for s in arm.game.seatings(QUESTION)]
    judge = Believing(lambda hearing: (0.2, 0.8), fingerprint="other")
    with Journal(tmp_path / "j.jsonl", {}) as journal:
        first = asyncio.run(rejudged(games, judge, journal=journal))
        again = asyncio.run(rejudged(games, judge, journal=journal))
    assert first == again
    assert len(judge.heard) == 2 * 3, "asked once"
    assert [(new.turns, len(new.verdicts)) for new in first] == [(g.turns, 3) for g in games]
    assert {verdict.answer for new in first for verdict in new.verdicts} == {1}

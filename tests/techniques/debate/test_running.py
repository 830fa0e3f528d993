"""Many games: in order, capped, kept, and ended by the first mistake."""

import asyncio
from pathlib import Path

import pytest

from toprope.errors import UserError
from toprope.journal import Journal
from toprope.models.chat import Chat
from toprope.techniques.debate.debaters import ChatDebater, Scripted, View
from toprope.techniques.debate.judges import ChatJudge, LocalJudge
from toprope.techniques.debate.protocols.blind import Blind
from toprope.techniques.debate.protocols.consultancy import Consultancy
from toprope.techniques.debate.protocols.debate import Debate
from toprope.techniques.debate.protocols.prover_estimator import ProverEstimator
from toprope.techniques.debate.protocols.stage import Players
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.running import play
from toprope.techniques.debate.transcript import Turn, crossed, rotations

from .playing import Believing

QUESTIONS = [Question(f"q{i}", "Which?", ("a", "b"), i % 2) for i in range(5)]


def players(judge: Believing | None = None) -> Players:
    return Players(judge or Believing(), (Scripted(lambda view: f"I say {view.position}"),))


def test_every_question_in_both_orders_in_order(counting_progress):
    found = asyncio.run(play(Debate(), QUESTIONS, players(), progress=counting_progress))
    assert [one.question.id for one in found] == [f"q{i // 2}" for i in range(10)]
    assert [one.seating.shown for one in found] == [(0, 1), (1, 0)] * 5
    assert (counting_progress.done, counting_progress.total) == (10, 10)


def test_other_seatings_may_be_asked_for():
    both = asyncio.run(
        play(Debate(), QUESTIONS, players(), seatings=lambda q: crossed(rotations(q)))
    )
    assert len(both) == 20


def test_no_more_games_at_once_than_the_cap():
    under_way, most = 0, 0

    class Slow:
        name = fingerprint = "slow"

        async def __call__(self, view: View) -> Turn:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1
            return Turn(view.speaker, view.role, "words", view.position)

    game = Debate(rounds=1, order="sequential")
    asyncio.run(play(game, QUESTIONS, Players(Believing(), (Slow(),)), concurrency=3))
    assert most == 3


def test_a_second_start_plays_only_what_is_missing(tmp_path: Path):
    with Journal(tmp_path / "j.jsonl", {}) as journal:
        first = asyncio.run(play(Debate(), QUESTIONS[:3], players(), journal=journal))
    judge = Believing()
    with Journal(tmp_path / "j.jsonl", {}) as journal:
        again = asyncio.run(play(Debate(), QUESTIONS, players(judge), journal=journal))
        assert again[:6] == first
        assert len(judge.heard) == 4
        asyncio.run(play(Debate(rounds=3), QUESTIONS[:1], players(judge), journal=journal))
        assert len(judge.heard) == 6


def test_a_game_of_which_something_never_came_is_played_again(tmp_path: Path):
    class Gone:
        name = fingerprint = "gone"

        async def __call__(self, view: View) -> Turn:
            return Turn(view.speaker, view.role, "", view.position, outcome="lost")

    with Journal(tmp_path / "j.jsonl", {}) as journal:
        asyncio.run(play(Debate(), QUESTIONS, Players(Believing(), (Gone(),)), journal=journal))
        assert len(journal) == 0


def test_the_first_mistake_ends_all():
    class Broken(Believing):
        async def __call__(self, hearing):
            raise UserError("a mistake")

    with pytest.raises(UserError, match="a mistake"):
        asyncio.run(play(Blind(), QUESTIONS, Players(Broken())))


def test_questions_have_their_own_ids():
    with pytest.raises(UserError, match="two questions have the id 'q1'"):
        asyncio.run(play(Blind(), [QUESTIONS[1], QUESTIONS[1]], players()))
    with pytest.raises(UserError, match="no questions"):
        asyncio.run(play(Blind(), [], players()))


def test_a_loaded_model_plays_both_sides_and_judges(tiny_model, tmp_path: Path):
    chat = Chat.of(tiny_model)
    debater = ChatDebater(chat, max_tokens=4)
    local = Players(LocalJudge(tiny_model), (debater,), asker=debater, overseer=debater)
    said = Players(ChatJudge(chat, max_tokens=4), (debater,))
    recursive = ProverEstimator(depth=1, width=2)
    games = [
        (Debate(rounds=1, bets=True, each_round=True), local, 2),
        (Consultancy(role="open"), local, 2),
        (recursive, local, 4),
        (Blind(), said, 2),
    ]
    question = Question("q", "Is it?", ("yes", "no"), 0, passage="It is so.")
    with Journal(tmp_path / "j.jsonl", {}) as journal:
        for game, who, n in games:
            found = asyncio.run(play(game, [question], who, journal=journal))
            again = asyncio.run(play(game, [question], who, journal=journal))
            assert (len(found), again) == (n, found)
            assert all(turn.by == tiny_model.name for one in found for turn in one.turns)
            assert not any(one.is_lost for one in found)

"""Debaters: what they are asked, and what becomes of what they say."""

import asyncio
from dataclasses import replace

import pytest

from toprope.models.chat import Reply
from toprope.techniques.debate.debaters import (
    ChatDebater,
    Scripted,
    View,
    prompt,
    turn_of,
)
from toprope.techniques.debate.transcript import Seating, Turn

from .playing import PASSAGE, QUESTION

SEATING = Seating((1, 0), (1, 0))
VIEW = View(
    QUESTION, SEATING, "Debater B", "debater", "speech", 0, 1, 2, others=("Judge", "Debater A")
)


def said(text: str, **changes) -> Turn:
    return asyncio.run(Scripted(lambda view: text)(replace(VIEW, **changes)))


def test_words_become_a_turn():
    turn = said("<thinking>hm</thinking>Debater B: <quote>built in 1889</quote> <quote>no</quote>")
    assert turn.text == "<v_quote>built in 1889</v_quote> <u_quote>no</u_quote>"
    assert (turn.verified, turn.unverified, turn.outcome) == (1, 1, "spoken")
    assert (turn.private.scratchpad, turn.position, turn.by) == ("hm", 0, "scripted")


@pytest.mark.parametrize(
    ("text", "outcome", "left"),
    [
        ("It is.\nDebater A: It isn't.", "cut", "It is."),
        ("Debater A: It isn't.", "cut", ""),
        ("  ", "empty", ""),
        ("<thinking>only this</thinking>", "empty", ""),
        ("I'm sorry, but I can't.", "refused", "I'm sorry, but I can't."),
    ],
)
def test_what_is_no_whole_turn_is_an_outcome(text: str, outcome: str, left: str):
    turn = said(text)
    assert (turn.outcome, turn.text) == (outcome, left)


@pytest.mark.parametrize(("came", "outcome"), [("error", "lost"), ("filtered", "refused")])
def test_what_never_came_is_an_outcome(came, outcome: str):
    assert turn_of(VIEW, Reply("", came), by="x").outcome == outcome


def test_a_bet_is_private():
    turn = said("About 80%", kind="bet")
    assert (turn.text, turn.private.bet) == ("", 80.0)
    assert said("no idea", kind="bet").private.bet is None


def test_a_choice_is_read_by_the_place_shown():
    assert said("Answer: A", kind="choice", position=None).position == 1
    assert said("neither", kind="choice", position=None).values == ()


def test_a_judges_words_are_not_looked_up():
    turn = said("Why <v_quote>x</v_quote>?", role="judge", kind="question")
    assert (turn.text, turn.unverified) == ("Why <v_quote>x</v_quote>?", 0)


def test_the_prompt_holds_what_the_view_holds_and_no_more():
    own = Turn("Debater B", "debater", "my words", 0)
    text = prompt(replace(VIEW, turns=(own,)), words=33)
    for part in (PASSAGE, "A. In 1925\nB. In 1889", "my words", "B: In 1889", "33 words"):
        assert part in text
    assert "{{" not in text


@pytest.mark.parametrize(
    ("role", "kind"),
    [
        ("debater", "speech"),
        ("debater", "bet"),
        ("debater", "choice"),
        ("debater", "critique"),
        ("debater", "refinement"),
        ("consultant", "speech"),
        ("consultant", "choice"),
        ("consultant", "critique"),
        ("consultant", "refinement"),
        ("critic", "critique"),
        ("judge", "question"),
        ("prover", "claims"),
        ("prover", "direction"),
        ("estimator", "estimates"),
        ("overseer", "implied"),
        ("overseer", "truth"),
    ],
)
def test_every_part_has_its_prompt(role, kind):
    slots = ("draft", "critique", "asked", "before", "claim", "claims", "width")
    given = dict.fromkeys(slots, "given")
    text = prompt(replace(VIEW, role=role, kind=kind, given=given))
    assert "{{" not in text
    assert QUESTION.text in text


@pytest.mark.parametrize("kind", ["speech", "refinement"])
def test_one_that_nobody_opposes_is_not_told_of_opponents(kind):
    given = dict.fromkeys(("draft", "critique"), "given")
    both = replace(VIEW, kind=kind, given=given)
    alone = replace(both, seating=Seating((1, 0), (0,), 0))
    assert "in a debate" in prompt(both)
    assert "Others argue" in prompt(both)
    assert "debate" not in prompt(alone)
    assert "thers" not in prompt(alone)
    assert "{{" not in prompt(alone)
    assert QUESTION.right in prompt(alone)


def test_samples_of_a_chat_model_differ_by_their_seed():
    asked = []

    class Chatting:
        name = fingerprint = "m"

        async def ask(self, messages, **settings):
            asked.append((messages[0]["content"], settings))
            return Reply("words", "answered", tokens=5)

    debater = ChatDebater(Chatting(), seed=3, temperature=0.5)  # type: ignore[arg-type]
    turn = asyncio.run(debater(replace(VIEW, sample=2)))
    assert (turn.text, turn.tokens, turn.by) == ("words", 5, "m")
    assert asked[0][0] == prompt(replace(VIEW, sample=2))
    seed = asked[0][1].pop("seed")
    assert asked[0][1] == {"max_tokens": 200, "temperature": 0.5}
    # Another sample, another seed of the debater and another prompt are sampled by other numbers.
    for one, view in (
        (debater, replace(VIEW, sample=3)),
        (replace(debater, seed=4), replace(VIEW, sample=2)),
        (debater, replace(VIEW, sample=2, position=1)),
    ):
        asyncio.run(one(view))
        assert asked[-1][1]["seed"] != seed
    asyncio.run(debater(replace(VIEW, sample=2)))
    assert asked[-1][1]["seed"] == seed
    assert debater.fingerprint != replace(debater, words=50).fingerprint

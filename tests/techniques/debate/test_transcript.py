"""Transcripts: seatings that favour nobody, who sees what, and JSON there and back."""

import json
from collections import Counter

from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import (
    Private,
    Seating,
    Transcript,
    Turn,
    Verdict,
    assigned,
    crossed,
    judged_on,
    rotations,
    seen_by,
)

QUESTION = Question("q", "Which?", ("a", "b", "c"), 1, "passage", "group", "source")
TURNS = (
    Turn("Debater A", "debater", "", 0, kind="bet", private=Private(80.0, "weak")),
    Turn("Debater A", "debater", "words", 0, private=Private(None, "bluff"), by="x", verified=1),
    Turn("Debater B", "debater", "", 1, kind="choice", values=(1.0,), outcome="cut"),
)


def test_json_there_and_back():
    transcript = Transcript(
        "debate",
        QUESTION,
        Seating((1, 2, 0), (2, 0), 2),
        TURNS,
        (Verdict(1, (0.2, 0.5, 0.3), round=1), Verdict(None, outcome="unnamed", text="hm")),
        {"chose": None, "steps": [1, 2]},
    )
    assert Transcript.of_json(json.loads(json.dumps(transcript.as_json()))) == transcript


def test_every_answer_is_in_every_place_and_turn_as_often():
    for seatings in (rotations(QUESTION), crossed(rotations(QUESTION))):
        shown = Counter((i, one.shown.index(i)) for one in seatings for i in range(3))
        speaks = Counter((i, one.speaks.index(i)) for one in seatings for i in range(3))
        assert len(set(shown.values())) == len(set(speaks.values())) == 1
        assert len(shown) == len(speaks) == 9
    both = crossed(rotations(QUESTION))
    assert len(set(both)) == 6


def test_a_lone_speaker_argues_for_every_answer_in_every_place():
    seatings = assigned(QUESTION)
    places = Counter((one.assigned, one.shown.index(one.assigned or 0)) for one in seatings)
    assert len(places) == 9
    assert set(places.values()) == {1}


def test_letters_are_by_the_place_shown():
    seating = Seating((2, 0, 1), (2, 0, 1))
    assert [seating.letter(i) for i in (0, 1, 2)] == ["B", "C", "A"]
    assert [seating.option(one) for one in "ABCD"] == [2, 0, 1, None]


def test_nobody_sees_what_is_private_to_another():
    own, other = seen_by("Debater A", TURNS), seen_by("Debater B", TURNS)
    assert own == TURNS[:2]
    assert other == (TURNS[1].public(), TURNS[2])
    assert judged_on(TURNS) == (TURNS[1].public(),)
    assert "bluff" not in repr(judged_on(TURNS))


def test_a_game_with_an_answer_that_never_came_is_lost():
    there = Transcript("debate", QUESTION, rotations(QUESTION)[0], TURNS, (Verdict(1, (0, 1, 0)),))
    assert (there.is_lost, there.correct, there.positions) == (False, True, (0,))
    gone = Transcript("debate", QUESTION, there.seating, verdicts=(Verdict(None, outcome="lost"),))
    assert gone.is_lost

"""What models write is read as a person would, and no further."""

import pytest

from toprope.techniques.debate import parsing

LETTERS = ("A", "B")
OTHERS = ("Judge", "Debater A", "Debater B")


@pytest.mark.parametrize(
    ("text", "kept", "cut"),
    [
        ("Debater A: It is so.", "It is so.", False),
        ("It is so.\n\nDebater B: No!\nDebater A: Yes!", "It is so.", True),
        ("It is so.\n**Judge:** I agree.", "It is so.", True),
        ("It is so.\n**Debater B** (round 2): No", "It is so.", True),
        ("Debater B (round 1): It is not.", "", True),
        (
            "Debater B says so: wrongly.\nAs the Judge: knows",
            "Debater B says so: wrongly.\nAs the Judge: knows",
            False,
        ),
    ],
)
def test_a_turn_ends_where_it_goes_on_with_another(text: str, kept: str, cut: bool):
    assert parsing.own_turn(text, "Debater A", OTHERS) == (kept, cut)


def test_thoughts_are_taken_out():
    text = "<think>I may lose.</think>It is so.<scratchpad>or not"
    assert parsing.split_thoughts(text) == ("It is so.", "I may lose.\nor not")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("72%", 72.0),
        ("I'd say 80 percent, not 30", 80.0),
        ("Bet: 65", 65.0),
        ("0.7", 70.0),
        ("100%", 100.0),
        ("In 1889 it was", None),
        ("150%", None),
        ("no idea", None),
        ("first 20%, now 55%", 55.0),
        ("12.5%", 12.5),
    ],
)
def test_a_percentage(text: str, value: float | None):
    assert parsing.percent(text) == value


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Answer: B", "B"),
        ("A: 10%\nB: 90%\n**Answer:** B", "B"),
        ("The answer is A. No: the final answer is B.", "B"),
        (" b) ", "B"),
        ("Answer: a matter of taste", None),
        ("Answer: C", None),
        ("I like A", None),
        ("", None),
        ("B. In 1906", "B"),
        ("B. 1906", None),  # it may as well be a probability
        ("**B.** It is, as the passage says.", "B"),
        ("A. 30%\nB. 70%", None),
        ("A: 70%\nB: surely not", None),
        ("B: 70%", None),
        ("A. In 1889\nB. In 1906", None),
        ("I think B is right.", "B"),
        ("I think B is not right.", None),
        ("Neither A nor B is right.", None),
        ("If A is right, the passage would say so.", None),
        ("A's claim is not supported.\nAnswer: B", "B"),
        ("The quote is not verified. Answer: B", "B"),
        ("The answer is not A. The answer is B.", "B"),
        ("It is not clear, but the answer is A.", "A"),
        ("A is correct about the date, but not verified.\nAnswer: B\nA: 20%\nB: 80%", "B"),
        ("A: 0.3, B: 0.7", None),
        ("B: 0.2", None),
        ("A: about 20%", None),
        ("Both fail:\nB. Nothing supports it.", None),
        ("The answer is clear: B", "B"),
        ("Answer: B\nI reject answer A.", "B"),
        ("I believe it isn't answer A.", None),
        ("Final answer: (B)", "B"),
        ("A: 20%\nB: 80%\nAnswer: B\nAnswer A is not supported by any quote.", "B"),
        ("Answer A has no quote for it.\nAnswer: B", "B"),
        ("I find answer B more convincing than answer A.", "B"),
        ("I prefer answer B over the answer A", "B"),
    ],
)
def test_a_letter(text: str, named: str | None):
    assert parsing.letter(text, LETTERS) == named


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("A: 70%\nB: 30%", (0.7, 0.3)),
        ("A. 30%\nB. 70%", (0.3, 0.7)),
        ("(A) 25%\n(B) 75%\nAnswer: B", (0.25, 0.75)),
        ("A: 0.9\nB: 0.3", (0.75, 0.25)),
        ("B: 20%", (0.8, 0.2)),
        ("A = 60%, B = 40%", (0.6, 0.4)),
        ("A: 70% B: 30%", (0.7, 0.3)),
        ("Probabilities: (A): 20% (B): 80%", (0.2, 0.8)),
        ("A: 0%\nB: 0%", None),
        ("A: surely\nAnswer: A", None),
    ],
)
def test_probabilities(text: str, shares: tuple[float, float] | None):
    found = parsing.probabilities(text, LETTERS)
    assert found == (None if shares is None else pytest.approx(shares))


def test_the_word_i_is_no_letter():
    letters = tuple("ABCDEFGHI")
    assert parsing.letter("Answer: I think C", letters) is None
    assert parsing.letter("Answer: I'm sure that it is C.\nAnswer: C", letters) == "C"
    assert parsing.letter("Answer: I", letters) == "I"
    assert parsing.letter("The answer is I.", letters) == "I"


def test_three_options_need_each_its_probability():
    letters = ("A", "B", "C")
    assert parsing.probabilities("A: 50%\nB: 25%", letters) is None
    assert parsing.probabilities("A: 50%\nB: 25%\nC: 25%", letters) == (0.5, 0.25, 0.25)


def test_lists_and_directions():
    assert parsing.items("Here:\n1. One.\n2) Two.\n- none") == ("One.", "Two.")
    assert parsing.direction("Claim: 2\nThe probability is: too low") == 1
    assert parsing.direction("It is too high, so the right one is less") == -1
    assert parsing.direction("The probability is: right") == 0
    assert parsing.direction("who knows") is None


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("Claim: 2\nThe probability is: too low", 1),
        ("Claim: 2 (60%)", 1),
        ("**Claim number:** 1.", 0),
        ("Claim: 2. It has three towers. (60%)", 1),
        # Its words.
        ("Claim: three towers\nThe probability is: too low", 1),
        ("Claim: 3 towers", None),
        ("Claim: it", None),
        ("Claim: 7", None),
        ("60% for 1", None),
    ],
)
def test_which_claim(text: str, item: int | None):
    assert parsing.chosen(text, ["It was built in 1889.", "It has three towers."]) == item


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("70%", 70),
        ("It is 75 out of 100.", 75),
        ("75/100", 75),
        ("75", 75),
        ("1. 50%", 50),
        ("1. The right answer is: 14", None),
        ("Claim 2 is likely", None),
        ("", None),
    ],
)
def test_a_stated_percentage(text: str, value: float | None):
    assert parsing.stated_percent(text) == value


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("To Debater B: Where?", "Where?"),
        ("Debater A: Which sentence says so?", "Which sentence says so?"),
        ("**Debater A**, where?", "where?"),
        ("Debater A", ""),
        ("Debater A.", ""),
        ("Debater A said 3. Where?", "Debater A said 3. Where?"),
        ("Where does Debater B say so?", "Where does Debater B say so?"),
    ],
)
def test_a_question_is_put_without_names(text: str, question: str):
    assert parsing.put_question(text, ("Debater A", "Debater B")) == question


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I\u2019m sorry, but I can\u2019t argue for that.", True),
        ("I cannot support this answer, as the passage says otherwise.", True),
        ("I can't support the answer In 1889.", True),
        ("I'm unable to help with that.", True),
        ("I am not comfortable with this.", True),
        # A debater's business.
        ("I cannot support Debater A's claim: the passage says 1889.", False),
        ("I cannot defend the claim of the other side.", False),
        ("I'm sorry, but I can't agree with Debater B.", False),
        ("I am unable to support Debater A's claim.", False),
        ("I cannot argue with the quote.", False),
        ("I cannot defend the claim of 1925, as it is false.", True),
        ("I'm unable to comply.", True),
        ("I can't help but notice that the quote isn't there.", False),
        ("I'm unable to find a quote that says so, and neither is the other side.", False),
        ("I'm sorry, but I can see no such sentence.", False),
        ("The passage says it can't help but rise.", False),
        ("x" * 130 + " I cannot argue", False),
    ],
)
def test_refusals(text: str, refuses: bool):
    assert parsing.refuses(text) is refuses

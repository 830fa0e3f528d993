"""Protocols: who speaks when, who sees what, and whom the judge hears."""

import re
from dataclasses import dataclass, replace

import pytest

from toprope.errors import UserError
from toprope.techniques.debate.debaters import View
from toprope.techniques.debate.judges import Hearing
from toprope.techniques.debate.protocols.best_of import BestOf, Persuasion
from toprope.techniques.debate.protocols.blind import Blind
from toprope.techniques.debate.protocols.consultancy import Consultancy
from toprope.techniques.debate.protocols.critique import Critique
from toprope.techniques.debate.protocols.critique_of import CritiqueOf
from toprope.techniques.debate.protocols.cross_examination import CrossExamination
from toprope.techniques.debate.protocols.debate import Debate
from toprope.techniques.debate.protocols.expert import Expert
from toprope.techniques.debate.protocols.propaganda import Propaganda
from toprope.techniques.debate.protocols.quoting import Quoting, quotable
from toprope.techniques.debate.protocols.stage import Players
from toprope.techniques.debate.transcript import Seating, Turn, Verdict, VerdictOutcome

from ..playing import PASSAGE, QUESTION, Believing, Recording, debater, play

STRAIGHT, TURNED = Seating((0, 1), (0, 1)), Seating((1, 0), (1, 0))


def speech(view: View) -> str:
    if view.kind == "bet":
        return f"{60 + 10 * view.round + (view.position or 0)}%"
    return f"<thinking>plan {view.speaker}</thinking>{view.speaker} round {view.round}"


def lines(turns) -> list[str]:
    return [f"{turn.speaker}/{turn.kind}/{turn.round}" for turn in turns]


def test_blind_and_expert_differ_by_the_passage():
    for game, passage in ((Blind(), ""), (Expert(), PASSAGE)):
        judge = Believing(lambda hearing: (0.2, 0.8))
        found = play(game, STRAIGHT, Players(judge))
        [heard] = judge.heard
        assert (heard.question.passage, heard.turns) == (passage, ())
        assert (found.verdict.answer, found.correct, len(game.seatings(QUESTION))) == (1, False, 2)


def test_propaganda_is_one_speech_for_the_assigned_answer():
    judge = Believing()
    found = play(Propaganda(), Seating((1, 0), (1,), 1), Players(judge, (debater(speech),)))
    assert lines(found.turns) == ["Debater A/speech/1"]
    assert found.positions == (1,)
    assert judge.heard[0].turns[0].text == "Debater A round 1"
    assert len(Propaganda().seatings(QUESTION)) == 4


def test_a_simultaneous_debate_hides_the_round_under_way():
    recording, judge = Recording(speech), Believing()
    found = play(Debate(rounds=2), TURNED, Players(judge, (debater(recording),)))
    assert lines(found.turns) == [
        "Debater A/speech/1",
        "Debater B/speech/1",
        "Debater A/speech/2",
        "Debater B/speech/2",
    ]
    assert [len(view.turns) for view in recording.seen] == [0, 0, 2, 2]
    assert [turn.position for turn in found.turns] == [1, 0, 1, 0]
    assert all(view.question.passage == PASSAGE for view in recording.seen)
    assert judge.heard[0].question.passage == ""


def test_a_sequential_debate_answers_within_the_round():
    recording = Recording(speech)
    game = Debate(rounds=2, order="sequential")
    play(game, STRAIGHT, Players(Believing(), (debater(recording),)))
    assert [len(view.turns) for view in recording.seen] == [0, 1, 2, 3]


def test_bets_come_before_each_round_and_stay_private():
    recording, judge = Recording(speech), Believing()
    players = Players(judge, (debater(recording),))
    found = play(Debate(rounds=2, bets=True), STRAIGHT, players)
    assert lines(found.turns)[:4] == [
        "Debater A/bet/1",
        "Debater B/bet/1",
        "Debater A/speech/1",
        "Debater B/speech/1",
    ]
    bets = [turn.private.bet for turn in found.turns if turn.kind == "bet"]
    assert bets == [70.0, 71.0, 80.0, 81.0]
    for view in recording.seen:
        others = [turn for turn in view.turns if turn.speaker != view.speaker]
        assert all(turn.kind != "bet" and not turn.private.scratchpad for turn in others)
    own = [t.private for t in recording.seen[-1].turns if t.speaker == recording.seen[-1].speaker]
    assert [one.bet for one in own] == [71.0, None, 81.0]
    assert "plan" not in repr(judge.heard)
    assert all(turn.kind == "speech" for turn in judge.heard[0].turns)


def test_the_judge_may_be_asked_after_every_round():
    def belief(hearing: Hearing) -> tuple[float, float]:
        return (0.5 + 0.1 * len(hearing.turns), 0.5 - 0.1 * len(hearing.turns))

    players = Players(Believing(belief), (debater(speech),))
    found = play(Debate(rounds=2, each_round=True), STRAIGHT, players)
    assert [(v.round, v.probabilities[0]) for v in found.verdicts] == [
        (0, 0.5),
        (1, 0.7),
        (2, 0.9),
    ]


def test_an_open_debate_opposes_the_chosen_answer():
    def says(view: View) -> str:
        return "Answer: B" if view.kind == "choice" else speech(view)

    players = Players(Believing(), (debater(says, "leads"), debater(says, "opposes")))
    for order in ("simultaneous", "sequential"):
        # Whoever chose has no place of its own: over both seatings each side speaks last once.
        for seating, leads in ((STRAIGHT, 1), (TURNED, 0)):
            found = play(Debate(rounds=1, role="open", order=order), seating, players)
            speeches = [turn for turn in found.turns if turn.kind == "speech"]
            by = {leads: "leads", 1 - leads: "opposes"}
            assert [(turn.position, turn.by) for turn in speeches] == [
                (option, by[option]) for option in seating.speaks
            ]
            assert found.details["chose"] == leads


def test_each_side_may_have_its_own_model():
    players = Players(Believing(), (debater(speech, "x"), debater(speech, "y")))
    found = play(Debate(rounds=1), TURNED, players)
    assert [(turn.position, turn.by) for turn in found.turns] == [(1, "y"), (0, "x")]


def test_a_consultant_is_asked_between_its_turns():
    recording = Recording(lambda view: "Why?" if view.role == "judge" else speech(view))
    one = debater(recording)
    found = play(Consultancy(), Seating((1, 0), (0,), 0), Players(Believing(), (one,), asker=one))
    assert lines(found.turns) == ["Consultant/speech/1", "Judge/question/1", "Consultant/speech/2"]
    asking = recording.seen[1]
    assert asking.question.passage == ""
    assert "plan" not in repr(asking.turns)
    assert recording.seen[2].turns[-1].text == "Why?"
    assert found.positions == (0,)


def test_an_open_consultant_argues_for_its_choice():
    def says(view: View) -> str:
        return "Answer: A" if view.kind == "choice" else speech(view)

    game = Consultancy(rounds=1, role="open")
    found = play(game, TURNED, Players(Believing(), (debater(says),)))
    assert (found.positions, found.details["chose"]) == ((1,), 1)
    silent = play(game, TURNED, Players(Believing(), (debater(speech),)))
    assert silent.details["chose"] is None
    assert (len(game.seatings(QUESTION)), len(Consultancy().seatings(QUESTION))) == (2, 4)


def test_a_critic_hears_the_proposal_and_speaks_once():
    recording = Recording(lambda view: f"{view.role} speaks")
    players = Players(Believing(), (debater(speech, "p"), debater(recording, "c")))
    found = play(Critique(), Seating((0, 1), (1,), 1), players)
    assert lines(found.turns) == ["Debater B/speech/1", "Critic/critique/1"]
    [view] = recording.seen
    assert (view.position, view.question.passage) == (None, PASSAGE)
    assert [turn.text for turn in view.turns] == ["Debater B round 1"]


def test_the_judge_examines_each_debater():
    def says(view: View) -> str:
        return f"{view.given['asked']}: Why?" if view.role == "judge" else speech(view)

    one = debater(says)
    found = play(CrossExamination(), TURNED, Players(Believing(), (one,), asker=one))
    assert [turn.text for turn in found.turns] == [
        "Debater A round 1",
        "Debater B round 1",
        "To Debater A: Why?",
        "Debater A round 2",
        "To Debater B: Why?",
        "Debater B round 2",
    ]
    with pytest.raises(UserError, match="needs a judge that asks"):
        play(CrossExamination(), TURNED, Players(Believing(), (one,)))


def test_a_protocol_without_its_debater_says_so():
    with pytest.raises(UserError, match="needs a debater"):
        play(Debate(), STRAIGHT, Players(Believing()))


def strength(hearing: Hearing) -> tuple[float, float]:
    """Believes the answer of the last speaker by the digits of its words."""
    last = hearing.turns[-1]
    share = int("".join(filter(str.isdigit, last.text)) or 0) / 100
    return (share, 1 - share) if last.position == 0 else (1 - share, share)


def test_best_of_n_says_the_most_persuasive():
    words = ["30", "", "80", "60"]
    judge = Believing(strength)
    best = BestOf(debater(lambda view: words[view.sample]), Persuasion(judge), 4)
    found = play(Propaganda(), Seating((0, 1), (1,), 1), Players(Believing(), (best,)))
    assert [turn.text for turn in found.turns] == ["80"]
    assert found.turns[0].by == "scripted (best of 4)"
    assert len(judge.heard) == 3
    assert all(hearing.question.passage == "" for hearing in judge.heard)


class Unheard(Believing):
    """A rater, of whose answers one never came."""

    async def __call__(self, hearing: Hearing) -> Verdict:
        if hearing.turns[-1].text == "80":
            return Verdict(None, outcome="lost")
        return await super().__call__(hearing)


@dataclass
class Unspoken:
    """A debater, of whose answers the second never comes."""

    name: str = "unspoken"
    fingerprint: str = "unspoken"

    async def __call__(self, view: View) -> Turn:
        turn = await debater(lambda view: "50")(view)
        return replace(turn, text="", outcome="lost") if view.sample == 1 else turn


def test_a_best_that_is_not_known_loses_the_game():
    words, seating = ["30", "80", "60"], Seating((0, 1), (1,), 1)
    rater = Persuasion(Believing(strength))
    for one in (
        BestOf(debater(lambda view: words[view.sample]), Persuasion(Unheard(strength)), 3),
        BestOf(Unspoken(), rater, 2),
        CritiqueOf(Unspoken(), rater, 2),
    ):
        found = play(Propaganda(), seating, Players(Believing(), (one,)))
        assert [(turn.text, turn.outcome) for turn in found.turns] == [("", "lost")]
        assert found.is_lost


def test_critique_of_n_says_the_best_mended_or_the_draft():
    def says(view: View) -> str:
        if view.kind == "critique":
            return f"critique {view.sample} of {view.given['draft']}"
        if view.kind == "refinement":
            return {"critique 0 of 50": "20", "critique 1 of 50": "90"}[view.given["critique"]]
        return "50"

    persuasion = Persuasion(Believing(strength))
    seating = Seating((0, 1), (1,), 1)
    for n, text in ((2, "90"), (1, "50")):
        mended = CritiqueOf(debater(says), persuasion, n)
        found = play(Propaganda(), seating, Players(Believing(), (mended,)))
        assert [(turn.text, turn.kind) for turn in found.turns] == [(text, "speech")]


LONGER = replace(QUESTION, passage=f"{PASSAGE} In 1925 it was painted. Painters like heights.")


def reading(hearing: Hearing) -> tuple[float, float]:
    """By the year in the one sentence that it reads, and a little by any year."""
    text = hearing.question.passage
    return (0.9, 0.1) if "1889" in text else (0.2, 0.8) if "1925" in text else (0.5, 0.5)


class Failing(Believing):
    """Gives no probabilities after some sentences."""

    def __init__(self, outcome: VerdictOutcome, after: str) -> None:
        super().__init__(reading)
        self.outcome: VerdictOutcome = outcome
        self.after = after

    async def __call__(self, hearing: Hearing) -> Verdict:
        if self.after in hearing.question.passage:
            return Verdict(None, outcome=self.outcome)
        return await super().__call__(hearing)


def test_who_quotes_says_the_sentences_that_most_support_its_answer():
    judge, reader = Believing(), Believing(reading)
    quoting = Quoting(debater(speech), reader)
    found = play(Debate(rounds=2), STRAIGHT, Players(judge, (quoting,)), LONGER)
    assert [turn.text for turn in found.turns] == [
        "The answer is In 1889. <v_quote>The tower was built in 1889.</v_quote>",
        "The answer is In 1925. <v_quote>In 1925 it was painted.</v_quote>",
        "The answer is In 1889. <v_quote>Its architect lived in the south of the city.</v_quote>",
        "The answer is In 1925. <v_quote>Its architect lived in the south of the city.</v_quote>",
    ]
    assert {(turn.verified, turn.unverified, turn.outcome) for turn in found.turns} == {
        (1, 0, "spoken")
    }
    assert [turn.calls for turn in found.turns] == [4, 0, 0, 0]
    assert found.turns[0].by == "scripted (quotes 1)"
    assert [len(hearing.turns) for hearing in reader.heard] == [0] * 4, "each sentence read once"
    assert all(hearing.question.passage == "" for hearing in judge.heard)


def test_several_quotes_stand_in_the_passages_order_until_there_are_no_more():
    seating = Seating((0, 1), (1,), 1)
    quoting = Quoting(debater(speech), Believing(reading), 3)
    found = play(Consultancy(rounds=2), seating, Players(Believing(), (quoting,)), LONGER)
    said = [re.findall(r"<v_quote>(\w+ \w+)", turn.text) for turn in found.turns]
    assert said == [["Its architect", "In 1925", "Painters like"], ["The tower"]]
    two = Quoting(debater(speech), Believing(reading), 2).fingerprint
    assert quoting.fingerprint != two


def test_who_quotes_bets_in_its_own_words():
    quoting = Quoting(debater(speech), Believing(reading))
    found = play(Debate(rounds=1, bets=True), STRAIGHT, Players(Believing(), (quoting,)))
    assert [turn.private.bet for turn in found.turns if turn.kind == "bet"] == [70, 71]


@pytest.mark.parametrize(("passage", "option"), [(LONGER.passage, 0), ("In 1925. So it was.", 1)])
def test_who_quotes_argues_for_what_its_reader_believes_after_the_whole_passage(passage, option):
    quoting = Quoting(debater(speech), reader := Believing(reading))
    question = replace(LONGER, passage=passage)
    for seating in Consultancy(1, "open").seatings(question):
        found = play(Consultancy(1, "open"), seating, Players(Believing(), (quoting,)), question)
        choice, said = found.turns
        assert (choice.kind, choice.position, choice.values) == ("choice", option, (option,))
        assert choice.text == f"Answer: {seating.letter(option)}"
        assert said.text.startswith(f"The answer is {question.options[option]}.")
    assert [one.question.passage for one in reader.heard].count(passage) == 2


@pytest.mark.parametrize(("outcome", "is_lost"), [("lost", True), ("unnamed", False)])
def test_a_choice_that_never_came_loses_the_game_and_without_one_the_first_is_argued_for(
    outcome, is_lost
):
    quoting = Quoting(debater(speech), Failing(outcome, "Painters like heights. It"))
    question = replace(LONGER, passage=f"{LONGER.passage} It is open.")
    found = play(Consultancy(1, "open"), TURNED, Players(Believing(), (quoting,)), question)
    assert (found.turns[0].position, found.is_lost) == (None, is_lost)
    assert found.turns[1].position == TURNED.shown[0]


@pytest.mark.parametrize(
    ("passage", "quote"),
    [
        ("He left. It was built in 1889.", "It was built in 1889."),
        (
            "I'm sorry, but I can't stay in 1889. Off it went.",
            "I'm sorry, but I can't stay in 1889.",
        ),
        ("It was late.\nJudge: built in 1889. Off it went.", "Judge: built in 1889."),
        ("[...]\n\nThe tower was built in 1889.\n\n[...]", "The tower was built in 1889."),
    ],
)
def test_a_sentence_is_said_as_it_stands(passage: str, quote: str):
    """Not read as a model's words are: for refusals, others' turns, quotes that aren't there."""
    quoting = Quoting(debater(speech), Believing(reading))
    question = replace(QUESTION, passage=passage)
    seating = Seating((0, 1), (0,), 0)
    [turn] = play(Propaganda(), seating, Players(Believing(), (quoting,)), question).turns
    assert " ".join(turn.text.split()) == f"The answer is In 1889. <v_quote>{quote}</v_quote>"
    assert (turn.outcome, turn.verified) == ("spoken", 1)
    assert "[...]" not in quotable(question)


@pytest.mark.parametrize(
    ("reader", "outcomes"),
    [
        (Failing("lost", "1889"), ["lost", "lost"]),
        (Failing("refused", "1889"), ["spoken", "spoken"]),
        (Failing("unnamed", ""), ["empty", "empty"]),
    ],
)
def test_a_reading_that_never_came_loses_the_game_and_what_wasnt_read_isnt_said(reader, outcomes):
    quoting = Quoting(debater(speech), reader)
    found = play(Debate(1), STRAIGHT, Players(Believing(), (quoting,)), LONGER)
    assert [turn.outcome for turn in found.turns] == outcomes
    assert found.is_lost == ("lost" in outcomes)
    assert all("built in 1889" not in turn.text for turn in found.turns)

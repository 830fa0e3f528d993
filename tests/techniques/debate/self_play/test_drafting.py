"""Training games: what is drafted, how it's rated, what is said, and what becomes a pair."""

import asyncio
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.journal import Journal
from toprope.models import preferences
from toprope.models.adapters import Lora
from toprope.models.chat import Chat, Reply
from toprope.models.local import LocalModel
from toprope.models.preferences import Dpo
from toprope.models.queue import BatchQueue
from toprope.techniques.debate.debaters import ChatDebater
from toprope.techniques.debate.judges import Hearing
from toprope.techniques.debate.protocols.best_of import Persuasion
from toprope.techniques.debate.protocols.consultancy import Consultancy
from toprope.techniques.debate.protocols.debate import Debate
from toprope.techniques.debate.protocols.quoting import Quoting
from toprope.techniques.debate.protocols.stage import Game
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.self_play.drafting import Drafting, collect
from toprope.techniques.debate.self_play.pairs import Drafts, Pair, as_many, asked
from toprope.techniques.debate.transcript import Verdict

from ..playing import PASSAGE, QUESTION, Believing

QUESTIONS = [
    QUESTION,
    Question("r", "When was it painted?", ("In 1889", "In 1925"), 1, PASSAGE, group="g"),
]


@dataclass
class Chatting:
    """A chat that says the next of some words for each new seed of a prompt."""

    says: tuple[str, ...] = ("one.", "two words.", "three more words.")
    tokens: int = 10
    asked: list[str] = field(default_factory=list)
    seeds: dict[str, list[int]] = field(default_factory=dict)
    name: str = "chatting"
    fingerprint: str = "chatting"

    async def ask(self, messages: Any, *, seed: int, **_: Any) -> Reply:
        self.asked.append(messages[0]["content"])
        seeds = self.seeds.setdefault(self.asked[-1], [])
        if seed not in seeds:
            seeds.append(seed)
        text = self.says[seeds.index(seed) % len(self.says)]
        return Reply(text, "answered" if text else "empty", tokens=self.tokens)


class Counting:
    """A local model of which only the prompt's length is asked: three tokens, always."""

    def tokens(self, prompt: Any) -> list[int]:
        return [0, 0, 0]


def by_words(hearing: Hearing) -> tuple[float, float]:
    """Each word of a side's last turn is worth 0.1 to it."""
    last = {turn.position: len(turn.text.split()) for turn in hearing.turns}
    first = 0.5 + 0.1 * (last.get(0, 0) - last.get(1, 0))
    return (first, 1 - first)


def drafting(chat: Chatting, judge: Believing, *, n: int = 3, **of: Any) -> Drafting:
    debater = ChatDebater(chat, max_tokens=20)  # type: ignore[arg-type]
    return Drafting(debater, Counting(), Persuasion(judge), n, **{"opposed": False, **of})  # type: ignore[arg-type]


def collected(game: Game, of: Drafting, questions=QUESTIONS) -> list[Drafts]:
    return asyncio.run(collect(game, questions, of, seed=0))


def test_the_best_and_the_worst_draft_of_a_turn_are_a_pair():
    chat, judge = Chatting(), Believing(by_words)
    found = collected(Debate(rounds=1), drafting(chat, judge))
    assert [(one.question, one.position, one.honest) for one in found] == [
        ("q", 0, True),
        ("q", 1, False),
        ("r", 0, False),
        ("r", 1, True),
    ]
    assert found[2].unit == "g"
    assert found[0].texts == chat.says
    assert found[0].ratings == pytest.approx((0.6, 0.7, 0.8))
    assert found[0].prompt in chat.asked
    assert PASSAGE in found[0].prompt
    pair = found[0].pair(0.2 - 1e-9)
    assert pair is not None
    assert (pair.chosen, pair.rejected, pair.longer) == ("three more words.", "one.", 2)
    assert pair.preference.prompt == asked(found[0].prompt)
    assert found[0].pair(0.21) is None
    assert all(hearing.question.passage == "" for hearing in judge.heard)


def test_nothing_is_learned_where_a_rating_never_came(tmp_path: Path):
    @dataclass
    class Unheard(Believing):
        async def __call__(self, hearing: Hearing) -> Verdict:
            if hearing.turns[-1].text == "two words." and hearing.turns[-1].position == 1:
                return Verdict(None, outcome="lost")
            return await super().__call__(hearing)

    with Journal(tmp_path / "journal.jsonl", {}) as journal:
        of = drafting(Chatting(), Unheard(by_words), journal=journal)
        found = collected(Consultancy(rounds=1), of, [QUESTION])
        assert [one.position for one in found] == [0]
        again = drafting(Chatting(), judge := Believing(by_words), journal=journal)
        assert [one.position for one in collected(Consultancy(1), again, [QUESTION])] == [0, 1]
        assert {hearing.turns[-1].position for hearing in judge.heard} == {1}


def test_what_drafts_and_their_ratings_took_is_kept_and_counted_again_from_the_journal(
    tmp_path: Path,
):
    @dataclass
    class Wordy(Believing):
        async def __call__(self, hearing: Hearing) -> Verdict:
            return replace(await super().__call__(hearing), tokens=7)

    with Journal(tmp_path / "journal.jsonl", {}) as journal:
        for judge in (Wordy(by_words), Wordy(by_words)):
            of = drafting(Chatting(tokens=10), judge, n=3, journal=journal)
            found = collected(Debate(rounds=1), of, [QUESTION])
            assert [(one.tokens, one.calls) for one in found] == [(3 * 10 + 3 * 7, 6)] * 2
    assert not judge.heard


def test_one_more_draft_may_be_what_the_passage_says():
    chat = Chatting()
    debater = ChatDebater(chat, max_tokens=20)  # type: ignore[arg-type]
    reader = Believing(lambda hearing: (0.9, 0.1) if "1889" in hearing.question.passage else (0, 1))
    quoting = Quoting(debater, reader)
    judge = Believing(by_words)
    for game in (Debate(rounds=1), Consultancy(rounds=1)):
        of = drafting(chat, judge, quoting=quoting)
        found = collected(game, of, [QUESTION])
        assert [one.texts[:3] for one in found] == [chat.says] * 2
        quotes = [
            "The answer is In 1889. <quote>The tower was built in 1889.</quote>",
            "The answer is In 1925. <quote>Its architect lived in the south of the city.</quote>",
        ]
        assert [one.quoted for one in found] == [one.texts[3] for one in found] == quotes
        assert all((pair := one.pair(0.0)) and pair.chosen == one.quoted for one in found)
        assert of.fingerprint != drafting(chat, judge).fingerprint
    assert len(reader.heard) == 2  # each sentence once, for both sides and games


TOWN = " ".join((PASSAGE, "The town is old.", "Its mayor is Lise.", "The river is slow."))


def quoting_drafts(chat: Chatting, foils: int, *, quotes: int = 1, **more: Any) -> Drafting:
    """Of a model to which the year is worth most, before a judge to which the proof is."""
    reader = Believing(lambda hearing: (0.9, 0.1) if "1889" in hearing.question.passage else (0, 1))
    quoting = Quoting(ChatDebater(chat, max_tokens=20), reader, quotes)  # type: ignore[arg-type]
    judge = Believing(
        lambda hearing: (0.8, 0.2) if "built in 1889" in hearing.turns[-1].text else (0.5, 0.5),
    )
    return drafting(chat, judge, quoting=quoting, foils=foils, **{"n": 0, **more})


def test_foils_quote_other_sentences_of_the_passage():
    question, chat = replace(QUESTION, passage=TOWN), Chatting()

    def of(foils: int, **more: Any) -> list[Drafts]:
        return collected(Consultancy(rounds=1), quoting_drafts(chat, foils, **more), [question])

    honest, lying = of(3)
    for found, answer in ((honest, "1889"), (lying, "1925")):
        assert len(set(found.texts)) == 4
        assert (found.quoted, *found.foils) == found.texts
        said = [
            re.fullmatch(rf"The answer is In {answer}. <quote>(.*)</quote>", text)
            for text in found.texts
        ]
        assert all(one and one[1] in TOWN for one in said)
    pair = honest.pair(0.1)
    assert pair is not None
    assert pair.chosen == honest.quoted
    assert pair.rejected in honest.foils
    assert pair.as_json()["ratings"] == [0.8, 0.5]
    assert chat.asked == []  # no draft is written
    # The same whoever judges and however many; others by another seed.
    assert of(3, n=1)[0].foils == honest.foils
    assert of(2)[0].foils == honest.foils[:2]
    assert any(of(3, seed=i)[0].foils != honest.foils for i in (1, 2, 3))
    assert quoting_drafts(chat, 3).fingerprint != quoting_drafts(chat, 2).fingerprint


def test_a_foil_has_as_many_sentences_and_none_that_was_said():
    question, chat = replace(QUESTION, passage=TOWN), Chatting()
    [one, *_] = collected(Consultancy(rounds=1), quoting_drafts(chat, 9, quotes=2), [question])
    assert [text.count("<quote>") for text in one.texts] == [2, 2]  # and a fifth is left over
    for game in (Debate(rounds=2), Consultancy(rounds=2)):
        first, second, *_ = collected(game, quoting_drafts(chat, 9), [question])
        assert (first.round, second.round) == (1, 2)
        assert len(first.texts) == 5
        assert len(second.texts) == 4  # without what was said before
        said = max(zip(first.ratings, first.texts, strict=True), key=lambda rated: rated[0])[1]
        assert said not in second.texts
    game, short = Consultancy(rounds=1), replace(QUESTION, passage="The tower was built in 1889.")
    assert {one.foils for one in collected(game, quoting_drafts(chat, 3), [short])} == {()}


def test_a_written_draft_is_no_pair_with_a_foil():
    texts = ("I say so.", "It's so.", "a quote", "a foil")
    about = "q", "q", "A", 0, 1, True, "prompt", texts
    of = {"quoted": "a quote", "foils": ("a foil",)}
    for ratings, chosen, rejected in (
        ((0.9, 0.7, 0.5, 0.1), "I say so.", "It's so."),
        ((0.3, 0.2, 0.9, 0.5), "a quote", "a foil"),
        ((0.3, 0.2, 0.5, 0.9), "a foil", "a quote"),
    ):
        pair = Drafts(*about, ratings, **of).pair(0.1)
        assert pair is not None
        assert (pair.chosen, pair.rejected) == (chosen, rejected)
    assert Drafts(*about, (0.9, 0.85, 0.5, 0.1), **of).pair(0.1) is None
    # Without foils the judge's choice between forms is learned as well.
    pair = Drafts(*about[:-1], texts[:3], (0.9, 0.7, 0.5), quoted="a quote").pair(0.1)
    assert pair is not None
    assert (pair.chosen, pair.rejected) == ("I say so.", "a quote")


def test_drafts_that_are_rated_alike_are_no_pair():
    found = collected(Debate(rounds=1), drafting(Chatting(), Believing()))
    assert {one.pair(0.0) for one in found} == {None}


def test_the_game_goes_on_with_the_best():
    chat = Chatting()
    found = collected(Debate(rounds=2), drafting(chat, Believing(by_words)))
    assert [one.round for one in found[:2]] == [1, 2]
    second = found[1].prompt
    assert second.count("three more words.") == 2
    assert "one." not in second


def test_who_speaks_at_the_same_time_is_heard_beside_a_draft():
    chat, judge = Chatting(), Believing(by_words)
    found = collected(Debate(rounds=1), drafting(chat, judge, opposed=True), [QUESTION])
    assert found[0].ratings == pytest.approx((0.5, 0.6, 0.7))  # against the opponent's "one."
    assert all(len(hearing.turns) == 2 for hearing in judge.heard)
    assert len(chat.asked) == 6  # each draft once, though both sides ask for it


def test_a_consultant_is_drafted_for_each_answer_in_one_seating():
    chat, judge = Chatting(), Believing(by_words)
    found = collected(Consultancy(rounds=1), drafting(chat, judge), [QUESTION])
    assert [(one.speaker, one.position) for one in found] == [("Consultant", 0), ("Consultant", 1)]
    assert len({hearing.seating.shown for hearing in judge.heard}) == 1
    debate, heard = Believing(by_words), Believing(by_words)
    for one, game in ((debate, Debate(rounds=1)), (heard, Consultancy(rounds=1))):
        collected(game, drafting(chat, one))
    shown = [
        {hearing.question.id: hearing.seating.shown for hearing in one.heard}
        for one in (debate, heard)
    ]
    assert shown[0] == shown[1]


def test_what_is_learned_is_what_the_judge_heard_as_a_debater_writes_it():
    own = "<quote>built in 1889</quote> <quote>no</quote>"
    said = (f"{own}\nJudge: I see.", "", "I'm sorry, but I can't.")
    judge = Believing(by_words)
    found = collected(Debate(rounds=1), drafting(Chatting(said), judge), [QUESTION])
    assert [one.texts for one in found] == [(own,)] * 2
    heard = {turn.text for hearing in judge.heard for turn in hearing.turns}
    assert heard == {"<v_quote>built in 1889</v_quote> <u_quote>no</u_quote>"}


def test_a_draft_that_ran_out_of_tokens_ends_with_its_last_whole_sentence():
    says = ("It is so. <quote>The tower was built in 1889. Its arch", "no sentence at all")
    judge = Believing(by_words)
    chat = Chatting(says, tokens=23)  # three of the prompt, twenty of the answer
    found = collected(Debate(rounds=1), drafting(chat, judge, n=2), [QUESTION])
    assert found[0].texts == ("It is so. <quote>The tower was built in 1889.</quote>",)
    heard = {turn.text for hearing in judge.heard for turn in hearing.turns}
    assert heard == {"It is so. <v_quote>The tower was built in 1889.</v_quote>"}
    whole = collected(Debate(rounds=1), drafting(Chatting(says, tokens=22), judge, n=2))
    assert whole[0].texts[1] == "no sentence at all"


def test_a_second_start_asks_for_nothing_again(tmp_path: Path):
    with Journal(tmp_path / "j.jsonl", {}) as journal:
        first = collected(Debate(), drafting(Chatting(), Believing(by_words), journal=journal))
    chat, judge = Chatting(), Believing(by_words)
    with Journal(tmp_path / "j.jsonl", {}) as journal:
        again = collected(Debate(), drafting(chat, judge, journal=journal))
        assert (again, chat.asked, judge.heard) == (first, [], [])
        collected(Debate(), drafting(chat, judge, n=2, journal=journal))
    assert chat.asked


def pairs(n: int) -> list[Pair]:
    return [Pair(Drafts(f"q{i}", "", "", 0, 1, True, "", (), ()), "yes", "no") for i in range(n)]


def test_protocols_learn_from_as_many_pairs():
    some = {"debate": pairs(9), "consultancy": pairs(5)}

    def rng(name: str) -> np.random.Generator:
        return np.random.default_rng(len(name))

    equal = as_many(some, most=None, rng=rng)
    assert [len(of) for of in equal.values()] == [5, 5]
    assert equal["consultancy"] == some["consultancy"]
    assert [len(of) for of in as_many(some, most=3, rng=rng).values()] == [3, 3]
    places = [some["debate"].index(pair) for pair in equal["debate"]]
    assert places == sorted(set(places))
    with pytest.raises(UserError, match=r"no two drafts of a turn of debate .* smaller margin"):
        as_many({"debate": [], "consultancy": pairs(2)}, most=None, rng=rng)


def test_what_is_learned_begins_as_what_the_model_was_asked(
    roomy_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    local = LocalModel.load(str(roomy_folder), device="cpu")
    asked_at_play: list[list[int]] = []

    async def complete(self: BatchQueue, requests: Any) -> Any:
        asked_at_play.extend(request.tokens for request in requests)
        return await actual(self, requests)

    actual = BatchQueue.complete
    monkeypatch.setattr(BatchQueue, "complete", complete)
    debater = ChatDebater(Chat.of(local), max_tokens=64)
    of = Drafting(debater, local, Persuasion(Believing(by_words)), 6, opposed=True)
    found = [pair for one in collected(Debate(), of) if (pair := one.pair(0.0))]
    assert found

    read: list[list[int]] = []
    actual_answered = preferences.answered

    def noted(*of: Any) -> Any:
        row = actual_answered(*of)
        read.append(row.prompt)
        return row

    monkeypatch.setattr(preferences, "answered", noted)
    dpo = Dpo(lora=Lora(rank=2, epochs=1, batch_size=8))
    preferences.finetune_preferences(local, [pair.preference for pair in found], dpo)
    assert len(read) == len(found)
    assert all(ids in asked_at_play for ids in read)

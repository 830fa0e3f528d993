"""What an overseer writes for a constitution: kept where it's new, sound and on the right side, and
counted where it isn't."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.lab import Lab
from toprope.models.chat import Reply
from toprope.techniques.safeguards.collect import group_of
from toprope.techniques.safeguards.constitution import Category, Constitution, load_constitution
from toprope.techniques.safeguards.synthesis import Synthesised, synthesise
from toprope.techniques.safeguards.writing import cleaned, listed

CONSTITUTION = Constitution(
    title="mine",
    harmful={
        "theft": Category(
            about="Help with stealing.",
            boundary="Locks aren't.",
            examples=("Help me steal a car.",),
        )
    },
    harmless={
        "bicycles": Category(
            about="Riding and repair.", near="theft", examples=("How do I lock a bicycle?",)
        ),
        "cooking": Category(about="Meals.", examples=("What can I cook with rice?",)),
    },
)
THINGS = ("a bicycle", "a car", "a boat", "a horse", "a lamp", "a painting", "a ring", "a sofa")
REFUSAL = "I'm sorry, but I can't assist with that."


class Overseer:
    """A chat that writes what it is told to; by default well."""

    name = "scripted"

    def __init__(
        self,
        lists: Callable[[str, int], str] | None = None,
        counterpart: Callable[[str], str] | None = None,
        harmful: Callable[[str], str] | None = None,
    ) -> None:
        self.lists = lists or written
        self.counterpart = counterpart or (lambda text: text.replace("steal", "sell"))
        self.harmful = harmful or (lambda text: "Yes" if "steal" in text else "No.")
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    async def ask(self, messages: Sequence[Mapping[str, str]], **settings: Any) -> Reply:
        await asyncio.sleep(0)
        text = messages[-1]["content"]
        self.asked.append((text, settings))
        if "yes or no" in text:
            said = self.harmful(re.findall(r"Request: (.+)", text)[-1])
        elif text.endswith("Harmless:"):
            said = self.counterpart(re.findall(r"Harmful: (.+)", text)[-1])
        else:
            said = self.lists(kind(text), len(self.lists_asked))
        return Reply(said, "answered" if said.strip() else "empty" if said else "error")

    @property
    def lists_asked(self) -> list[tuple[str, Mapping[str, Any]]]:
        return [(text, s) for text, s in self.asked if "numbered list" in text]


def kind(prompt: str) -> str:
    """The category that a prompt asks for."""
    about = {"Help with stealing": "theft", "Riding and repair": "bicycles", "Meals": "cooking"}
    return about[re.findall(r"The kind: ([^.]+)\.", prompt)[0]]


def written(name: str, number: int) -> str:
    verbs = {"theft": "steal", "bicycles": "mend", "cooking": "boil"}
    lines = [f"Tell me how to {verbs[name]} {thing} on day {number}." for thing in THINGS]
    return "\n".join(f"{i}. {line}" for i, line in enumerate(lines, 1))


def made(overseer: Overseer, each: int = 5, seed: int = 0, **others: Any) -> Synthesised:
    chat: Any = overseer
    return asyncio.run(synthesise(CONSTITUTION, chat, each=each, seed=seed, **others))


def test_every_category_has_as_many_requests_as_were_asked_for():
    found = made(Overseer())
    pairs = [f"constitution/theft/{i}" for i in range(1, 6)]
    assert [one.id for one in found.harmful] == [f"{pair}/harmful" for pair in pairs]
    assert [one.pair for one in found.harmful] == pairs
    assert all(one.harmful and one.category == "theft" for one in found.harmful)
    own = [one for one in found.harmless if one.pair == one.id]
    assert [one.category for one in own] == ["bicycles"] * 5 + ["cooking"] * 5
    assert not any(one.harmful for one in found.harmless)
    assert found.counts["kept"] == 20
    assert found.counts["more than asked"] == 9


def test_a_harmful_request_is_tied_to_its_harmless_counterpart():
    found = made(Overseer())
    by_id = {one.id: one for one in (*found.harmful, *found.harmless)}
    for one in found.harmful:
        other = by_id[f"{one.pair}/harmless"]
        assert (other.pair, other.category, other.harmful) == (one.pair, "theft", False)
        assert group_of(one, "constitution") == group_of(other, "constitution")
        assert other.text == one.text.replace("steal", "sell")


@pytest.mark.parametrize(
    ("answer", "what", "calls"),
    [
        ("", "error", 3),
        (REFUSAL, "refused", 3),
        (" \n", "unparsable", 3),
        ("Sell it now", "too short", 1),
        ("Tell me all that there is to know on how to be a good and honest dealer.", "unlike", 1),
        ("Tell me how to steal a boat on every day.", "wrong side", 1),
        ("Help me find the bicycle that my teacher left at the station.", "copied", 1),
    ],
)
def test_a_counterpart_that_is_none_is_dropped_and_counted(answer, what, calls):
    found = made(Overseer(counterpart=lambda text: answer), each=1)
    assert len(found.harmful) == 1
    assert not [one for one in found.harmless if one.pair != one.id]
    assert sum(n for name, n in found.counts.items() if name.startswith(what)) == calls


def test_a_counterpart_has_a_few_tries():
    tries = []

    def second(text: str) -> str:
        tries.append(text)
        return text.replace("steal", "sell") if len(tries) == 2 else REFUSAL

    found = made(Overseer(counterpart=second), each=1)
    assert [one.text for one in found.harmless][-1] == tries[0].replace("steal", "sell")
    assert len(tries) == 2


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("Steal it now.", "too short"),
        (" ".join(["steal"] * 41), "too long"),
        ("I'm sorry, but I can't help you steal.", "refusal"),
        ("help me steal a  CAR", "copied"),
        ("Help me steal a 自行车 from the station.", "other script"),
        ("Tell me how to sell a lamp.", "wrong side"),
    ],
)
def test_a_line_that_is_no_request_of_its_kind_is_dropped_and_counted(line, what):
    def lists(name: str, number: int) -> str:
        return (f"1. {line}\n" if name == "theft" else "") + written(name, number)

    found = made(Overseer(lists=lists))
    assert line not in [one.text for one in found.harmful]
    assert len(found.harmful) == 5
    assert found.counts[what] == 1


def test_a_text_that_comes_again_in_another_category_of_the_side_is_dropped():
    again = {"bicycles": "Tell me how a LAMP works!", "cooking": "tell me how a lamp works"}

    def lists(name: str, number: int) -> str:
        return f"1. {again.get(name, 'Steal.')}\n{written(name, number)}"

    found = made(Overseer(lists=lists))
    assert [one.category for one in found.harmless if "works" in one.text] == ["bicycles"]
    assert found.counts["duplicate"] == 1


def test_what_is_written_for_both_sides_goes_from_both():
    both = "Show me where the neighbours keep their keys."

    def lists(name: str, number: int) -> str:
        return written(name, number) if number > 3 else f"1. {both}\n{written(name, number)}"

    # The overseer tells no example right, so that nothing is checked.
    found = made(Overseer(lists=lists, harmful=lambda text: "maybe"), each=6)
    assert both not in [one.text for one in (*found.harmful, *found.harmless)]
    assert found.counts["on both sides"] == 2
    assert found.counts["duplicate"] == 1
    assert "wrong side" not in found.counts
    assert len([one for one in found.harmful if one.category == "theft"]) == 6


class Embedder:
    """Reads texts as what they are about, the verb and the thing: those with the same are alike."""

    n_layers, context = 1, 64

    def activations(self, texts: Sequence[str], layers: Sequence[int], **_: Any) -> Any:
        words = (*THINGS, "steal", "sell", "mend", "boil")
        rows = [[float(word in text) for word in words] for text in texts]
        return type("Read", (), {"layers": {layers[0]: np.array(rows)}})


def test_near_duplicates_of_one_side_are_kept_once():
    def lists(name: str, number: int) -> str:
        more = "1. Help me steal a ring.\n1. Show me how to steal a ring.\n"
        return (more if name == "theft" else "") + written(name, number)

    assert sum("ring" in one.text for one in made(Overseer(lists=lists), each=8).harmful) > 1
    embedder: Any = Embedder()
    found = made(Overseer(lists=lists), each=8, embedder=embedder)
    assert [one.text for one in found.harmful if "ring" in one.text] == ["Help me steal a ring."]
    assert len(found.harmful) == 8
    assert found.counts["near duplicate"] >= 2


def test_an_overseer_that_cannot_tell_its_own_side_is_not_asked_to_check():
    always = made(Overseer(harmful=lambda text: "no"))
    assert len(always.harmful) == 5
    assert "wrong side" not in always.counts


def test_look_alikes_are_not_dropped_for_looking_alike():
    def alarmed(text: str) -> str:
        return "yes" if "steal" in text or "mend" in text else "no"

    found = made(Overseer(harmful=alarmed))
    assert sum(one.category == "bicycles" for one in found.harmless) == 5


def test_calls_differ_and_a_category_and_its_look_alike_begin_alike():
    overseer = Overseer(lists=lambda name, number: "1. Well.")
    with pytest.raises(UserError):
        made(overseer, each=12)
    calls: dict[str, list[Mapping[str, Any]]] = {}
    for text, settings in overseer.lists_asked:
        calls.setdefault(kind(text), []).append(settings)
    assert {name: len(some) for name, some in calls.items()} == dict.fromkeys(calls, 10)
    for some in calls.values():
        assert len({one["seed"] for one in some}) == 10
        assert len({one["temperature"] for one in some}) == 3
        assert len({one["prefill"] for one in some}) == 10
    begun = {
        name: [one["prefill"].split("2. ")[-1] for one in some] for name, some in calls.items()
    }
    assert begun["theft"] == begun["bicycles"] != begun["cooking"]


def test_a_prompt_shows_the_category_and_what_is_outside_of_it():
    overseer = Overseer()
    made(overseer)
    prompts = {kind(text): (text, settings["prefill"]) for text, settings in overseer.lists_asked}
    text, prefill = prompts["theft"]
    assert "- How do I lock a bicycle?" in text
    assert "Locks aren't." in text
    assert prefill.startswith("1. Help me steal a car.\n2. ")
    assert "- Help me steal a car." in prompts["bicycles"][0]
    assert not any("{{" in text for text, _ in overseer.asked)


@pytest.mark.parametrize("side", ["harmful", "harmless"])
@pytest.mark.parametrize("answer", [REFUSAL, "", "No list."])
def test_an_overseer_that_writes_nothing_for_a_side_is_told(side, answer):
    def lists(name: str, number: int) -> str:
        return answer if (name == "theft") == (side == "harmful") else written(name, number)

    with pytest.raises(UserError, match=f"'scripted' wrote no {side} request") as caught:
        made(Overseer(lists=lists))
    assert "\n" not in str(caught.value)


def test_the_same_seed_gives_the_same_and_another_asks_otherwise():
    assert made(Overseer()) == made(Overseer())
    one, other = Overseer(), Overseer()
    made(one, seed=1)
    made(other, seed=2)
    assert [s["seed"] for _, s in one.lists_asked] != [s["seed"] for _, s in other.lists_asked]


@pytest.mark.parametrize("each", [5, 50])
@pytest.mark.parametrize("counterpart", ["Sell me the lamp on day 3.", REFUSAL])
def test_progress_ends_where_it_should_also_where_little_is_kept(each, counterpart):
    told: list[float] = []

    def lists(name: str, number: int) -> str:
        return written(name, number % 3)

    overseer = Overseer(lists=lists, counterpart=lambda text: counterpart)
    found = made(overseer, each=each, advance=told.append)
    assert len(found.harmful) == min(each, 24)
    assert min(told) >= 0
    assert sum(told) == each * (2 * 1 + 2)


@pytest.mark.parametrize(
    ("text", "items", "others"),
    [
        ("1. Do this.\n2) Do that.", ["Do this.", "Do that."], 0),
        ("Sure, here they are:\n\n1. **Do this.**\n**2.** Do that.", ["Do this.", "Do that."], 1),
        ("- Do this.\n* Do that.\n\nI hope this helps!", ["Do this.", "Do that."], 1),
        ("Here:\nDo this.\nDo that.", ["Do this.", "Do that."], 1),
        (
            "1. Do this:\n   - first step\n   - second step\n2. Do that.",
            ["Do this:", "Do that."],
            2,
        ),
        ("1. Do this.\n2. Do that.\n3. Do someth", ["Do this.", "Do that."], 1),
        ("1. Do this\n2. Do that", ["Do this", "Do that"], 0),
        ("", [], 0),
    ],
)
def test_lists_are_read_as_models_write_them(text, items, others):
    assert listed(text) == (items, others)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ('"How do I lock it?"', "How do I lock it?"),
        ("“How do I lock it?”.", "How do I lock it?"),
        ('Translate "Where is it?"', 'Translate "Where is it?"'),
        ("**Locks:** How do I  lock it?", "How do I lock it?"),
        ("Harmless: How do I lock it?", "How do I lock it?"),
        ("Request 3: How do `I` lock it?", "How do I lock it?"),
    ],
)
def test_a_request_is_cleaned(text, request_):
    assert cleaned(text) == request_


@pytest.mark.model
def test_a_small_model_writes_both_sides_and_its_answers_are_kept(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("toprope.techniques.safeguards.synthesis.TRIES", 1)
    monkeypatch.setattr("toprope.techniques.safeguards.writing.TOKENS", 12)
    whole = load_constitution()
    part = Constitution(
        title="part",
        harmful={"non_violent_crimes": whole.harmful["non_violent_crimes"]},
        harmless={"crime_prevention": whole.harmless["crime_prevention"]},
    )
    lab = Lab(tmp_path)
    with lab.journal("synthesis", {}, what="test") as journal:
        chat = lab.chat("smollm2-135m", journal=journal)
        found = asyncio.run(synthesise(part, chat, each=2, seed=0))
        answers = len(journal)
        assert asyncio.run(synthesise(part, chat, each=2, seed=0)) == found
        assert len(journal) == answers
    assert found.harmful
    assert found.harmless
    shown = {text for _, _, text in part.examples()}
    assert not shown & {one.text for one in (*found.harmful, *found.harmless)}

"""Writing: how an overseer is asked for requests of a kind, and how its answers are read.

Its prompts are data, in `prompts/`. Its lists are read as tolerantly as can be: small models
number, quote and end theirs in many ways.
"""

from __future__ import annotations

import asyncio
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from toprope.data.prompts import filled, prompt_text
from toprope.data.seeding import named_rng
from toprope.models.chat import Chat, Reply
from toprope.techniques.redteam.attempts import user
from toprope.techniques.redteam.judges.refusal import refuses
from toprope.techniques.safeguards.constitution import Category, Constitution

PER_CALL = 6
"""Requests that a call has the tokens for: small models repeat themselves in longer lists."""

TOKENS = 24
"""Of a request."""

TEMPERATURES = (0.7, 0.85, 1.0)

SHOWN = 3
"""Examples of a category, and of what is outside of it, in one call."""

NUMBERED = r" ?[*_(]{0,3}\d{1,3}[*_]{0,2}[.):][*_]{0,2}\s+(.+)"
BULLET = r" ?[-*•]\s+(.+)"
ANY = r"(.*[^:\s])\s*$"
"""Lines that hold a request, in the order in which they're looked for; what introduces a list ends
in a colon."""


@dataclass(frozen=True, eq=False)
class Kind:
    """A category as it is asked for.

    Attributes:
        prompt: the name of its prompt.
        outside: requests that aren't of it: those of its neighbours on the other side, if any.
    """

    name: str
    harmful: bool
    prompt: str
    category: Category
    outside: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Request:
    """What was written for a category, or as the counterpart of one of its requests."""

    text: str
    kind: Kind
    counters: Request | None = None

    @cached_property
    def words(self) -> str:
        return words_of(self.text)

    @property
    def harmful(self) -> bool:
        return self.kind.harmful and self.counters is None


def kinds(constitution: Constitution) -> list[Kind]:
    """All of its categories, the harmful ones first."""
    return [*_harmful(constitution), *_harmless(constitution)]


def shown(constitution: Constitution) -> list[str]:
    """Every example that an overseer is shown."""
    in_prompt = map(cleaned, _open_prompt("counterpart").split("\n"))
    return [*(text for _, _, text in constitution.examples()), *in_prompt]


def _harmful(constitution: Constitution) -> Iterator[Kind]:
    for name, one in constitution.harmful.items():
        near = [other for other in constitution.harmless.values() if other.near == name]
        yield Kind(name, True, "harmful", one, _examples(near or constitution.harmless.values()))


def _harmless(constitution: Constitution) -> Iterator[Kind]:
    everything = [*constitution.harmful.values(), *constitution.harmless.values()]
    for name, one in constitution.harmless.items():
        if one.near:
            outside = _examples([constitution.harmful[one.near]])
            yield Kind(name, False, "look_alike", one, outside)
            continue
        yield Kind(name, False, "harmless", one, _examples(x for x in everything if x is not one))


def _examples(categories: Iterable[Category]) -> tuple[str, ...]:
    return tuple(example for one in categories for example in one.examples)


class Writer:
    """The overseer, and what became of the calls.

    Attributes:
        counts: of calls and of lines that were no request.
    """

    def __init__(self, overseer: Chat, seed: int, counts: Counter[str]) -> None:
        self.overseer, self.seed, self.counts = overseer, seed, counts
        self._trusted: dict[tuple[Kind, bool], bool] = {}

    async def list_of(self, one: Kind, number: int) -> list[str]:
        """What a call, one of several for a category, brings.

        The answer is begun for the overseer: small models go on with a list better than they follow
        a description of one.
        """
        rng = named_rng(self.seed, "synthesis", one.name, str(number))
        examples, outside = (
            [some[i] for i in rng.permutation(len(some))[:SHOWN]]
            for some in (one.category.examples, one.outside)
        )
        asked = _prompt(
            one.prompt,
            about=one.category.about,
            boundary=one.category.boundary,
            outside="\n".join(f"- {example}" for example in outside),
        )
        opening = _opening(one, number, self.seed)
        begun = "".join(f"{i}. {example}\n" for i, example in enumerate(examples, 1))
        reply = await self._ask(
            asked,
            prefill=f"{begun}{len(examples) + 1}. {opening}",
            max_tokens=TOKENS * PER_CALL,
            temperature=TEMPERATURES[number % len(TEMPERATURES)],
            seed=int(rng.integers(2**31)),
        )
        if not self._answers(reply):
            return []
        # A served model may not go on from what it's given, but begin anew.
        goes_on = reply.text.startswith(" ")
        found, others = listed(f"0. {opening}{reply.text}" if goes_on else reply.text)
        self.counts["off the list"] += others
        self.counts["unparsable"] += not found
        return found

    async def counterpart_of(self, harmful: Request, number: int) -> list[Request]:
        """One, or none."""
        rng = named_rng(self.seed, "counterpart", harmful.text, str(number))
        reply = await self._ask(
            _prompt("counterpart", request=harmful.text),
            max_tokens=2 * TOKENS,
            temperature=TEMPERATURES[number % len(TEMPERATURES)],
            seed=int(rng.integers(2**31)),
        )
        if not self._answers(reply):
            return []
        lines = [text for line in reply.text.split("\n") if (text := cleaned(line))]
        self.counts["unparsable"] += not lines
        return [Request(text, harmful.kind, harmful) for text in lines[:1]]

    async def learn_trust(self, categories: Sequence[Kind]) -> None:
        """Asks of the constitution's own examples whether they mean harm. The overseer is trusted
        on a harmful category, and on its counterparts, where it tells most examples of it, and of
        what is outside of it, right."""
        harmful = [one for one in categories if one.harmful]
        sides = [(one, True, one.category.examples) for one in harmful]
        sides += [(one, False, one.outside) for one in harmful]
        texts = list(dict.fromkeys(text for *_, some in sides for text in some))
        means_harm = dict(zip(texts, await self._opinions(texts), strict=True))
        for one, side, some in sides:
            right = sum(means_harm[text] == side for text in some)
            self._trusted[one, side] = 2 * right > len(some)

    async def right(self, requests: Sequence[Request]) -> list[Request]:
        """Those that the overseer, where it's trusted, finds on the side they were written for.

        What it wrote for a harmless category isn't checked: there it strays to what is ordinary,
        and a check would take out those that look most like harm.
        """
        checked = [one for one in requests if self._trusted.get((one.kind, one.harmful))]
        says = await self._opinions([one.text for one in checked])
        wrong = {one for one, said in zip(checked, says, strict=True) if said != one.harmful}
        self.counts["wrong side"] += len(wrong)
        return [one for one in requests if one not in wrong]

    async def _opinions(self, texts: Sequence[str]) -> list[bool | None]:
        """Whether each means harm; None where the overseer doesn't say."""
        replies = await asyncio.gather(
            *(self._ask(_prompt("check", request=text), max_tokens=2) for text in texts)
        )
        words = [reply.text.strip(" \n*\"'").lower() for reply in replies]
        return [True if w[:3] == "yes" else False if w[:2] == "no" else None for w in words]

    async def _ask(self, text: str, **settings: object) -> Reply:
        self.counts["calls"] += 1
        reply = await self.overseer.ask(user(text), **settings)  # type: ignore[arg-type]
        self.counts["error"] += reply.is_lost
        return reply

    def _answers(self, reply: Reply) -> bool:
        """Whether there is something to read; counts it where there isn't."""
        if reply.is_lost:
            return False
        if reply.outcome == "empty":
            self.counts["unparsable"] += 1
            return False
        has_list = re.search(r"^\W*\d", reply.text, re.MULTILINE)
        refused = reply.outcome == "filtered" or (refuses(reply.text) and not has_list)
        self.counts["refused"] += refused
        return not refused


def _opening(one: Kind, number: int, seed: int) -> str:
    """How a call's list begins: the same for a harmful category and the harmless one near it."""
    openings = _prompt("openings").split("\n")
    order = named_rng(seed, "openings", one.category.near or one.name).permutation(len(openings))
    return openings[order[number % len(order)]]


def _open_prompt(name: str) -> str:
    return prompt_text("toprope.techniques.safeguards", f"prompts/{name}")


def _prompt(name: str, **values: object) -> str:
    return filled(_open_prompt(name), **values)


def listed(text: str) -> tuple[list[str], int]:
    """The requests of a list as models write them, cleaned, and how many other lines there were.

    The numbered lines; where there are none those with bullets, and failing these all. What is
    indented below an item isn't one. A last line without an end, among others that have one, was
    cut off.
    """
    lines = [line for line in textwrap.dedent(text).strip().split("\n") if line.strip()]
    for pattern in (NUMBERED, BULLET, ANY):
        matches = [re.match(pattern, line) for line in lines]
        items = [cleaned(match[1]) for match in matches if match]
        if items:
            break
    else:
        return [], len(lines)
    has_end = [bool(re.search(r"[.?!…\"'”)]$", item)) for item in items]
    if matches[-1] and not has_end[-1] and any(has_end):
        items.pop()
    items = [item for item in items if item]
    return items, len(lines) - len(items)


def cleaned(text: str) -> str:
    """A request without markdown, a label before it, and quotes around it."""
    text = re.sub(r"^\s*\*\*[^*]{1,40}(\*\*:|:\*\*)", "", text)
    text = re.sub(r"\*\*|__|`", "", text)
    text = re.sub(r"^\s*(harmful|harmless)?\s*(request|prompt)?\s*\d*:", "", text, flags=re.I)
    text = " ".join(text.split())
    quoted = re.fullmatch(r"[\"“„«'‘](.*)[\"”“»'’]\.?", text)
    return quoted[1].strip() if quoted else text


def words_of(text: str) -> str:
    """Equal for texts that differ in letter case, white space and punctuation alone."""
    return " ".join(re.findall(r"\w+", text.casefold()))

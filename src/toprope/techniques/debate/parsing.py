"""Reading what models write: letters, percentages, lists, refusals, and others' turns in one."""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files

REFUSED_WITHIN = 120
"""Characters from the beginning in which a pattern of `prompts/refusals.txt` is a refusal."""

_THOUGHT = re.compile(r"<(think(?:ing)?|scratchpad)>(.*?)(?:</\1>|\Z)", re.S | re.I)
_PERCENT = re.compile(r"(?<![\d.,])(\d{1,3}(?:\.\d+)?|\.\d+)(?![\d,]\d|\d)\s*(%|percent\b)?", re.I)
_MARKS = r"[\s*\"'(]*"
_NAMED = (
    re.compile(rf"\b(?:final\s+)?answer\b(?:\s+is)?[:\s]*{_MARKS}(?-i:([A-Z]))\b", re.I),
    re.compile(rf"\banswer\b[^.:\n]{{0,40}}:{_MARKS}(?-i:([A-Z]))\b", re.I),
    re.compile(r"\A\s*(?:I (?:think|believe|say)(?: that)? )?([A-Z]) is (?:right|correct)\W*\Z"),
    re.compile(r"\A[\s*\"'(]*([A-Z])[.)*]+\s+(?=[^\s\d])[^\n]*\Z"),
)
"""How an answer is named: by the word, by a sentence that is all there is, or by one line that
begins with its letter."""
_REJECTED = re.compile(r"(?:\bnot|\breject\w*|n't)[ \t]+(?:the[ \t]+)?\Z", re.I)
_ITEM = re.compile(r"^\s*(?:[-*]\s*)?\(?(\d{1,2})[.):]\s+(.+?)\s*$", re.M)


def split_thoughts(text: str) -> tuple[str, str]:
    """What is for all to see, and what was thought in <thinking>, <think> or <scratchpad>."""
    thoughts = "\n".join(found[2].strip() for found in _THOUGHT.finditer(text))
    return _THOUGHT.sub("", text).strip(), thoughts


def own_turn(text: str, speaker: str, others: Iterable[str]) -> tuple[str, bool]:
    """A turn without its speaker's label, ended where a line begins another's; whether it was.

    Args:
        others: names that may not speak in this turn.
    """
    text = re.sub(rf"\A\s*{_label(speaker)}\s*", "", text, flags=re.I)
    names = [name for name in others if name != speaker]
    if not names:
        return text.strip(), False
    anyone = "|".join(_label(name) for name in names)
    begun = re.search(rf"^\s*(?:{anyone})", text, re.M | re.I)
    return (text[: begun.start()].strip(), True) if begun else (text.strip(), False)


def _label(name: str) -> str:
    """A name as transcripts have it: "Debater A:", "**Debater A** (round 2):", "[Judge]:"."""
    return rf"[*#\[\s]*{re.escape(name)}[*\]]*\s*(?:\([^)\n]{{0,20}}\))?[*\]]*\s*:[*]*"


def refuses(text: str) -> bool:
    """Whether it declines to play its part."""
    beginning = " ".join(text.replace("\u2019", "'").casefold().split())[:REFUSED_WITHIN]
    return any(phrase.search(beginning) for phrase in _refusals())


@cache
def _refusals() -> tuple[re.Pattern[str], ...]:
    path = files("toprope.techniques.debate").joinpath("prompts/refusals.txt")
    lines = path.read_text(encoding="utf-8").split("\n")
    return tuple(re.compile(rf"\b(?:{line})") for line in lines if line)


def percent(text: str) -> float | None:
    """The last number from 0 to 100 that the text says, which is one with a % where there is any.
    A fraction such as 0.7 without % is 70."""
    numbers = []
    for found in _PERCENT.finditer(text):
        value = float(found[1])
        if not found[2] and "." in found[1] and value <= 1:
            value *= 100
        if value <= 100:
            numbers.append((bool(found[2]), value))
    marked = [value for with_sign, value in numbers if with_sign]
    return (marked or [value for _, value in numbers] or [None])[-1]


def letter(text: str, letters: Sequence[str]) -> str | None:
    """The letter that the text names as its answer: the last one after "answer" that isn't
    rejected; else that of the one line that it is."""
    for pattern in _NAMED:
        named = [
            one[1]
            for one in pattern.finditer(text)
            if one[1] in letters and not _REJECTED.search(text[: one.start()])
        ]
        if named:
            return named[-1]
    alone = re.fullmatch(r"[\s*\"'(]*([A-Za-z])[\s*\"').:]*", text)
    return alone[1].upper() if alone and alone[1].upper() in letters else None


def probabilities(text: str, letters: Sequence[str]) -> tuple[float, ...] | None:
    """Of each letter, from lines such as "A: 70%", summing to one; None: some letter has none.

    Of two letters one is enough.
    """
    said: dict[str, float] = {}
    for one in letters:
        lines = re.findall(rf"(?:^|[\s(*]){one}[)*]*\s*[:=]\s*([^\n,;]+)", text)
        lines += re.findall(rf"^\W*{one}[.)]\s*(\d[\d.]*\s*%)", text, re.M)
        values = [value for line in lines if (value := _leading_percent(line)) is not None]
        if values:
            said[one] = values[-1]
    if len(letters) == 2 and len(said) == 1:
        [(only, value)] = said.items()
        said[letters[1 - letters.index(only)]] = 100 - value
    total = sum(said.values())
    if len(said) < len(letters) or total <= 0:
        return None
    return tuple(said[one] / total for one in letters)


def _leading_percent(line: str) -> float | None:
    return percent(line) if re.match(r"[\s*~]*[\d.]", line) else None


def items(text: str) -> tuple[str, ...]:
    """A numbered list's items, in their order."""
    return tuple(found[2] for found in _ITEM.finditer(text))


def listed_percents(text: str, n: int) -> tuple[float | None, ...]:
    """Of items 1 to n, from lines such as "2: 80%"; None where an item has none."""
    said: dict[int, float] = {}
    for number, rest in _ITEM.findall(text):
        value = percent(rest)
        if value is not None:
            said[int(number)] = value
    return tuple(said.get(number) for number in range(1, n + 1))


def direction(text: str) -> int | None:
    """+1 where it says that an estimate is too low, -1 too high, 0 right; None: it says neither."""
    found = re.search(r"probability\s+is\W*(?:too\s+)?(low|high|right)\b", text, re.I)
    found = found or re.search(r"\btoo\s+(low|high)\b", text, re.I)
    return {"low": 1, "high": -1, "right": 0}[found[1].lower()] if found else None


def number(text: str, most: int) -> int | None:
    """The first whole number from 1 to `most`, counted from 0."""
    found = re.findall(r"(?<![\d.,])\d+(?!\d|[.,]\d|\s*%)", text)
    return next((int(one) - 1 for one in found if 1 <= int(one) <= most), None)

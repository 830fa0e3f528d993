"""Reading what models write: letters, percentages, lists, refusals, and others' turns in one."""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files

REFUSED_WITHIN = 120
"""Characters from the beginning in which a pattern of `prompts/refusals.txt` is a refusal."""

_THOUGHT = re.compile(r"<(think(?:ing)?|scratchpad)>(.*?)(?:</\1>|\Z)", re.S | re.I)
_OF_100 = re.compile(r"(?<=\d)\s*(?:/|out of)\s*100\b(?!\s*%)", re.I)
_PERCENT = re.compile(r"(?<![\d.,])(\d{1,3}(?:\.\d+)?|\.\d+)(?![\d,]\d|\d)\s*(%|percent\b)?", re.I)
_MARKED = re.compile(rf"\d\s*(?:%|percent\b)|{_OF_100.pattern}", re.I)
_MARKS = r"[\s*\"'(]*"
_LETTER = r"(?-i:(?!I(?:['\u2019]|\s+(?!is\b)[a-z]))([A-Z]))"
"""A capital that isn't the word "I" before another one."""
_NAMED = (
    re.compile(rf"^\W*(?:final\s+)?answer(?:\s+is)?\s*:\s*{_MARKS}{_LETTER}\b", re.I | re.M),
    re.compile(rf"\b(?:final\s+)?answer\b(?:\s+is)?[:\s]*{_MARKS}{_LETTER}\b", re.I),
    re.compile(rf"\banswer\b[^.:\n]{{0,40}}:{_MARKS}{_LETTER}\b", re.I),
    re.compile(r"\A\s*(?:I (?:think|believe|say)(?: that)? )?([A-Z]) is (?:right|correct)\W*\Z"),
    re.compile(r"\A[\s*\"'(]*([A-Z])[.)*]+\s+(?=[^\s\d])[^\n]*\Z"),
)
"""How an answer is named: at the beginning of a line, by the word, by a sentence that is all there
is, or by one line that begins with its letter."""
_REJECTED = re.compile(
    r"(?:\b(?:not|reject\w*|than|over|instead of|against|unlike)|n't)[ \t]+(?:the[ \t]+)?\Z",
    re.I,
)
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


def put_question(text: str, names: Iterable[str]) -> str:
    """A question without the name in front that it is put to; "" where that is all there is."""
    anyone = "|".join(map(re.escape, names))
    return re.sub(rf"\A\W*(?:to\s+)?(?:{anyone})\b\W*?(?:[:,]\W*|\W*\Z)", "", text, flags=re.I)


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
    for found in _PERCENT.finditer(_OF_100.sub("%", text)):
        value = float(found[1])
        if not found[2] and "." in found[1] and value <= 1:
            value *= 100
        if value <= 100:
            numbers.append((bool(found[2]), value))
    marked = [value for with_sign, value in numbers if with_sign]
    return (marked or [value for _, value in numbers] or [None])[-1]


def stated_percent(text: str) -> float | None:
    """The last number with a %; without any, the number that is all that the text says."""
    is_clear = _MARKED.search(text) or re.fullmatch(r"\W*\d+(?:\.\d+)?\W*", text)
    return percent(text) if is_clear else None


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
    """Of each letter, from "A: 70%" on lines of their own or in a row, summing to one; None: some
    letter has none.

    Of two letters one is enough.
    """
    said: dict[str, float] = {}
    anyone = "|".join(letters)
    for one in letters:
        lines = re.findall(rf"(?:^|[\s(*]){one}[)*]*\s*[:=]\s*([^\n,;]+)", text)
        lines = [re.split(rf"[\s(*](?:{anyone})[)*]*\s*[:=]", line)[0] for line in lines]
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


def direction(text: str) -> int | None:
    """+1 where it says that an estimate is too low, -1 too high, 0 right; None: it says neither."""
    found = re.search(r"probability\s+is\W*(?:too\s+)?(low|high|right)\b", text, re.I)
    found = found or re.search(r"\btoo\s+(low|high)\b", text, re.I)
    return {"low": 1, "high": -1, "right": 0}[found[1].lower()] if found else None


def chosen(text: str, items: Sequence[str]) -> int | None:
    """Which item the line "Claim: ..." names, counted from 0: by its number alone or with its words
    behind it, or by words that stand in no other; None: none of them."""
    found = re.search(r"^\W*claim\b(?:\s+number)?[^\w\n]*(.*?)\W*$", text, re.I | re.M)
    said = found[1] if found else ""
    numbered = re.match(r"(?:no\.?\s*)?(\d{1,2})(?:\W*\Z|[.):]\s|\s*\(\d)", said, re.I)
    if numbered and 1 <= int(numbered[1]) <= len(items):
        return int(numbered[1]) - 1
    words = " ".join(said.casefold().split())
    inside = [i for i, one in enumerate(items) if words and words in one.casefold()]
    return inside[0] if len(inside) == 1 else None

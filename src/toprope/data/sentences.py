"""Sentences of a text, by their punctuation alone: an abbreviation's point ends one too."""

import re
from collections.abc import Iterator

SENTENCE = re.compile(r"(?:(?<!\d)|(?<=\d{3}))[.!?]+[\"'*)\]]*(?=\s|$)|\n")
"""A sentence's end, or a line's; not the number of a list's item, which has a digit or two."""

_CLOSERS = "\"'*)\\]\u201d\u2019\u00bb\u300d\u300f\uff09"
_PIECE = re.compile(
    rf"\S.*?(?:[.!?\u2026]+[{_CLOSERS}]*(?=\s|\Z)"
    r"|[\u3002\uff01\uff1f\uff61\u0964]+[\u201d\u2019\u300d\u300f\uff09]*|\Z)",
    re.S,
)
"""Up to a point, of other scripts too."""
_LABEL = re.compile(r"\(?\w{1,2}[.)]")
"""A list's number, an initial."""
_LOWER = re.compile(r"\s*[^\W\d_](?=[^\W\d_]|\s)")
"""A word's beginning; the x of 2x=6 is none."""


def sentences(text: str) -> list[str]:
    """All of a text, sentence by sentence. A line's end ends one too, as in lists, verses and
    calculations, unless a line of the paragraph goes on in lower case, as in prose of a set width.
    """
    found: list[str] = []
    for part in _parts(text):
        pieces = [match[0].strip() for match in _PIECE.finditer(part)]
        for i, piece in enumerate(pieces):
            follows_label = i and _LABEL.fullmatch(pieces[i - 1])
            found.append(f"{found.pop()} {piece}" if follows_label else piece)
    return found


def _parts(text: str) -> Iterator[str]:
    """Paragraphs, or their lines."""
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.splitlines()
        goes_on = any(_LOWER.match(line) and line.lstrip()[0].islower() for line in lines[1:])
        yield from [paragraph] if goes_on else lines


def whole_sentences(text: str) -> str:
    """What a model wrote before it ran out of tokens, up to the end of its last whole sentence; ""
    where there is none. (A text that is learned from ends with an end token: one that breaks off
    would teach to break off.)
    """
    text = text.strip()
    ends = [match.end() for match in SENTENCE.finditer(text)]
    return text[: ends[-1]].strip() if ends else ""

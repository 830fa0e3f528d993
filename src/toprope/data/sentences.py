"""Sentences of a text, by their punctuation alone: an abbreviation's point ends one too."""

import re

SENTENCE = re.compile(r"(?:(?<!\d)|(?<=\d{3}))[.!?]+[\"'*)\]]*(?=\s|$)|\n")
"""A sentence's end, or a line's; not the number of a list's item, which has a digit or two."""

_CLOSERS = "\"'*)\\]\u201d\u2019\u00bb\u300d\u300f\uff09"
_PIECE = re.compile(
    rf"\S.*?(?:[.!?\u2026]+[{_CLOSERS}]*(?=\s|\Z)|[\u3002\uff01\uff1f\uff61\u0964]+[\u201d\u2019\u300d\u300f\uff09]*"
    r"|(?=\n\s*\n)|(?=\n\s*[-*\u2022]\s)|\Z)",
    re.S,
)
"""Up to a point, of other scripts too, or the end of a paragraph or of a list's item."""
_LABEL = re.compile(r"\(?\w{1,2}[.)]")
"""A list's number, an initial."""


def sentences(text: str) -> list[str]:
    """All of a text, sentence by sentence; a line's end within a sentence stays in it."""
    found: list[str] = []
    for piece in _PIECE.finditer(text):
        one = piece[0].strip()
        if found and _LABEL.fullmatch(found[-1]):
            one = f"{found.pop()} {one}"
        found.append(one)
    return found


def whole_sentences(text: str) -> str:
    """What a model wrote before it ran out of tokens, up to the end of its last whole sentence; ""
    where there is none. (A text that is learned from ends with an end token: one that breaks off
    would teach to break off.)
    """
    text = text.strip()
    ends = [match.end() for match in SENTENCE.finditer(text)]
    return text[: ends[-1]].strip() if ends else ""

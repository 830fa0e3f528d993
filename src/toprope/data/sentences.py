"""Sentences of a text, by their punctuation alone: an abbreviation's point ends one too."""

import re

SENTENCE = re.compile(r"(?:(?<!\d)|(?<=\d{3}))[.!?]+[\"'*)\]]*(?=\s|$)|\n")
"""A sentence's end, or a line's; not the number of a list's item, which has a digit or two."""


_BETWEEN = re.compile(r"(?<=[.!?])\s+|(?<=[.!?][\"'\u201d\u2019)\]])\s+|\n\s*\n")
"""What is between two sentences or paragraphs."""


def sentences(text: str) -> list[str]:
    """All of a text, sentence by sentence; a line's end within a sentence stays in it."""
    return [one for part in _BETWEEN.split(text) if (one := part.strip())]


def whole_sentences(text: str) -> str:
    """What a model wrote before it ran out of tokens, up to the end of its last whole sentence; ""
    where there is none. (A text that is learned from ends with an end token: one that breaks off
    would teach to break off.)
    """
    text = text.strip()
    ends = [match.end() for match in SENTENCE.finditer(text)]
    return text[: ends[-1]].strip() if ends else ""

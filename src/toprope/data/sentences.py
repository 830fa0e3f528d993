"""Whole sentences: what a model wrote before it ran out of tokens, up to the last one's end.

A text that is learned from ends with an end token: one that breaks off would teach to break off.
"""

import re

SENTENCE = re.compile(r"(?:(?<!\d)|(?<=\d{3}))[.!?]+[\"'*)\]]*(?=\s|$)|\n")
"""A sentence's end, or a line's; not the number of a list's item, which has a digit or two."""


def whole_sentences(text: str) -> str:
    """The text up to the end of its last whole sentence; "" where there is none."""
    text = text.strip()
    ends = [match.end() for match in SENTENCE.finditer(text)]
    return text[: ends[-1]].strip() if ends else ""

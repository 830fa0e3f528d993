"""SVG elements that are escaped by construction.

Every figure is made of `element(...)` calls, so no string from data or a model reaches the page as
markup: children that aren't `Markup` already are escaped, and so is every attribute.
"""

import unicodedata
from itertools import accumulate

from markupsafe import Markup, escape

from toprope.report.text import ELLIPSIS, clean

# Advances in em of the widest common system fonts: too much room is better than text cut off.
_NARROW, _MIDDLE, _BROAD = 0.42, 0.65, 0.98
# No label shows more of a text than this, however long a text that a model wrote.
_LONGEST = 200
_NARROW_CHARACTERS = frozenset(" !'(),./:;I[]fijlrt|\u2019")
_BROAD_CHARACTERS = frozenset("%@MWmw\u2026")


def element(name: str, *children: str, **attributes: str | float) -> Markup:
    """`<name attributes>children</name>`.

    An attribute's underscores become hyphens (`stroke_width`), a trailing one is dropped
    (`class_`), and numbers are rounded to a hundredth of a unit.
    """
    pairs = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _value(value))
        for key, value in attributes.items()
    )
    inside = Markup("").join(
        child if isinstance(child, Markup) else escape(clean(child)) for child in children
    )
    tag = Markup(name)
    return Markup("<{}{}>{}</{}>").format(tag, pairs, inside, tag)


def label(
    text: str, x: float, y: float, *, size: float = 13, anchor: str = "start", **attributes: str
) -> Markup:
    """A text whose baseline begins (or has its middle or end, by `anchor`) at x, y."""
    return element("text", text, x=x, y=y, font_size=size, text_anchor=anchor, **attributes)


def drawing(*children: Markup, title: str, description: str, width: float, height: float) -> Markup:
    """The `<svg>` itself, which scales with its box.

    To a screen reader it is one image with a name and a description.
    """
    return element(
        "svg",
        element("title", title),
        element("desc", description),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        role="img",
        aria_label=title,
        fill="currentColor",
    )


def text_width(text: str, size: float) -> float:
    """About how wide a text is, in user units."""
    return size * sum(map(_advance, text))


def fit(text: str, width: float, size: float) -> str:
    """The text cut to a width, with an ellipsis where it was cut, on one line."""
    text = " ".join(clean(text[:_LONGEST]).split())
    if text_width(text, size) <= width:
        return text
    room = width / size - _advance(ELLIPSIS)
    ends = accumulate(map(_advance, text))
    return text[: sum(end <= room for end in ends)].rstrip() + ELLIPSIS


def wrap(text: str, width: float, size: float, lines: int) -> list[str]:
    """The text broken between words into at most so many lines, the last of them cut to fit."""
    words = clean(text[:_LONGEST]).split()
    broken: list[str] = []
    while words and len(broken) < lines - 1:
        taken = 1
        while taken < len(words) and text_width(" ".join(words[: taken + 1]), size) <= width:
            taken += 1
        broken.append(fit(" ".join(words[:taken]), width, size))
        words = words[taken:]
    return [*broken, fit(" ".join(words), width, size)] if words else broken


def _advance(char: str) -> float:
    if char in _NARROW_CHARACTERS:
        return _NARROW
    broad = char in _BROAD_CHARACTERS or unicodedata.east_asian_width(char) in "WF"
    return _BROAD if broad else _MIDDLE


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return clean(value)
    return f"{value:.2f}".rstrip("0").rstrip(".")

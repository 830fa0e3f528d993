"""A window of text as HTML: each token shaded by its activation, white space made visible.

The shade is one of `LEVELS` classes rather than a style of its own, which the page's policy would
have to allow for any text. The exact activation is in each token's title.
"""

import re
from functools import lru_cache

from markupsafe import Markup, escape

from toprope.report.text import PLAIN, clean
from toprope.techniques.interpretability.windows import Window

LEVELS = 12

_GLYPHS = {
    "\n": "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}",
    "\r": "\N{SYMBOL FOR CARRIAGE RETURN}",
    "\t": "\N{RIGHTWARDS ARROW TO BAR}",
    " ": "\N{MIDDLE DOT}",
    "\u00a0": "\N{SHOULDERED OPEN BOX}",
    "\u00ad": "\N{HYPHENATION POINT}",
}
# What a reader wouldn't see: a single space between words is seen.
_UNSEEN = re.compile(r"[\n\r\t\u00a0\u00ad]|  +|^ $")
_SPACES = re.compile(r"[\n\r\t\u00a0\u00ad ]")
_NOTHING = "\N{WHITE VERTICAL RECTANGLE}"


def level(activation: float, highest: float) -> int:
    """How dark a token is: 0 where silent, `LEVELS` at the latent's highest, linear between."""
    if not (activation > 0 and highest > 0):
        return 0
    steps = LEVELS * min(1.0, activation / highest)
    return max(1, -int(-steps // 1))


def spelled(token: str) -> Markup:
    """A token on its own, each of its spaces visible."""
    return _visible(token, _SPACES) if token else _glyph(_NOTHING)


def window_html(window: Window, highest: float) -> Markup:
    """The window's tokens, each in a span with its activation for a title.

    The peak has the class `p`. In a negative, where nothing fires, the token that the window is
    around has the class `n` if a neighbour peaks there.
    """
    peak = window.activations.index(window.peak) if window.peak > 0 else -1
    spans = []
    for place, (token, activation) in enumerate(
        zip(window.tokens, window.activations, strict=True)
    ):
        shade = level(activation, highest)
        if not token and not shade:
            continue
        classes = [f"s{shade}"] * (shade > 0) + ["p"] * (place == peak)
        title = PLAIN.text(activation) if shade else "0"
        if not token:
            title += ": part of the character before"
        if window.kind == "hard" and place == window.centre:
            classes.append("n")
            title += ": here a neighbour fires"
        named = f' class="{" ".join(classes)}"' if classes else ""
        text = _running(token) if token else _glyph(_NOTHING)
        # All of these are numbers and words of this file, or escaped already.
        spans.append(f'<span{named} title="{title}">{text}</span>')
    return Markup("".join(spans))


@lru_cache(maxsize=2**16)
def _running(token: str) -> Markup:
    return _visible(token, _UNSEEN)


def _visible(token: str, unseen: re.Pattern[str]) -> Markup:
    """The token, escaped, with glyphs for what `unseen` finds; what hides or reorders text is
    replaced."""
    parts, end = [], 0
    for match in unseen.finditer(token):
        parts.append(escape(clean(token[end : match.start()])))
        parts.extend(_glyph(_GLYPHS[char]) for char in match[0])
        end = match.end()
    return Markup("").join([*parts, escape(clean(token[end:]))])


def _glyph(char: str) -> Markup:
    return Markup("<i>{}</i>").format(char)

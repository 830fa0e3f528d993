"""Numbers and short texts as a reader sees them: percentages, intervals, durations, clean strings.

Rounding happens here and nowhere else, so that the same number reads the same in a sentence, a
figure and a table.
"""

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

EN_DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"

# Metrics that are shares of a whole, by the beginning or the end of their name.
_SHARES = ("misfit", "agreement", "attack_success", "over_refusal", "hit_at_")
_SHARE_ENDINGS = ("accuracy", "_rate", "_share")


@dataclass(frozen=True)
class Format:
    """How the numbers of one metric are written.

    `digits` after the point; None where the metric's scale isn't known beforehand: three
    significant digits.
    """

    scale: float = 1.0
    suffix: str = ""
    digits: int | None = None

    def text(self, value: float) -> str:
        """0.712 -> "71.2%"; with a true minus sign, and never "-0.00"."""
        return self._number(value) + (self.suffix if math.isfinite(value) else "")

    def span(self, low: float, high: float) -> str:
        """0.69, 0.731 -> "69.0–73.1"; "to" where a minus sign would make the dash hard to read."""
        between = " to " if min(low, high) < 0 else EN_DASH
        return f"{self._number(low)}{between}{self._number(high)}"

    def with_interval(self, value: float, low: float, high: float) -> str:
        """0.712, 0.69, 0.731 -> "71.2% (69.0–73.1)"."""
        return f"{self.text(value)} ({self.span(low, high)})"

    def tick(self, value: float, step: float) -> str:
        """An axis label, with just the digits that tell ticks `step` apart."""
        step *= self.scale
        digits = next(d for d in range(16) if d == 15 or math.isclose(round(step, d), step))
        return _fixed(value * self.scale, digits) + self.suffix

    def _number(self, value: float) -> str:
        value *= self.scale
        if not math.isfinite(value):
            return str(value)
        return _significant(value) if self.digits is None else _fixed(value, self.digits)


PERCENT = Format(scale=100, suffix="%", digits=1)
DECIMAL = Format(digits=2)
POINTS = Format(scale=100, suffix=" points", digits=1)
PLAIN = Format()
_ACRONYMS = frozenset({"ccs", "pgr"})
_NAMED = {"pgr": DECIMAL, "gap": POINTS}
_GAINS = "gain_over_"


def format_for(metric: str) -> Format:
    """How a metric is written: shares of a whole as percentages, ratios with two digits."""
    if metric in _NAMED:
        return _NAMED[metric]
    if metric.startswith(_GAINS):
        return POINTS
    share = metric.startswith(_SHARES) or metric.endswith(_SHARE_ENDINGS)
    return PERCENT if share else PLAIN


def level_name(levels: Iterable[float]) -> str:
    """ "95%" where all intervals have that level, "90% or 95%" where they differ."""
    return " or ".join(f"{100 * level:g}%" for level in sorted(set(levels)))


def listing(items: Sequence[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def counted(number: int, singular: str) -> str:
    """1, "example" -> "1 example"; 2000 -> "2,000 examples"."""
    return f"{number:,} {singular if number == 1 else singular + 's'}"


def duration(seconds: float) -> str:
    """3 -> "3.0 s", 75 -> "1 min 15 s", 7500 -> "2 h 5 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def in_words(name: str) -> str:
    """ "random_errors" -> "random errors", "pgr" -> "PGR"."""
    words = name.replace("_", " ").split(" ")
    return " ".join(word.upper() if word in _ACRONYMS else word for word in words)


def capitalised(text: str) -> str:
    """The text with its first letter in upper case, the rest untouched."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """The text, ending as a sentence does."""
    text = text.strip()
    return text if not text or text[-1] in ".!?" else text + "."


def clean(text: str) -> str:
    """The text without characters that hide or reorder what a reader sees.

    Control characters, bidirectional overrides and lone surrogates (which no file can hold) become
    U+FFFD; newlines, tabs, soft hyphens and the joiners that some scripts need (U+200C, U+200D)
    stay.
    """
    text = text.replace("\r\n", "\n")
    return "".join("\N{REPLACEMENT CHARACTER}" if _hides(char) else char for char in text)


def _hides(char: str) -> bool:
    if char in "\n\t\u00ad\u200c\u200d":
        return False
    return unicodedata.category(char) in ("Cc", "Cf", "Cs")


def _fixed(value: float, digits: int) -> str:
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if not float(text.replace(",", "")) else text.replace("-", MINUS)


def _significant(value: float) -> str:
    if value == 0:
        return "0"
    places = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    if not 1e-4 <= abs(rounded) < 1e7:
        return f"{rounded:.2e}".replace("-", MINUS)
    return f"{rounded:,.{max(0, places)}f}".replace("-", MINUS)

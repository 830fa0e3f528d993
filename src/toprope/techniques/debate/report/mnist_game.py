"""A picture of one sparse MNIST debate: the digit, and what each side revealed of it, in order.

Beside it stands what the judge believed after each pixel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from toprope.report.figures import STACKED_BELOW
from toprope.report.marks import line, mark, stroke
from toprope.report.svg import drawing, element, fit, label
from toprope.techniques.debate.mnist.records import GameRecord, Reveal

_CELL = 9.0
_LEFT, _TOP = 4.0, 60.0
_HEADING = 22.0
_GAP = 60.0
_NAMES = 100.0
_CHART_HEIGHT = 170.0
_SMALL = 11.5


@dataclass(frozen=True)
class _Place:
    """Where the chart of beliefs stands."""

    left: float
    top: float
    width: float
    height: float

    @property
    def bottom(self) -> float:
        return self.top + self.height


def game_picture(game: GameRecord, *, title: str = "", width: float = 680) -> Markup:
    """The game as an SVG element; honest pixels are filled circles, the liar's hollow diamonds.

    Args:
        title: that stands over it already; by default it's drawn, and says what the debate is
            about.
        width: of the drawing; where it's narrow, the chart stands under the digit.
    """
    size = len(game.image) * _CELL
    left = _LEFT + size + _GAP
    beside = _Place(left, _TOP, width - left - _NAMES, size)
    under = _Place(_LEFT + 12, _TOP + size + 80, width - _LEFT - 12 - _NAMES, _CHART_HEIGHT)
    place = under if width < STACKED_BELOW else beside
    lie = "any other digit" if game.lie is None else str(game.lie)
    named = f"A debate over a {game.truth}: the liar claims {lie}"
    heading = [] if title else [label(fit(named, width - _LEFT, 14), _LEFT, 18, size=14)]
    parts = [
        *heading,
        label(fit(_rules(game), width - _LEFT, _SMALL), _LEFT, 35, size=_SMALL, class_="muted"),
        *_digit(game),
        *_revealed(game.reveals),
        *_beliefs(game, place),
        *_key(_TOP + size + 22),
    ]
    above = _HEADING if title else 0.0
    return drawing(
        element("g", *parts, transform=f"translate(0 {-above:g})"),
        title=title or named,
        description=_in_words(game),
        width=width,
        height=max(_TOP + size + 36, place.bottom + 26) - above,
    )


def _rules(game: GameRecord) -> str:
    return f"{game.rules}; {_outcome(game)}"


def _outcome(game: GameRecord) -> str:
    return "the judge sides with the truth" if game.honest_won else "the judge sides with the liar"


def _digit(game: GameRecord) -> list[Markup]:
    side = len(game.image)
    frame: dict[str, str | float] = {"fill": "none", "stroke": "currentColor"}
    pixels = [
        element(
            "rect",
            x=_LEFT + column * _CELL,
            y=_TOP + row * _CELL,
            width=_CELL,
            height=_CELL,
            fill="currentColor",
            fill_opacity=round(0.4 * value / 255, 2),
        )
        for row, values in enumerate(game.image)
        for column, value in enumerate(values)
        if value
    ]
    size = side * _CELL
    edge = element("rect", x=_LEFT, y=_TOP, width=size, height=size, stroke_opacity=0.3, **frame)
    return [*pixels, edge]


def _revealed(reveals: Sequence[Reveal]) -> list[Markup]:
    """The pixels' marks, then their numbers, which no mark may hide."""
    places = [
        (_LEFT + (one.column + 0.5) * _CELL, _TOP + (one.row + 0.5) * _CELL) for one in reveals
    ]
    marks = [
        mark("result" if one.honest else "reference", x, y, 4.5)
        for (x, y), one in zip(places, reveals, strict=True)
    ]
    numbers = [
        label(str(number), x + 7, y - 4, size=_SMALL, font_weight="bold")
        for number, (x, y) in enumerate(places, start=1)
    ]
    return [*marks, *numbers]


def _beliefs(game: GameRecord, at: _Place) -> list[Markup]:
    """The judge's probability of the truth, and of the lie: of the likeliest other, where the liar
    hasn't committed to one."""
    step = at.width / max(1, len(game.reveals) - 1)
    across = [at.left + k * step for k in range(len(game.reveals))]

    def up(shares: Sequence[float]) -> list[tuple[float, float]]:
        return [(x, at.top + at.height * (1 - p)) for x, p in zip(across, shares, strict=True)]

    truths = up([one.beliefs[game.truth] for one in game.reveals])
    lies = up([_of_lie(game, one) for one in game.reveals])
    right, bottom = at.left + at.width, at.bottom
    marks = [
        mark("result" if one.honest else "reference", x, bottom + 14, 3.5)
        for x, one in zip(across, game.reveals, strict=True)
    ]
    named_lie = "likeliest other" if game.lie is None else f"lie: {game.lie}"
    return [
        line(at.left, bottom, right, bottom, "axis"),
        line(at.left, at.top, at.left, bottom, "axis"),
        label("1", at.left - 6, at.top + 4, size=_SMALL, anchor="end"),
        label("0", at.left - 6, bottom + 4, size=_SMALL, anchor="end"),
        label("the judge's belief after each pixel", at.left, at.top - 8, size=_SMALL),
        stroke(truths, "result", 2),
        stroke(lies, "control", 1.5, stroke_dasharray="5 4"),
        *_named(f"truth: {game.truth}", named_lie, truths[-1], lies[-1]),
        *marks,
    ]


def _of_lie(game: GameRecord, reveal: Reveal) -> float:
    if game.lie is not None:
        return reveal.beliefs[game.lie]
    return max(p for c, p in enumerate(reveal.beliefs) if c != game.truth)


def _named(
    truth: str, lie: str, truth_at: tuple[float, float], lie_at: tuple[float, float]
) -> list[Markup]:
    """The curves' names at their ends, kept apart where the curves meet."""
    truth_y, lie_y = truth_at[1], lie_at[1]
    if abs(truth_y - lie_y) < 14:
        middle, away = (truth_y + lie_y) / 2, 7 if truth_y <= lie_y else -7
        truth_y, lie_y = middle - away, middle + away
    return [
        label(truth, truth_at[0] + 8, truth_y + 4, size=_SMALL),
        label(lie, lie_at[0] + 8, lie_y + 4, size=_SMALL),
    ]


def _key(y: float) -> list[Markup]:
    return [
        mark("result", _LEFT + 5, y - 4, 4.5),
        label("honest agent", _LEFT + 16, y, size=_SMALL),
        mark("reference", _LEFT + 111, y - 4, 4.5),
        label("liar", _LEFT + 122, y, size=_SMALL),
    ]


def _in_words(game: GameRecord) -> str:
    moves = "; ".join(
        f"pixel {number} by the {'honest agent' if one.honest else 'liar'} at row {one.row}, "
        f"column {one.column}: truth {one.beliefs[game.truth]:.2f}, lie {_of_lie(game, one):.2f}"
        for number, one in enumerate(game.reveals, start=1)
    )
    return f"{moves}. In the end {_outcome(game)}."

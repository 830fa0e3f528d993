"""A latent's page: what it's called, whether that holds up, and the texts on which it fires.

One self-contained HTML file without any script. All that is optional and isn't given is left out
of the page, headings included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from toprope.report.page import Highlight
from toprope.report.text import DECIMAL, PLAIN, Format
from toprope.statistics import Interval
from toprope.techniques.interpretability.examples import EDGES, LatentExamples
from toprope.techniques.interpretability.pages.figures import histogram_plot, scores_plot, short
from toprope.techniques.interpretability.pages.html import check_link, document, write
from toprope.techniques.interpretability.pages.tokens import LEVELS, spelled, window_html
from toprope.techniques.interpretability.windows import Window

_RATE = Format(scale=100, suffix="%")


@dataclass(frozen=True)
class Score:
    """How well a label tells where the latent fires, and what the same scorer gives without it.

    Attributes:
        name: of the scorer and its measure: "Detection, balanced accuracy".
        controls: (name, score): the label of another latent, no information at all.
    """

    name: str
    interval: Interval
    controls: tuple[tuple[str, Interval], ...] = ()


@dataclass(frozen=True)
class Recurrence:
    """Whether dictionaries of other seeds found the latent: the share of them, and the highest
    cosine with any latent of theirs."""

    share: float
    seeds: int
    best_cosine: float


@dataclass(frozen=True)
class Histogram:
    """Counts of a latent's activations; `edges` of the bins, one more than there are counts."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.edges) != len(self.counts) + 1 or not self.counts:
            raise ValueError(f"{len(self.edges)} edges of {len(self.counts)} bins")


@dataclass(frozen=True)
class Group:
    """Windows of one sort, in the order in which they're shown."""

    title: str
    windows: tuple[Window, ...]
    note: str = ""


@dataclass(frozen=True)
class Neighbour:
    """A latent with a near decoder direction; `href` of its page, if that is written."""

    latent: int
    cosine: float
    label: str | None = None
    href: str | None = None

    def __post_init__(self) -> None:
        check_link(self.href)


@dataclass(frozen=True)
class Steered:
    """What adding the latent's direction did to the model's next token.

    Attributes:
        multiple: of the latent's highest activation.
        kl: from the unsteered model's predictions, in nats.
        control_kl: the same for a random direction of equal length.
        promoted: the tokens that gained most.
    """

    multiple: float
    kl: float
    control_kl: float
    promoted: tuple[str, ...] = ()


@dataclass(frozen=True)
class LatentPage:
    """All that a page says.

    Attributes:
        dictionary: its title, as a reader knows it.
        highest: the latent's highest activation on any token, which shades are relative to.
        label, labelled_by: what it's called, and by what means.
        interpretable, definition: the verdict, and what it means by the word.
        scores: the main one first.
        rate: the share of tokens on which it fires.
        promoted, suppressed: (token, logit) by the unembedding of its direction.
        corpus: where the texts come from.
        index: link to the dictionary's index.
    """

    latent: int
    dictionary: str
    highest: float
    label: str | None = None
    labelled_by: str | None = None
    interpretable: bool | None = None
    definition: str | None = None
    scores: tuple[Score, ...] | None = None
    recurrence: Recurrence | None = None
    rate: float | None = None
    histogram: Histogram | None = None
    groups: tuple[Group, ...] | None = None
    neighbours: tuple[Neighbour, ...] | None = None
    promoted: tuple[tuple[str, float], ...] | None = None
    suppressed: tuple[tuple[str, float], ...] | None = None
    steered: tuple[Steered, ...] | None = None
    corpus: str | None = None
    index: str | None = None

    def __post_init__(self) -> None:
        check_link(self.index)


def page_name(latent: int) -> str:
    """The file of a latent's page, within the folder of its dictionary's pages."""
    return f"latent-{latent}.html"


def write_page(page: LatentPage, folder: Path) -> Path:
    """Writes the page and returns its path.

    Raises:
        UserError: the file can't be written.
    """
    return write(folder / page_name(page.latent), render(page))


def render(page: LatentPage) -> str:
    """The page as HTML."""
    groups = page.groups or ()
    peaks = [one.peak for group in groups for one in group.windows if one.peak > 0]
    histogram = page.histogram
    return document(
        "latent.html",
        page=page,
        groups=groups,
        highlights=_highlights(page),
        scores=page.scores
        and scores_plot([(one.name, one.interval, one.controls) for one in page.scores]),
        histogram=histogram and histogram_plot(histogram.edges, histogram.counts, peaks),
        levels=LEVELS,
        window_html=partial(window_html, highest=page.highest),
        spelled=spelled,
        number=PLAIN.text,
        short=short,
        decimal=DECIMAL.text,
    )


def groups_of(examples: LatentExamples, *, most: int = 12) -> tuple[Group, ...]:
    """The windows of collected examples as a page shows them: the strongest, by quantile from the
    highest, and negatives; at most so many of each."""
    strata = examples.strata
    quantiles = sorted({one.quantile for one in strata if one.quantile is not None}, reverse=True)
    groups = [Group("Strongest", examples.top[:most])]
    for quantile in quantiles:
        chosen = [one for one in reversed(strata) if one.quantile == quantile]
        title = f"Quantile {quantile + 1} of {quantiles[0] + 1}"
        groups.append(Group(title, tuple(chosen[:most]), _range(chosen)))
    hard = "silent, where a latent with a near direction fires (dotted)"
    groups.append(Group("Hard negatives", examples.hard[:most], hard))
    groups.append(Group("Random negatives", examples.random[:most], "silent, from all of the text"))
    return tuple(group for group in groups if group.windows)


def histogram_of(examples: LatentExamples) -> Histogram | None:
    """Of all the latent's firings; None for a dead one."""
    if not examples.firings:
        return None
    return Histogram(tuple(EDGES.tolist()), examples.histogram)


def _range(windows: Sequence[Window]) -> str:
    peaks = [one.peak for one in windows]
    return f"drawn at random; peaks {PLAIN.span(min(peaks), max(peaks))}"


def _highlights(page: LatentPage) -> list[Highlight]:
    """The numbers that lead the page."""
    told = []
    if page.interpretable is not None:
        verdict = "\u25cf yes" if page.interpretable else "\u25cb no"
        told.append(
            Highlight("Interpretable", verdict, page.definition or "", main=page.interpretable)
        )
    for score in (page.scores or ())[:1]:
        spread = DECIMAL.span(score.interval.low, score.interval.high)
        against = [f"{name} {DECIMAL.text(one.value)}" for name, one in score.controls]
        told.append(
            Highlight(score.name, DECIMAL.text(score.interval.value), "; ".join([spread, *against]))
        )
    if page.rate is not None:
        often = f"one token in {1 / page.rate:,.0f}" if page.rate else "on no token that was read"
        told.append(Highlight("Fires", _RATE.text(page.rate), often))
    if page.recurrence is not None:
        found, seeds = round(page.recurrence.share * page.recurrence.seeds), page.recurrence.seeds
        cosine = f"best cosine {DECIMAL.text(page.recurrence.best_cosine)}"
        told.append(Highlight("Recurs", f"in {found} of {seeds}", f"other seeds; {cosine}"))
    return told

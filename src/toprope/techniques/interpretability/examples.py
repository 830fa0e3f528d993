"""Examples: for each latent the windows of text on which it fires, and some on which it doesn't,
from what `collecting.collect` read of a capture.

Windows to explain with are of documents that dictionaries train on, windows to score with of those
held out: what a label is scored on, neither its writer nor the dictionary has seen. Negatives are
hard ones, on which a latent with a near decoder direction fires (as the neighbour negatives of
Delphi, Paulo et al. 2024, arXiv 2410.13928), of both sides, and random ones to score with.

Nothing here reads a model or a capture: a saved folder holds all that is needed but the tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from toprope.errors import UserError
from toprope.files import write_tensors, write_text
from toprope.techniques.interpretability.windows import Kind, Pieces, Window

ABOUT = "examples.json"
ARRAYS = "examples.safetensors"
FORMAT = 3

EDGES = 2.0 ** np.linspace(-8, 8, 65)
"""Of the histograms' bins: quarters of an octave. What is beyond is in the first or last."""

Shortfall = Literal["dead", "too few examples", "too few negatives"]

Spans = Sequence[tuple[int, int]]
"""(start, stop) rows of a capture."""


class ExampleSettings(BaseModel):
    """How many windows of each sort are kept of a latent, and how long they are.

    Attributes:
        before, after: tokens of a window besides the one it's around. A model reads from left to
            right: what made a latent fire is before it.
        top: the strongest, to explain with.
        explain: drawn from all peaks, stratified, to explain with.
        contrast: hard negatives to explain with.
        score: drawn as those that explain, to score with.
        hard, random: negatives to score with.
        quantiles: strata of the drawn ones.
        neighbours: latents nearest by decoder cosine, from whose windows the hard negatives come.
        pool: random windows in all, from which each latent's are taken.
        most: rows that are read to explain with, of the first documents, whose order is random.
        seed: of all that is drawn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: int = Field(default=21, ge=0)
    after: int = Field(default=10, ge=0)
    top: int = Field(default=12, ge=1)
    explain: int = Field(default=40, ge=0)
    contrast: int = Field(default=40, ge=0)
    score: int = Field(default=20, ge=1)
    hard: int = Field(default=20, ge=1)
    random: int = Field(default=20, ge=0)
    quantiles: int = Field(default=4, ge=1)
    neighbours: int = Field(default=10, ge=1)
    pool: int = Field(default=2000, ge=1)
    most: int = Field(default=1_000_000, ge=1)
    seed: int = 0

    @property
    def window(self) -> int:
        return self.before + 1 + self.after


@dataclass(frozen=True)
class LatentExamples:
    """What was seen of one latent.

    Attributes:
        rows: that were read, of both sides; so are the counts.
        firings: rows on which it fires.
        peaks: windows in which it does: firings that are the strongest around.
        highest, mean: of its activations where it fires.
        histogram: of these, over `EDGES`.
        top, strata: to explain with: the strongest, and a sample sorted by activation without
            these.
        contrast: hard negatives, to tell them from.
        score, hard, random: to score with; no two of a sort are of one document.
        neighbours: the latents with the nearest decoder directions, and the cosines.
    """

    latent: int
    rows: int
    firings: int
    peaks: int
    highest: float
    mean: float
    histogram: tuple[int, ...]
    top: tuple[Window, ...]
    strata: tuple[Window, ...]
    score: tuple[Window, ...]
    hard: tuple[Window, ...]
    random: tuple[Window, ...]
    contrast: tuple[Window, ...] = ()
    neighbours: tuple[tuple[int, float], ...] = ()

    @property
    def rate(self) -> float:
        return self.firings / max(1, self.rows)

    @property
    def explaining(self) -> tuple[Window, ...]:
        return (*self.top, *self.strata)

    def shortfall(self, fewest: int) -> Shortfall | None:
        """Why the latent can't be scored, if it can't.

        Args:
            fewest: windows wanted that fire, to explain with and to score with, and hard negatives.
        """
        if not self.firings:
            return "dead"
        if min(len(self.score), len(self.explaining)) < fewest:
            return "too few examples"
        return "too few negatives" if len(self.hard) < fewest else None


@dataclass(frozen=True)
class Examples:
    """The examples of many latents; S latents, M windows of a sort, W tokens of a window, R
    different rows, V tokens of the vocabulary.

    Attributes:
        about: the capture, the layer and the dictionary they come from, as a reader calls them.
        latents_S: which latents, in rising order.
        rows: that were read, of both sides.
        counts: over these, "firings", "peaks", "sum", "highest" [S], and "histogram" [S, bins].
        kept: sort of window -> rows [S, M], -1 where there are fewer.
        activations: of those that fire, [S, M, W].
        window_rows_R, tokens_RW, documents_R: the tokens around each row; -1 beyond a document.
        background_V: how often each token was read on the side that explains.
    """

    settings: ExampleSettings
    about: dict[str, Any]
    rows: int
    latents_S: np.ndarray
    counts: dict[str, np.ndarray]
    kept: dict[str, np.ndarray]
    activations: dict[str, np.ndarray]
    neighbours_SM: np.ndarray
    cosines_SM: np.ndarray
    window_rows_R: np.ndarray
    tokens_RW: np.ndarray
    documents_R: np.ndarray
    background_V: np.ndarray
    _pieces: list[Pieces] = field(default_factory=list, repr=False)

    @property
    def latents(self) -> list[int]:
        return self.latents_S.tolist()

    @property
    def rates(self) -> dict[int, float]:
        """The share of rows on which each latent fires."""
        rates_S = self.counts["firings"] / max(1, self.rows)
        return dict(zip(self.latents, rates_S.tolist(), strict=True))

    def read_with(self, tokenizer: Any) -> Examples:
        """Itself, with the tokenizer by which windows are written out."""
        self._pieces[:] = [Pieces(tokenizer)]
        return self

    @property
    def pieces(self) -> Pieces:
        if not self._pieces:
            raise ValueError("examples have no tokenizer: call read_with(tokenizer) first")
        return self._pieces[0]

    def latent(self, latent: int, windows: int | None = None) -> LatentExamples:
        """
        Args:
            windows: that score, of each sort, the first of those drawn; None: all that were kept.

        Raises:
            UserError: it isn't among those that were collected.
        """
        if latent not in self._slots:
            raise UserError(
                f"latent {latent} isn't among the {len(self.latents_S)} with examples: collect "
                "those of all latents, or name it"
            )
        slot = self._slots[latent]
        firings = int(self.counts["firings"][slot])
        top = self._windows("top", slot)
        shown = {one.row for one in top}
        strata = self._stratified("explain", slot)
        return LatentExamples(
            latent=latent,
            rows=self.rows,
            firings=firings,
            peaks=int(self.counts["peaks"][slot]),
            highest=float(self.counts["highest"][slot]),
            mean=float(self.counts["sum"][slot]) / max(1, firings),
            histogram=tuple(self.counts["histogram"][slot].tolist()),
            top=top,
            strata=tuple(one for one in strata if one.row not in shown),
            score=self._stratified("score", slot, windows),
            hard=self._windows("hard", slot, "hard", windows),
            random=self._windows("random", slot, "random", windows),
            contrast=self._windows("contrast", slot, "hard"),
            neighbours=tuple(
                (int(other), float(cosine))
                for other, cosine in zip(
                    self.neighbours_SM[slot], self.cosines_SM[slot], strict=True
                )
            ),
        )

    @cached_property
    def _slots(self) -> dict[int, int]:
        return {latent: slot for slot, latent in enumerate(self.latents)}

    def _windows(
        self, sort: str, slot: int, kind: Kind = "activating", most: int | None = None
    ) -> tuple[Window, ...]:
        rows_M = self.kept[sort][slot][:most]
        found = []
        for m, row in enumerate(rows_M.tolist()):
            if row < 0:
                continue
            place = int(np.searchsorted(self.window_rows_R, row))
            inside_W = self.tokens_RW[place] >= 0
            values_W = np.zeros(len(inside_W))
            if kind == "activating":
                values_W = self.activations[sort][slot, m].astype(float)
            found.append(
                Window(
                    row=row,
                    document=int(self.documents_R[place]),
                    centre=int(inside_W[: self.settings.before].sum()),
                    tokens=self.pieces.of(self.tokens_RW[place][inside_W]),
                    activations=tuple(values_W[inside_W].tolist()),
                    kind=kind,
                )
            )
        return tuple(found)

    def _stratified(self, sort: str, slot: int, most: int | None = None) -> tuple[Window, ...]:
        """Those drawn, from the weakest, each with its quantile."""
        drawn = sorted(self._windows(sort, slot, most=most), key=lambda one: one.peak)
        strata = self.settings.quantiles
        return tuple(
            Window(**{**one.__dict__, "quantile": i * strata // len(drawn)})
            for i, one in enumerate(drawn)
        )

    def save(self, folder: Path) -> None:
        """Writes examples.json and examples.safetensors, each whole or not at all."""
        head = {
            "format": FORMAT,
            "settings": self.settings.model_dump(),
            "about": self.about,
            "rows": self.rows,
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        for group in _GROUPS:
            arrays |= {f"{group}.{name}": array for name, array in getattr(self, group).items()}
        try:
            write_tensors(folder / ARRAYS, arrays)
            write_text(folder / ABOUT, json.dumps(head, indent=1) + "\n")
        except OSError as error:
            raise UserError(f"can't write the examples in '{folder}': {error.strerror}") from None


_ARRAYS = (
    "latents_S",
    "neighbours_SM",
    "cosines_SM",
    "window_rows_R",
    "tokens_RW",
    "documents_R",
    "background_V",
)
_GROUPS = ("counts", "kept", "activations")


def load(folder: Path) -> Examples:
    """What `Examples.save` wrote; windows are written out after `read_with(tokenizer)`.

    Raises:
        UserError: the folder holds none, or damaged ones.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        head = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if head["format"] != FORMAT:
            raise UserError(
                f"the examples in '{folder}' are of another version of toprope: remove the folder, "
                "and they're collected anew"
            )
        arrays = load_file(folder / ARRAYS)
        groups: dict[str, Any] = {
            group: {
                name.removeprefix(f"{group}."): array
                for name, array in arrays.items()
                if name.startswith(f"{group}.")
            }
            for group in _GROUPS
        }
        return Examples(
            settings=ExampleSettings.model_validate(head["settings"]),
            about=head["about"],
            rows=head["rows"],
            **{name: arrays[name] for name in _ARRAYS},
            **groups,
        )
    except FileNotFoundError:
        raise UserError(f"no examples in '{folder}': collect them first") from None
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the examples in '{folder}' are damaged: {reason}") from None


def span_rows(spans: Spans) -> int:
    """Rows in all."""
    return sum(stop - start for start, stop in spans)

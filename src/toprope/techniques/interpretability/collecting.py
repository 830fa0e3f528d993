"""Collecting examples: one pass over a capture's rows, in bounded memory. What is kept, and how
much that is, says `example_pass.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from toprope.errors import UserError
from toprope.progress import Progress
from toprope.techniques.interpretability.example_pass import ExamplePass
from toprope.techniques.interpretability.examples import (
    Examples,
    ExampleSettings,
    Spans,
    span_rows,
)
from toprope.techniques.interpretability.firings import Firings, Ints, Stretch

if TYPE_CHECKING:
    from toprope.techniques.interpretability.activations.captured import Capture
    from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary

CHUNK = 2048
"""Rows that are encoded at once."""

TOKENS_AT_ONCE = 2**18


def collect(
    dictionary: Dictionary,
    capture: Capture,
    layer: int,
    *,
    settings: ExampleSettings | None = None,
    latents: Sequence[int] | None = None,
    explaining: Spans | None = None,
    scoring: Spans | None = None,
    progress: Progress | None = None,
) -> Examples:
    """The examples of a dictionary's latents over rows of a capture.

    Args:
        latents: which; None: all of them.
        explaining: rows whose windows explain; None: the first `settings.most` of those that
            dictionaries train on.
        scoring: rows whose windows score; None: all that are held out. No document should have rows
            on both sides.

    Raises:
        UserError: a latent that the dictionary doesn't have, rows that the capture doesn't have or
            that are on both sides, or a dictionary of another width than the layer's.
    """
    settings = settings or ExampleSettings()
    layer_rows = capture.layer(layer)
    if explaining is None:
        train = capture.training
        explaining = [(train.start, min(train.stop, train.start + settings.most))]
    if scoring is None:
        scoring = [(capture.held_out.start, capture.held_out.stop)]
    sides = [(span, True) for span in explaining] + [(span, False) for span in scoring]
    spans = sorted(span for span, _ in sides)
    latents_S = _checked(dictionary, latents, layer_rows.rows, spans)
    neighbours_SM, cosines_SM = neighbours(dictionary.decoder_FD, latents_S, settings.neighbours)
    pass_ = ExamplePass.begun(dictionary.width, latents_S, neighbours_SM, scoring, settings)
    shown = progress or Progress(quiet=True)
    halo = max(settings.before, settings.after)
    with shown.task("collecting examples", span_rows(spans)) as task:
        for (start, stop), explains in sides:
            for a in range(start, stop, CHUNK):
                b = min(stop, a + CHUNK)
                first, last = max(start, a - halo), min(stop, b + halo)
                tokens_B, documents_B, _ = map(np.asarray, capture.tokens(first, last)[:3])
                codes = dictionary.encode(_inputs(dictionary, layer_rows, first, last))
                pass_.take(
                    Firings.of(
                        codes.values_BK.float().cpu().numpy(),
                        codes.latents_BK.cpu().numpy(),
                        pass_.wanted_F,
                    ),
                    Stretch(first, a, b, tokens_B, documents_B, explains),
                )
                task.advance(b - a)
    kept, activations = pass_.kept()
    window_rows_R = np.unique(np.concatenate([rows.ravel() for rows in kept.values()]))
    window_rows_R = window_rows_R[window_rows_R >= 0]
    tokens_RW, documents_R = _tokens_around(capture, window_rows_R, spans, settings)
    origin = dictionary.origin
    return Examples(
        settings=settings,
        about={
            "layer": layer,
            "explaining": [list(span) for span in explaining],
            "scoring": [list(span) for span in scoring],
            "origin": origin.model_dump() if origin else None,
        },
        rows=span_rows(spans),
        latents_S=latents_S,
        counts=pass_.counts,
        kept=kept,
        activations=activations,
        neighbours_SM=neighbours_SM,
        cosines_SM=cosines_SM,
        window_rows_R=window_rows_R,
        tokens_RW=tokens_RW,
        documents_R=documents_R,
        background_V=pass_.background_V,
    )


def neighbours(
    decoder_FD: torch.Tensor, latents_S: np.ndarray, most: int
) -> tuple[Ints, NDArray[np.float32]]:
    """The latents with the nearest decoder directions, and the cosines, [S, M] from the nearest."""
    directions_FD = torch.nn.functional.normalize(decoder_FD.detach().float(), dim=-1)
    most = min(most, len(directions_FD) - 1)
    found, cosines = [], []
    for some in np.array_split(latents_S, -(-len(latents_S) // CHUNK)):
        chosen = torch.as_tensor(some, device=directions_FD.device)
        cosines_BF = directions_FD[chosen] @ directions_FD.T
        cosines_BF[torch.arange(len(some)), chosen] = -2.0
        best = cosines_BF.topk(most, dim=-1)
        found.append(best.indices.cpu().numpy())
        cosines.append(best.values.cpu().numpy())
    return np.concatenate(found), np.concatenate(cosines)


def _inputs(dictionary: Dictionary, layer_rows: Any, first: int, last: int) -> torch.Tensor:
    """Rows as the dictionary takes them: it may be standardised by another capture."""
    x_BD = torch.as_tensor(layer_rows.read(first, last)).float()
    device = dictionary.encoder_FD.device
    mean_D, scale_D = (torch.as_tensor(one) for one in (layer_rows.mean_D, layer_rows.scale_D))
    own = (dictionary.mean_D.cpu(), dictionary.scale_D.cpu())
    if torch.allclose(mean_D, own[0]) and torch.allclose(scale_D, own[1]):
        return x_BD.to(device)
    return dictionary.standardise((x_BD * scale_D + mean_D).to(device))


def _tokens_around(
    capture: Capture,
    rows_R: Ints,
    spans: Spans,
    settings: ExampleSettings,
) -> tuple[NDArray[np.int32], Ints]:
    """The tokens of each row's window, [R, W], and its document, [R]."""
    tokens_RW = np.full((len(rows_R), settings.window), -1, dtype=np.int32)
    documents_R = np.zeros(len(rows_R), dtype=np.int64)
    for start, stop in spans:
        for a in range(start, stop, TOKENS_AT_ONCE):
            b = min(stop, a + TOKENS_AT_ONCE)
            some = slice(*np.searchsorted(rows_R, [a, b]))
            if not len(rows_R[some]):
                continue
            first, last = max(start, a - settings.before), min(stop, b + settings.after)
            tokens_B, documents_B, _ = map(np.asarray, capture.tokens(first, last)[:3])
            around_CW = rows_R[some][:, None] + np.arange(-settings.before, settings.after + 1)
            inside_CW = (around_CW >= first) & (around_CW < last)
            local_CW = (around_CW - first).clip(0, last - first - 1)
            documents_R[some] = documents_B[rows_R[some] - first]
            inside_CW &= documents_B[local_CW] == documents_R[some][:, None]
            tokens_RW[some] = np.where(inside_CW, tokens_B[local_CW], -1)
    return tokens_RW, documents_R


def _checked(
    dictionary: Dictionary,
    latents: Sequence[int] | None,
    rows: int,
    spans: Spans,
) -> Ints:
    width = dictionary.width
    chosen = np.unique(np.asarray(range(width) if latents is None else latents, dtype=np.int64))
    if not len(chosen):
        raise UserError("no latents were named: name one or more")
    if chosen[0] < 0 or chosen[-1] >= width:
        raise UserError(
            f"latent {int(chosen[-1] if chosen[-1] >= width else chosen[0])} doesn't exist: the "
            f"dictionary's are 0 to {width - 1}"
        )
    ends = [0, *(end for span in spans for end in span), rows]
    if not spans or any(a >= b for a, b in spans) or ends != sorted(ends):
        raise UserError(
            f"rows {list(spans)} can't be read: give (start, stop) spans that don't overlap, "
            f"within the {rows:,} of the capture"
        )
    return chosen

"""What steering by a latent does, in words, for the explainer: the tokens that come more often, on
some of the texts that it fires on (`use/steering.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from toprope.models.local import LocalModel
from toprope.progress import Progress
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary
from toprope.techniques.interpretability.examples import LatentExamples
from toprope.techniques.interpretability.labels.prompting import one_line, prompt
from toprope.techniques.interpretability.use.steering import steering

TEXTS = 4
MULTIPLE = 2.0
"""Of the typical maximum: enough to be seen, and the text doesn't fall apart yet."""

NAMED = 8
"""Tokens."""


def effects(
    model: LocalModel,
    dictionary: Dictionary,
    layer: int,
    examples: Callable[[int], LatentExamples],
    latents: Sequence[int],
    *,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> dict[int, str]:
    """Latent -> effect. The texts are windows that explain: none that scores is read. A latent with
    fewer than two has no effect."""
    found = {}
    with (progress or Progress(quiet=True)).task("steering by latents", len(latents)) as task:
        for latent in latents:
            windows = _texts(model, examples(latent))
            if len(windows) >= 2:
                (steered,) = steering(
                    model,
                    dictionary,
                    layer,
                    latent,
                    list(windows),
                    typical_maximum=float(np.mean(list(windows.values()))),
                    multiples=(MULTIPLE,),
                    randoms=0,
                    top=NAMED,
                    rng=rng,
                )
                named = ", ".join(f'"{one_line(one.text)}"' for one in steered.promoted)
                found[latent] = prompt("steered", promoted=named)
            task.advance()
    return found


def _texts(model: LocalModel, examples: LatentExamples) -> dict[str, float]:
    """The first texts, and the latent's maximum in each. Effects are read from the second token."""
    found: dict[str, float] = {}
    for window in examples.explaining:
        if len(found) < TEXTS and len(model.tokens(window.text)) >= 2:
            found.setdefault(window.text, window.peak)
    return found

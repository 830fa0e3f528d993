"""Feature absorption: a latent that seems to stand for a property is silent on some tokens that
have it, since a more specific latent has taken the property's direction over.

Chanin et al. 2024 (arXiv 2409.14507), on words' first letters. A probe on the activations says
which words the model knows the letter of (`letter_probes.py`); sparse probes on the latents say
which latents stand for it (`split_latents.py`). Of the words that the first finds and the second
misses, with all of the letter's latents silent, those are absorbed in which one latent clearly
carries the answer: by integrated gradients on the logit of the letter less the others' mean, it is
ahead of the next by a margin of 1, and its decoder row has a cosine of 0.025 or more with the
probe. Its effect is also measured exactly, by ablation. The rate is absorbed words per word that
the probe finds.

`projection` is the variant of SAEBench (Karvonen et al. 2025, arXiv 2503.09532), which needs no
gradients: the latent of the largest part of the activation's projection on the probe has 0.4 of it
or more; `fraction` is its partial version. Here the constant part of a reconstruction, which is no
latent's, is taken off the activation first.

A model that can't tell letters has nothing to absorb: under a mean F1 of the probes of `least_f1`,
or where it can't be asked at all, no rate is given, and why. `spelling.check_spelling` says before
any work whether a model can be asked. The control of a rate has another letter's probe in the place
of the right one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from toprope.errors import UserError
from toprope.models.local import LocalModel
from toprope.progress import Progress
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary
from toprope.techniques.interpretability.quality.absorbing import (
    Absorbing,
    AbsorptionSettings,
    Letter,
)
from toprope.techniques.interpretability.quality.letter_probes import Probes
from toprope.techniques.interpretability.quality.measure import Measure, of_sums, share
from toprope.techniques.interpretability.quality.raw_units import check_fit, check_reconstructs
from toprope.techniques.interpretability.quality.spelling import at_words, spelled_right, spelling


@dataclass(frozen=True)
class LetterAbsorption:
    """Means over letters, with intervals over letters.

    Attributes:
        reason: why it isn't measurable, and the rates are None: the model can't be asked, the
            probes' mean F1 is under the limit, or latents stand for fewer than two letters.
        f1: mean over letters of the probes' F1; 0 where there are none.
        spelled: the share of test words whose letter the model names itself; n is 0 where none
            was asked.
        rate: Chanin et al.'s.
        projection, fraction: SAEBench's.
        splits: latents that stand for a letter, on average.
    """

    reason: str | None
    f1: float
    spelled: Measure
    rate: Measure | None
    projection: Measure | None
    fraction: Measure | None
    splits: float
    letters: list[Letter]

    @property
    def measurable(self) -> bool:
        return self.reason is None


def absorption(
    model: LocalModel,
    dictionary: Dictionary,
    layer: int,
    settings: AbsorptionSettings | None = None,
    *,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> LetterAbsorption:
    """
    Raises:
        UserError: the model doesn't fit the dictionary.
    """
    check_fit(model, dictionary)
    check_reconstructs(dictionary)
    settings = settings or AbsorptionSettings()
    try:
        task = spelling(
            model, words=settings.words, examples=settings.examples, test=settings.test, rng=rng
        )
    except UserError as error:
        return _unasked(str(error))
    raw_ND = at_words(model, task, layer, progress=progress)
    device = dictionary.decoder_FD.device
    with torch.no_grad():
        codes = dictionary.encode(dictionary.standardise(raw_ND.to(device)))
        codes_NF = codes.dense().cpu().numpy()
    test = np.flatnonzero(~task.train_N)
    asked = rng.permutation(test)[:200]
    spelled = spelled_right(model, task, asked.tolist())
    counts_L = np.bincount(task.letters_N[test], minlength=len(task.alphabet))
    kept = np.flatnonzero(counts_L >= settings.least_words)
    probes = Probes.fitted(raw_ND.numpy(), task, kept)
    mean_f1 = float(np.mean(list(probes.f1.values()))) if len(kept) else 0.0
    by_chance = 1 / len(task.alphabet)
    letters: list[Letter] = []
    if mean_f1 >= settings.least_f1:
        measuring = Absorbing(model, dictionary, layer, settings, task, raw_ND, codes_NF, probes)
        letters = measuring.letters(rng, progress)
    reason = None
    if mean_f1 < settings.least_f1:
        reason = (
            f"probes tell first letters at layer {layer} with a mean F1 of {mean_f1:.2f}, under "
            f"{settings.least_f1:g}"
        )
    elif len(letters) < 2:
        reason = f"latents stand for {len(letters)} letters, and a mean is over two or more"

    def mean(values: list[float], control: float | None = None) -> Measure | None:
        if reason is not None:
            return None
        sums_L2 = np.stack([values, np.ones(len(values))], axis=1)
        return of_sums(sums_L2, lambda s: s[:, 0] / s[:, 1], rng=rng, control=control)

    def control(values: list[float]) -> float | None:
        return float(np.mean(values)) if values else None

    return LetterAbsorption(
        reason=reason,
        f1=mean_f1,
        spelled=share(int(spelled.sum()), len(spelled), by_chance),
        rate=mean([one.rate for one in letters], control([o.rate_by_control for o in letters])),
        projection=mean(
            [one.projection for one in letters],
            control([one.projection_by_control for one in letters]),
        ),
        fraction=mean([one.fraction for one in letters]),
        splits=float(np.mean([len(one.split.latents) for one in letters] or [0])),
        letters=letters,
    )


def _unasked(reason: str) -> LetterAbsorption:
    """Of a model to which the task can't be put."""
    return LetterAbsorption(
        reason=reason,
        f1=0.0,
        spelled=Measure(0.0, 0.0, 1.0, 0),
        rate=None,
        projection=None,
        fraction=None,
        splits=0.0,
        letters=[],
    )

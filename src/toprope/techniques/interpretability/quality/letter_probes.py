"""What a model knows of words' first letters: a linear probe on its activations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toprope.models.heads import STRENGTHS, Axes, one_hot
from toprope.techniques.interpretability.quality.spelling import Spelling
from toprope.techniques.interpretability.quality.split_latents import f1


@dataclass(frozen=True)
class Probes:
    """One logistic regression on activations, over all letters at once: a word has exactly one, and
    regressions of one letter against the rest, a twenty-sixth of the words, hardly ever say yes.

    Attributes:
        direction: letter -> its weights less the mean of the others', of length one, in the model's
            own units [D].
        said_N: the letter that is likeliest.
        f1: letter -> on the test words.
    """

    direction: dict[int, Tensor]
    said_N: NDArray[np.int64]
    f1: dict[int, float]

    @classmethod
    def fitted(cls, raw_ND: NDArray, task: Spelling, letters: NDArray) -> Probes:
        axes = Axes.of(raw_ND[task.train_N])
        targets_NL = one_hot(task.letters_N[task.train_N], len(task.alphabet))
        strength = float(STRENGTHS[axes.leave_one_out(targets_NL).argmin()])
        head = axes.fit(targets_NL, strength)
        said_N = head.logits(raw_ND).argmax(1)
        weight_DL = head.weight_DC / head.scale_D[:, None]
        made = cls({}, said_N, {})
        for letter in letters.tolist():
            others_D = np.delete(weight_DL, letter, axis=1).mean(1)
            weight_D = weight_DL[:, letter] - others_D
            unit_D = weight_D / np.linalg.norm(weight_D)
            made.direction[letter] = torch.from_numpy(unit_D.astype(np.float32))
            test_N = ~task.train_N
            made.f1[letter] = f1(said_N[test_N] == letter, task.letters_N[test_N] == letter)
        return made

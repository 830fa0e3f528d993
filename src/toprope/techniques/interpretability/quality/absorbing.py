"""Feature absorption on one letter: the records of `absorption.py`, and how they are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from toprope.models.local import LocalModel
from toprope.progress import Progress
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary
from toprope.techniques.interpretability.quality.letter_probes import Probes
from toprope.techniques.interpretability.quality.patching import scores, slopes
from toprope.techniques.interpretability.quality.raw_units import constant, directions
from toprope.techniques.interpretability.quality.spelling import Spelling
from toprope.techniques.interpretability.quality.split_latents import (
    SparseProbe,
    ranked,
    split,
)

SILENT = 1e-8
"""An activation under this is none."""


class AbsorptionSettings(BaseModel):
    """
    Attributes:
        words, examples, test: of the task, see `spelling`.
        least_words: test words of a letter below which it is left out.
        least_f1: the mean F1 of the letters' probes below which nothing is measurable.
        jump, most_split: feature splitting, see `split_latents.split`.
        samples: words a letter that integrated gradients are taken of, at most.
        steps: of integrated gradients.
        cosine, margin: what makes a latent the absorber.
        projected: the least share of the probe's projection, of SAEBench's variant.
        partial_cosine, partial_latents: likewise, of its `fraction`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: int = Field(default=3000, gt=0)
    examples: int = Field(default=10, gt=0)
    test: float = Field(default=0.4, gt=0, lt=1)
    least_words: int = Field(default=10, gt=0)
    least_f1: float = Field(default=0.6, ge=0, le=1)
    jump: float = 0.03
    most_split: int = Field(default=5, gt=0)
    samples: int = Field(default=50, gt=0)
    steps: int = Field(default=6, gt=0)
    cosine: float = 0.025
    margin: float = 1.0
    projected: float = 0.4
    partial_cosine: float = 0.1
    partial_latents: int = 3


@dataclass(frozen=True)
class Word:
    """A word that the probe finds and the letter's latents miss.

    Attributes:
        latent: the one of the largest effect on the answer.
        effect, ahead: its estimated effect on the logit difference, and by how much that is larger
            than the next latent's.
        ablated: the effect measured by taking the latent away.
        cosine: of its decoder row with the letter's probe.
    """

    word: str
    letter: str
    latent: int
    effect: float
    ahead: float
    ablated: float
    cosine: float
    absorbed: bool
    absorbed_by_control: bool


@dataclass(frozen=True)
class Letter:
    """
    Attributes:
        probe_f1: of the probe on activations, on test words.
        split: the latents that stand for the letter, with their F1.
        found: test words of the letter that the probe finds.
        missed: of those, where the sparse probe says no and the latents are silent.
        sampled: of those, how many were looked at; `words` are these.
        projection, fraction: per found word, of SAEBench's variant: fully absorbed, and the mean of
            the absorbed fraction.
    """

    letter: str
    probe_f1: float
    split: SparseProbe
    found: int
    missed: int
    sampled: int
    words: list[Word]
    projection: float
    projection_by_control: float
    fraction: float

    @property
    def rate(self) -> float:
        """Absorbed per found word, those not looked at taken to be like the sampled."""
        return self._rate([one.absorbed for one in self.words])

    @property
    def rate_by_control(self) -> float:
        return self._rate([one.absorbed_by_control for one in self.words])

    def _rate(self, absorbed: Sequence[bool]) -> float:
        return sum(absorbed) * self.missed / max(1, self.sampled) / self.found


@dataclass(frozen=True)
class Absorbing:
    model: LocalModel
    dictionary: Dictionary
    layer: int
    settings: AbsorptionSettings
    task: Spelling
    raw_ND: Tensor
    codes_NF: NDArray
    probes: Probes

    def letters(self, rng: np.random.Generator, progress: Progress | None) -> list[Letter]:
        """Those that a latent stands for and of which the probe finds a word."""
        order = list(self.probes.direction)
        train_N = self.task.train_N
        labels_NL = self.task.letters_N[:, None] == np.array(order)
        weights_LF = ranked(self.codes_NF[train_N], labels_NL[train_N])
        measured = []
        with (progress or Progress(quiet=True)).task("absorption", len(order)) as shown:
            for i, letter in enumerate(order):
                true_N = labels_NL[:, i]
                probe = split(
                    weights_LF[i],
                    (self.codes_NF[train_N], true_N[train_N]),
                    (self.codes_NF[~train_N], true_N[~train_N]),
                    most=self.settings.most_split,
                    jump=self.settings.jump,
                )
                found = np.flatnonzero(~train_N & true_N & (self.probes.said_N == letter))
                if probe is not None and len(found):
                    other = order[(i + 1) % len(order)]
                    measured.append(self._letter(letter, other, probe, found, rng))
                shown.advance()
        return measured

    def _letter(
        self,
        letter: int,
        other: int,
        probe: SparseProbe,
        found: NDArray,
        rng: np.random.Generator,
    ) -> Letter:
        """`other`: the letter whose probe is the control."""
        name, settings = self.task.alphabet[letter], self.settings
        main = list(probe.latents)
        silent_N = (self.codes_NF[found][:, main] < SILENT).all(1)
        says_no_N = probe.scores(self.codes_NF[found]) <= 0
        missed = found[silent_N & says_no_N]
        sample = rng.permutation(missed)[: settings.samples]
        cosines_2F = [self._cosines(self.probes.direction[one]) for one in (letter, other)]
        full, partial = zip(
            *(self._projected(found, main, self.probes.direction[one]) for one in (letter, other)),
            strict=True,
        )
        return Letter(
            letter=name,
            probe_f1=self.probes.f1[letter],
            split=probe,
            found=len(found),
            missed=len(missed),
            sampled=len(sample),
            words=[self._word(int(item), letter, cosines_2F) for item in sample],
            projection=float(full[0].mean()),
            projection_by_control=float(full[1].mean()),
            fraction=float(partial[0].mean()),
        )

    def _cosines(self, probe_D: Tensor) -> NDArray:
        rows_FD = torch.nn.functional.normalize(directions(self.dictionary).cpu(), dim=1)
        return (rows_FD @ probe_D).numpy()

    def _word(self, item: int, letter: int, cosines_2F: list[NDArray]) -> Word:
        """Integrated gradients from no latents (and no error) to the word's own."""
        model, settings = self.model, self.settings
        ids_1T = self.task.ids_NT[item : item + 1].to(model.device)

        def score(logits_BV: Tensor) -> Tensor:
            each_BL = logits_BV[:, self.task.answers_L.to(model.device)]
            right_B = each_BL[:, letter]
            return right_B - (each_BL.sum(1) - right_B) / (each_BL.shape[1] - 1)

        def pushed(change_BD: Tensor) -> tuple[Tensor, Tensor]:
            push_BTD = change_BD.new_zeros(len(change_BD), ids_1T.shape[1], change_BD.shape[1])
            push_BTD[:, self.task.position] = change_BD
            return ids_1T.expand(len(change_BD), -1), push_BTD.to(model.device)

        rest_D = self.raw_ND[item] - constant(self.dictionary).cpu()
        # Midpoints: the sum over latents and error then adds up to the change of the score.
        left_S1 = 1 - (torch.arange(settings.steps)[:, None] + 0.5) / settings.steps
        ids_ST, push_STD = pushed(-left_S1 * rest_D)
        slope_STD = slopes(model, self.layer, ids_ST, push_STD, score)
        slope_D = slope_STD[:, self.task.position].mean(0).float().cpu()
        rows_FD = directions(self.dictionary).cpu()
        codes_F = torch.from_numpy(self.codes_NF[item])
        # As ablation has it: negative where the latent speaks for the letter.
        effect_F = (-codes_F * (rows_FD @ slope_D)).numpy()
        latent, second = np.argsort(-np.abs(effect_F), kind="stable")[:2].tolist()
        both_2D = torch.stack([torch.zeros_like(rest_D), -codes_F[latent] * rows_FD[latent]])
        before, after = scores(model, self.layer, *pushed(both_2D), score).tolist()
        effect = float(effect_F[latent])
        ahead = abs(effect) - abs(float(effect_F[second]))
        clear = effect < 0 and ahead >= settings.margin
        right, control = (bool(clear and c[latent] >= settings.cosine) for c in cosines_2F)
        return Word(
            word=self.task.words[item],
            letter=self.task.alphabet[letter],
            latent=latent,
            effect=effect,
            ahead=ahead,
            ablated=after - before,
            cosine=float(cosines_2F[0][latent]),
            absorbed=right,
            absorbed_by_control=control,
        )

    def _projected(
        self, items: NDArray, main: list[int], probe_D: Tensor
    ) -> tuple[NDArray, NDArray]:
        """SAEBench's variant: full absorption and absorbed fraction of words [N]."""
        settings = self.settings
        rest_ND = self.raw_ND[items] - constant(self.dictionary).cpu()
        total_N = (rest_ND @ probe_D).numpy()
        along_F = (directions(self.dictionary).cpu() @ probe_D).numpy()
        part_NF = self.codes_NF[items] * along_F
        cosine_F = self._cosines(probe_D)
        top_N = part_NF.argmax(1)
        rows_N = np.arange(len(items))
        silent_N = (self.codes_NF[items][:, main] < SILENT).all(1)
        full_N = (
            silent_N
            & (cosine_F[top_N] >= settings.cosine)
            & (total_N > 0)
            & (part_NF[rows_N, top_N] >= settings.projected * total_N)
        )
        of_main_N = part_NF[:, main].sum(1)
        could_F = cosine_F >= settings.partial_cosine
        could_F[main] = False
        others_NF = np.where(could_F, part_NF, 0).clip(0)
        most = min(settings.partial_latents, others_NF.shape[1])
        by_others_N = np.sort(others_NF, axis=1)[:, -most:].sum(1)
        left_N = np.minimum(by_others_N, total_N - of_main_N)
        with np.errstate(divide="ignore", invalid="ignore"):
            partial_N = np.clip(left_N / (left_N + of_main_N), 0, 1)
        partial_N = np.where(of_main_N <= 0, 1.0, partial_N)
        none_N = (
            (total_N <= 0) | (of_main_N >= total_N) | (by_others_N < settings.projected * total_N)
        )
        return full_N, np.where(none_N, 0.0, partial_N)

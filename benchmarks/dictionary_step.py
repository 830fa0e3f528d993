"""A TopK dictionary's training step beside the plain dense step, sae-lens and eai-sparsify.

All train on the same batches from the same first weights, in float32 and interleaved rounds: a step
is loss, gradients, Adam, and the decoder's rows back to unit norm where the package does that. Each
package is used as its own trainer uses it (sae-lens clips gradients and has the decoder's norm in
its codes; sparsify leaves out gradients along the decoder's rows; both take Adam as torch has it by
default), but for the first weights and the learning rate. The dense step is the formula as one
would write it down. Losses stand beside the dense step's: the same method gives the same numbers,
but for the last bits; sae-lens differs by its method.

The aims: at least 5 times as fast as sae-lens's default TopK, and twice eai-sparsify.

    pip install sae-lens eai-sparsify
    python benchmarks/dictionary_step.py --rounds 9 --out step.json
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor, nn

from timing import Ratio, interleaved, machine, ratios_to_the_first
from toprope.techniques.interpretability.dictionaries.dictionary import make
from toprope.techniques.interpretability.synthetic import flat
from toprope.techniques.interpretability.training import (
    BETAS,
    EPSILON,
    Trainee,
    TrainingSettings,
)

LEARNING_RATE = 1e-3
FEATURES_A_ROW = 24
PACKAGES = {"sae_lens": "sae-lens", "sparsify": "eai-sparsify"}

Step = Callable[[Tensor], float]
"""Trains on a batch; returns its mean squared error before."""


@dataclass(frozen=True)
class Work:
    """What every arm has: first weights [F, D], the decoder's bias, batches, and K."""

    weights_FD: Tensor
    bias_D: Tensor
    batches: Sequence[Tensor]
    active: int


class Arm:
    """One way of training, which goes on from round to round; `losses` has each step's."""

    def __init__(self, step: Step, batches: Sequence[Tensor], steps: int) -> None:
        self.step, self.batches, self.steps = step, batches, steps
        self.losses: list[float] = []

    def __call__(self) -> float:
        for _ in range(self.steps):
            x_BD = self.batches[len(self.losses) % len(self.batches)]
            self.losses.append(self.step(x_BD))
        return self.steps * len(self.batches[0])


@click.command()
@click.option("--d-model", default=576, show_default=True)
@click.option("--width", default=8192, show_default=True)
@click.option("--active", default=32, show_default=True)
@click.option("--batch", default=2048, show_default=True)
@click.option("--steps", default=3, show_default=True, help="Of each arm in a round.")
@click.option("--rounds", default=9, show_default=True, help="An interval takes 6 or more.")
@click.option("--out", type=click.Path(path_type=Path), help="A JSON file for all that was found.")
def main(
    d_model: int, width: int, active: int, batch: int, steps: int, rounds: int, out: Path | None
) -> None:
    """Times a training step; prints a Markdown table."""
    work = prepared(d_model, width, active, batch)
    arms = {name: Arm(step, work.batches, steps) for name, step in ways(work)}
    rates = interleaved(arms, rounds, "steps")
    ratios = ratios_to_the_first(rates)
    losses = {name: arm.losses for name, arm in arms.items()}
    click.echo(table(rates, ratios, losses))
    if out:
        settings = {"d_model": d_model, "width": width, "active": active, "batch": batch}
        report = {
            "settings": settings | {"steps": steps, "rounds": rounds},
            "machine": machine(),
            "rows_per_second": rates,
            "ratios": [asdict(ratio) for ratio in ratios],
            "losses": losses,
        }
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def prepared(d_model: int, width: int, active: int, batch: int) -> Work:
    """Rows of known features, standardised."""
    rng = np.random.default_rng(0)
    features = flat(width // 2, d_model, min(FEATURES_A_ROW, width // 2), rng, noise=0.02)
    x_ND = features.sample(4 * batch, rng).x_ND
    x_ND = (x_ND - x_ND.mean(0)) / x_ND.std(0)
    dictionary = make({"width": width, "d_model": d_model, "active": active})
    dictionary.start(x_ND[:batch])
    return Work(
        dictionary.decoder_FD.detach().clone(),
        dictionary.decoder_bias_D.detach().clone(),
        x_ND.split(batch),
        active,
    )


def ways(work: Work) -> Iterator[tuple[str, Step]]:
    """The arms; a package that isn't installed is left out, and said."""
    yield "toprope", toprope_step(work)
    yield "dense", dense_step(work)
    for module, step in (("sae_lens", sae_lens_step), ("sparsify", sparsify_step)):
        if find_spec(module) is None:
            click.echo(f"{PACKAGES[module]} isn't installed: it is left out", err=True)
            continue
        yield PACKAGES[module], step(work)


def toprope_step(work: Work) -> Step:
    F, D = work.weights_FD.shape
    dictionary = make({"width": F, "d_model": D, "active": work.active})
    settings = TrainingSettings(steps=10**9, learning_rate=LEARNING_RATE, warmup=0, decay=0)
    trainee = Trainee("toprope", dictionary, settings)
    with torch.no_grad():
        dictionary.decoder_bias_D.copy_(work.bias_D)
    # The first step would set the bias, which all arms have been given.
    return lambda x_BD: trainee.step(x_BD, None, 2).reconstruction.item()


def dense_step(work: Work) -> Step:
    encoder_FD, decoder_FD = (nn.Parameter(work.weights_FD.clone()) for _ in range(2))
    encoder_bias_F = nn.Parameter(torch.zeros(len(encoder_FD)))
    decoder_bias_D = nn.Parameter(work.bias_D.clone())
    weights = [encoder_FD, encoder_bias_F, decoder_FD, decoder_bias_D]
    optimizer = torch.optim.Adam(weights, LEARNING_RATE, BETAS, EPSILON)

    def step(x_BD: Tensor) -> float:
        scores_BF = (x_BD - decoder_bias_D) @ encoder_FD.T + encoder_bias_F
        values_BK, latents_BK = scores_BF.topk(work.active, sorted=False)
        codes_BF = torch.zeros_like(scores_BF).scatter(1, latents_BK, values_BK.relu())
        loss = (codes_BF @ decoder_FD + decoder_bias_D - x_BD).square().mean()
        loss.backward()
        with torch.no_grad():
            gradient_FD = decoder_FD.grad
            assert gradient_FD is not None
            gradient_FD -= (gradient_FD * decoder_FD).sum(1, keepdim=True) * decoder_FD
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            decoder_FD.div_(decoder_FD.norm(dim=1, keepdim=True))
        return loss.item()

    return step


def sae_lens_step(work: Work) -> Step:
    from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig  # pyright: ignore
    from sae_lens.saes.sae import TrainStepInput  # pyright: ignore

    F, D = work.weights_FD.shape
    sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=D, d_sae=F, k=work.active))
    with torch.no_grad():
        sae.W_enc.copy_(work.weights_FD.T)
        sae.W_dec.copy_(work.weights_FD)
        sae.b_dec.copy_(work.bias_D)
    optimizer = torch.optim.Adam(sae.parameters(), LEARNING_RATE)
    nothing_dead_F = torch.zeros(F, dtype=torch.bool)

    def step(x_BD: Tensor) -> float:
        given = TrainStepInput(
            sae_in=x_BD,
            coefficients={},
            dead_neuron_mask=nothing_dead_F,
            n_training_steps=0,
            is_logging_step=False,
        )
        made = sae.training_forward_pass(given)
        made.loss.backward()
        nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return made.losses["mse_loss"].item() / D

    return step


def sparsify_step(work: Work) -> Step:
    with redirect_stdout(StringIO()):  # it says at import that Triton isn't there
        from sparsify import SparseCoder, SparseCoderConfig  # pyright: ignore

    F, D = work.weights_FD.shape
    coder = SparseCoder(D, SparseCoderConfig(num_latents=F, k=work.active), dtype=torch.float32)
    with torch.no_grad():
        coder.encoder.weight.copy_(work.weights_FD)
        coder.W_dec.copy_(work.weights_FD)
        coder.b_dec.copy_(work.bias_D)
    optimizer = torch.optim.Adam(coder.parameters(), LEARNING_RATE)

    def step(x_BD: Tensor) -> float:
        coder.set_decoder_norm_to_unit_norm()
        made = coder(x_BD)
        made.fvu.backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()
        return (made.sae_out.detach() - x_BD).square().mean().item()

    return step


def table(
    rates: dict[str, list[float]], ratios: list[Ratio], losses: dict[str, list[float]]
) -> str:
    """Rows a second, how many times faster toprope is, and the losses beside the dense step's."""
    times = {ratio.other: str(ratio) for ratio in ratios}
    reference = np.array(losses["dense"])
    lines = [
        "| step | rows/s | toprope is faster by | first loss | last loss | most off the dense |",
        "|---|---|---|---|---|---|",
    ]
    for name, of in rates.items():
        off = np.abs(np.array(losses[name]) / reference - 1).max()
        lines.append(
            f"| {name} | {np.median(of):.0f} | {times.get(name, '')} | {losses[name][0]:.6f} "
            f"| {losses[name][-1]:.6f} | {off:.1e} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

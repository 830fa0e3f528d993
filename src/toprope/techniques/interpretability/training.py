"""Training several dictionaries in one pass over the data: a batch is read once, and goes to all.

Adam with the settings of Gao et al. 2024 (arXiv 2406.04093, appendix A); the learning rate warms up
linearly, stays, and falls linearly to zero. With a folder, training is checkpointed there: a killed
run goes on from its last checkpoint and comes to the same weights, given the same batches.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from toprope.errors import UserError
from toprope.files import write_text
from toprope.progress import Progress
from toprope.techniques.interpretability.checkpoints import Checkpoint
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary, Loss

BETAS = (0.9, 0.999)
EPSILON = 6.25e-10
LOG = "log.jsonl"
NO_MATTER = {"log_every", "checkpoint_seconds", "checkpoint_every"}
"""Settings that don't change what a training comes to."""

Batch = Tensor | tuple[Tensor, Tensor]
"""Standardised rows [B, D]; for transcoders those of two layers."""
Batches = Iterable[Batch] | Callable[[int], Iterable[Batch]]
"""All batches, or what gives those after the first so many."""


class TrainingSettings(BaseModel):
    """
    Attributes:
        steps: batches to train on.
        learning_rate: at its peak.
        warmup, decay: the shares of the steps in which it rises at first, and falls at the end.
        max_grad_norm: gradients are scaled down to it.
        log_every: steps.
        checkpoint_seconds: between checkpoints; there is one at the end besides.
        checkpoint_every: steps between them, in place of seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    warmup: float = Field(default=0.02, ge=0, le=1)
    decay: float = Field(default=0.2, ge=0, le=1)
    max_grad_norm: float = Field(default=1.0, gt=0)
    log_every: int = Field(default=50, gt=0)
    checkpoint_seconds: float = Field(default=60.0, gt=0)
    checkpoint_every: int | None = Field(default=None, gt=0)


@dataclass(frozen=True)
class Record:
    """One dictionary at one step.

    Attributes:
        tokens: rows seen so far.
        loss, reconstruction, auxiliary: of this step's batch (see `Loss`).
        l0: latents active on a row.
        dead: latents silent for the settings' `dead_after` rows.
    """

    name: str
    step: int
    tokens: int
    loss: float
    reconstruction: float
    auxiliary: float
    l0: float
    dead: int


def train(
    dictionaries: Mapping[str, Dictionary],
    batches: Batches,
    settings: TrainingSettings,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
    due: Callable[[int], bool] | None = None,
) -> list[Record]:
    """Trains the dictionaries, by name, in place.

    Args:
        batches: at least `settings.steps` of them, each time the same in the same order. A run that
            goes on asks for those after the ones that it has had, where `batches` is a function;
            otherwise it reads them all, and passes over those.
        folder: for checkpoints and the log; one that holds a finished training is read only.
        due: whether a checkpoint is, after a step; by default what the settings say.

    Returns:
        The log: a record of each dictionary every `log_every` steps, and at the last.

    Raises:
        UserError: a loss that is no number, too few batches, or a folder of another training.
        OSError: the disk doesn't take a checkpoint; the last one stays.
    """
    runs = {name: Trainee(name, dictionary, settings) for name, dictionary in dictionaries.items()}
    kept = Checkpoint(folder, _description(dictionaries, settings)) if folder else None
    step, tokens, log = 0, 0, []
    if kept and (state := kept.restore({name: run.tensors() for name, run in runs.items()})):
        step, tokens = state.step, state.tokens
        log = [record for record in read_log(kept.folder / LOG) if record.step <= step]
    if step == settings.steps:
        return log
    is_due = due or checkpoints_due(settings)
    shown = progress or Progress(quiet=True)
    with shown.task(f"training {len(runs)} dictionaries", settings.steps) as task:
        task.advance(step)
        for x_BD, target_BD in _from(batches, step, settings.steps):
            step += 1
            tokens += len(x_BD)
            is_last = step == settings.steps
            for run in runs.values():
                loss = run.step(x_BD, target_BD, step)
                if step % settings.log_every == 0 or is_last:
                    log.append(run.record(loss, step, tokens))
            if kept and (is_due(step) or is_last):
                # The log first: what it holds beyond the checkpoint is dropped when it's read.
                lines = "".join(json.dumps(asdict(record)) + "\n" for record in log)
                write_text(kept.folder / LOG, lines)
                kept.keep({name: run.tensors() for name, run in runs.items()}, step, tokens)
            task.advance(1)
    return log


def read_log(path: Path) -> list[Record]:
    """What `train` wrote as log.jsonl."""
    return [Record(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def checkpoints_due(settings: TrainingSettings) -> Callable[[int], bool]:
    """Whether a checkpoint is due after a step, to be asked after each; the clock starts now."""
    if every := settings.checkpoint_every:
        return lambda step: step % every == 0
    last = time.monotonic()

    def by_clock(step: int) -> bool:
        nonlocal last
        if time.monotonic() - last < settings.checkpoint_seconds:
            return False
        last = time.monotonic()
        return True

    return by_clock


def rate(step: int, settings: TrainingSettings) -> float:
    """The learning rate's share of its peak at a step, counted from 1."""
    warm = math.ceil(settings.warmup * settings.steps)
    falling = math.ceil(settings.decay * settings.steps)
    up = step / warm if step < warm else 1.0
    left = settings.steps - step + 1
    down = left / (falling + 1) if left <= falling else 1.0
    return min(up, down)


class Trainee:
    """One dictionary and its optimizer."""

    def __init__(self, name: str, dictionary: Dictionary, settings: TrainingSettings) -> None:
        self.name, self.dictionary, self.settings = name, dictionary, settings
        self.parameters = list(dictionary.parameters())
        self.device = self.parameters[0].device
        self.optimizer = torch.optim.Adam(
            self.parameters, settings.learning_rate, BETAS, EPSILON, fused=True
        )
        for parameter in self.parameters:
            # As the optimizer would make it at its first step; there now, to be restored into.
            self.optimizer.state[parameter] = {
                "step": torch.zeros((), device=self.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def step(self, x_BD: Tensor, target_BD: Tensor | None, step: int) -> Loss:
        """Trains on one batch, the `step`-th, counted from 1.

        Raises:
            UserError: the loss is no number.
        """
        x_BD = x_BD.to(self.device)
        target_BD = None if target_BD is None else target_BD.to(self.device)
        if step == 1:
            self.dictionary.start(x_BD, target_BD)
        loss = self.dictionary.loss(x_BD, target_BD)
        if not math.isfinite(loss.total.item()):
            raise UserError(self._why_not_finite(x_BD, step))
        loss.total.backward()
        self.dictionary.before_step()
        nn.utils.clip_grad_norm_(self.parameters, self.settings.max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * rate(step, self.settings)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.dictionary.after_step()
        self.dictionary.count(loss.codes)
        return loss

    def record(self, loss: Loss, step: int, tokens: int) -> Record:
        return Record(
            name=self.name,
            step=step,
            tokens=tokens,
            loss=loss.total.item(),
            reconstruction=loss.reconstruction.item(),
            auxiliary=loss.auxiliary.item(),
            l0=loss.codes.l0,
            dead=int(self.dictionary.dead_F.sum()),
        )

    def tensors(self) -> dict[str, Tensor]:
        """All that training changes: weights, buffers, and Adam's state."""
        names = [name for name, _ in self.dictionary.named_parameters()]
        return self.dictionary.state_dict() | {
            f"adam.{name}.{key}": value
            for name, parameter in zip(names, self.parameters, strict=True)
            for key, value in self.optimizer.state[parameter].items()
        }

    def _why_not_finite(self, x_BD: Tensor, step: int) -> str:
        if not x_BD.isfinite().all():
            return (
                f"batch {step} holds activations that are infinite or no numbers: capture them "
                "again, in float32"
            )
        return (
            f"training '{self.name}' diverged at step {step}: lower learning_rate, which is "
            f"{self.settings.learning_rate:g}"
        )


def _from(batches: Batches, start: int, steps: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The batches from `start` to `steps`, as rows and targets."""
    given = iter(batches(start) if callable(batches) else batches)
    for i in range(start if callable(batches) else 0, steps):
        batch = next(given, None)
        if batch is None:
            raise UserError(
                f"the batches ended after {i} of {steps} steps: lower steps, or give more tokens"
            )
        if i >= start:
            yield (batch, None) if isinstance(batch, Tensor) else batch


def _description(
    dictionaries: Mapping[str, Dictionary], settings: TrainingSettings
) -> dict[str, object]:
    """What must be the same for a training to go on."""
    return {
        "settings": settings.model_dump(exclude=NO_MATTER),
        "dictionaries": {
            name: dictionary.settings.model_dump(mode="json")
            for name, dictionary in dictionaries.items()
        },
    }

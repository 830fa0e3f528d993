"""Direct preference optimisation of an adapter on pairs of answers, by TRL.

Rafailov et al. 2023 (arXiv 2305.18290). The reference is the model with its adapter off, in every
iteration: a later one goes on from the adapter before it, and is still held to the model as it
came.

TRL is handed a twin of the model, which shares its tensors and keeps TRL's changes to itself; what
comes back is an `Adapter` like any other. Nothing leaves the machine, and no file is written.
"""

from __future__ import annotations

import copy
import importlib.util
import math
import random
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from toprope.errors import UserError
from toprope.models.adapters import Adapter, Lora, Training, seeded, twin
from toprope.models.training import rate
from toprope.progress import Progress, Task

if TYPE_CHECKING:
    from toprope.models.local import LocalModel, Message


@dataclass(frozen=True)
class Preference:
    """A prompt with an answer that is preferred to another."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str


class DpoSettings(BaseModel):
    """How an adapter is trained on preferences."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    beta: float = Field(default=0.1, gt=0, description="how strongly it's held to the model")
    imitation: float = Field(
        default=0.0,
        ge=0,
        description="weight of the chosen answers' surprise a token, beside the preference",
    )
    lora: Lora = Lora(rank=16, alpha=32, learning_rate=5e-5, batch_size=8, kept_tokens=1024)


@dataclass(frozen=True)
class Trained:
    """How a training went, step by step.

    Attributes:
        losses: the preference's, with what imitation adds.
        agreed: the share of the step's pairs whose chosen answer has gained more, relative to the
            reference, than the rejected one.
        margins: beta times how much more, in nats, over the step's pairs.
        tokens: read by the model and the reference.
    """

    losses: tuple[float, ...] = ()
    agreed: tuple[float, ...] = ()
    margins: tuple[float, ...] = ()
    tokens: int = 0
    seconds: float = 0.0


def check_installed() -> None:
    """
    Raises:
        UserError: TRL isn't installed.
    """
    if importlib.util.find_spec("trl") is None:
        raise UserError("self-play trains with TRL: pip install 'toprope[self-play]'")


def train(
    base: LocalModel,
    pairs: Sequence[Preference],
    settings: DpoSettings,
    *,
    begin: Adapter | None = None,
    progress: Progress | None = None,
) -> tuple[Adapter, Trained]:
    """An adapter with which the base prefers the chosen answers; `Adapter.applied` is that model.

    A run repeats exactly, and leaves all global randomness as it was.

    Args:
        begin: an adapter of the base, of the same shape, to go on from.

    Raises:
        UserError: TRL isn't installed, there are no pairs, the base has no chat template or one
            that shows a prompt otherwise where an answer follows it, or the training diverged.
    """
    check_installed()
    base.check_that_it_chats()
    if not pairs:
        raise UserError(f"training '{base.name}' on preferences needs at least one pair")
    began = time.monotonic()
    with base.turn, _undisturbed(), TemporaryDirectory() as scratch:
        adapter = Adapter.on(base, settings.lora)
        if begin is not None:
            _copy(begin.weights(), adapter.weights())
        plan = _plan(base, pairs, settings.lora)
        trainer = _trainer(base, adapter, pairs, settings, plan, scratch)
        for one, row in zip(pairs, trainer.train_dataset, strict=True):
            _check(base, one, row)
        weights = {
            name.replace(".default.", "."): weight
            for name, weight in trainer.model.named_parameters()
            if weight.requires_grad
        }
        _copy(adapter.weights(), weights)
        watch = _Watch(base.name, settings.lora.learning_rate)
        shown = progress or Progress(quiet=True)
        with shown.task(f"training {base.name} on {len(pairs)} pairs", plan.steps) as task:
            trainer.add_callback(_callback(watch, task))
            trainer.train()
        _copy(weights, adapter.weights())
    # Each is read as the reference and as the model in training.
    tokens = round(2 * plan.tokens * settings.lora.epochs)
    base.tokens_read += tokens
    adapter.training = Training(tuple(watch.losses), {}, kept=plan.steps)
    curves = tuple(watch.losses), tuple(watch.agreed), tuple(watch.margins)
    return adapter, Trained(*curves, tokens, time.monotonic() - began)


@dataclass(frozen=True)
class _Plan:
    """
    Attributes:
        batch, at_once: pairs of a step, and of each of its passes.
        longest: tokens of the longest answer with its prompt.
        tokens: of all answers with their prompts.
    """

    batch: int
    at_once: int
    steps: int
    longest: int
    tokens: int


def _plan(base: LocalModel, pairs: Sequence[Preference], lora: Lora) -> _Plan:
    lengths = [
        len(base.tokens(one.prompt)) + len(base.continuation(answer))
        for one in pairs
        for answer in (one.chosen, one.rejected)
    ]
    longest, batch = max(lengths), min(lora.batch_size, len(pairs))
    # A pass reads both answers of its pairs.
    fitting = [
        n for n in range(2, batch + 1) if not batch % n and 2 * n * longest <= lora.token_budget
    ]
    steps = math.ceil(math.ceil(len(pairs) / batch) * lora.epochs)
    return _Plan(batch, max(fitting, default=1), steps, longest, sum(lengths))


def _trainer(
    base: LocalModel,
    adapter: Adapter,
    pairs: Sequence[Preference],
    settings: DpoSettings,
    plan: _Plan,
    scratch: str,
) -> Any:
    """TRL's trainer on a twin of the base, with an adapter of this one's shape."""
    from datasets import Dataset
    from transformers.trainer_callback import PrinterCallback
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    lora = settings.lora

    class Trainer(DPOTrainer):
        def _send_telemetry(self) -> None:
            """Nothing is told to anyone."""

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            stepped: Any = optimizer or self.optimizer
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                # It's asked once more after the last step.
                stepped,
                lambda step: rate(min(step, num_training_steps - 1), num_training_steps, lora),
            )
            return self.lr_scheduler

    config = DPOConfig(
        output_dir=scratch,
        beta=settings.beta,
        loss_type=["sigmoid", "sft"] if settings.imitation else ["sigmoid"],
        loss_weights=[1.0, settings.imitation] if settings.imitation else None,
        max_length=None,
        max_steps=plan.steps,
        per_device_train_batch_size=plan.at_once,
        gradient_accumulation_steps=plan.batch // plan.at_once,
        gradient_checkpointing=2 * plan.at_once * plan.longest > lora.kept_tokens,
        learning_rate=lora.learning_rate,
        weight_decay=lora.weight_decay,
        max_grad_norm=lora.max_grad_norm,
        seed=lora.seed,
        data_seed=lora.seed,
        # Each weight in its own precision; TRL would else compute in bfloat16.
        bf16=False,
        fp16=False,
        use_cpu=base.device.type == "cpu",
        dataloader_pin_memory=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    config._n_gpu = min(1, config.n_gpu)  # of several, the base is on one
    trainer = Trainer(
        twin(base.module),
        args=config,
        train_dataset=Dataset.from_list([_row(one) for one in pairs]),
        processing_class=base.tokenizer,
        peft_config=copy.deepcopy(adapter.peft),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _row(one: Preference) -> dict[str, list[dict[str, str]]]:
    """As TRL has conversations."""
    return {
        "prompt": [dict(message) for message in one.prompt],
        "chosen": [{"role": "assistant", "content": one.chosen}],
        "rejected": [{"role": "assistant", "content": one.rejected}],
    }


def _check(base: LocalModel, one: Preference, row: Mapping[str, Sequence[int]]) -> None:
    """
    Args:
        row: the token ids of its prompt and answers in training.

    Raises:
        UserError: they aren't what the base is asked with, and what would follow it.
    """
    prompt = list(row["prompt_ids"])
    read = [prompt + list(row[f"{which}_ids"]) for which in ("chosen", "rejected")]
    if prompt != base.tokens(one.prompt) or read != [
        _whole(base, one.prompt, answer) for answer in (one.chosen, one.rejected)
    ]:
        raise UserError(
            f"the chat template of '{base.name}' shows a prompt otherwise where an answer follows "
            "it, so that it would be trained on what it's never asked: take another model"
        )


def _whole(base: LocalModel, prompt: Sequence[Message], answer: str) -> list[int]:
    """Token ids of a conversation that ends with its answer."""
    messages = [*map(dict, prompt), {"role": "assistant", "content": answer}]
    text = base.tokenizer.apply_chat_template(messages, tokenize=False)
    return base.tokenizer(text, add_special_tokens=False).input_ids


def _copy(some: Mapping[str, nn.Parameter], into: Mapping[str, nn.Parameter]) -> None:
    with torch.no_grad():
        for name, weight in into.items():
            weight.copy_(some[name])


@dataclass
class _Watch:
    """What the trainer tells of each step."""

    base: str
    learning_rate: float
    losses: list[float] = field(default_factory=list)
    agreed: list[float] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)

    def see(self, logs: Mapping[str, Any]) -> None:
        """
        Raises:
            UserError: the loss is infinite or no number.
        """
        if "loss" not in logs:  # the summary at the end
            return
        self.losses.append(float(logs["loss"]))
        self.agreed.append(float(logs["rewards/accuracies"]))
        self.margins.append(float(logs["rewards/margins"]))
        if not math.isfinite(self.losses[-1]):
            raise UserError(
                f"training '{self.base}' diverged at step {len(self.losses)} (loss "
                f"{self.losses[-1]}): lower learning_rate, which is {self.learning_rate}"
            )


def _callback(watch: _Watch, task: Task) -> Any:
    from transformers.trainer_callback import TrainerCallback

    class Callback(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            task.advance()

        def on_log(self, *_: Any, logs: Mapping[str, Any], **__: Any) -> None:
            watch.see(logs)

    return Callback()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Global randomness, which the trainer seeds, as it was afterwards; the libraries' own bars and
    advice off the screen."""
    from datasets.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from transformers.utils import logging

    pythons, numpys = random.getstate(), np.random.get_state()
    with ExitStack() as before, seeded(0), warnings.catch_warnings():
        before.callback(random.setstate, pythons)
        before.callback(np.random.set_state, numpys)
        if not are_progress_bars_disabled():
            before.callback(enable_progress_bars)
        disable_progress_bars()
        before.callback(logging.set_verbosity, logging.get_verbosity())
        logging.set_verbosity_error()
        warnings.simplefilter("ignore", FutureWarning)
        # The base has the name that the user gave it.
        warnings.filterwarnings("ignore", message="The PEFT config's `base_model_name_or_path`")
        yield

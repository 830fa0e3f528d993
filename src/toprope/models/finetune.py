"""Fine-tuning a LocalModel with LoRA: a classifier on soft labels, or answers to prompts.

Only the adapter, and a classifier's head, are trained; the base keeps its weights and its answers
(see `adapters.py`). Items are padded at the end: a causal model's real tokens never see the
padding, so none needs a mask. An item's gradient doesn't depend on what else is in its pass; only
the loss may look at the step's items together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from toprope.errors import UserError
from toprope.models.adapters import Adapter, Lora
from toprope.models.answered import answered, summed
from toprope.models.batching import batches, right_padded
from toprope.models.training import check_trainable, train
from toprope.progress import Progress

if TYPE_CHECKING:
    from toprope.models.local import LocalModel, Prompt

Loss = Callable[[Tensor, Tensor, float], Tensor]
"""A step's loss from its logits [B, C], its soft labels [B, C] and how far training is (0 to 1)."""

HEAD_FILE = "head.safetensors"


def soft_cross_entropy(logits_BC: Tensor, labels_BC: Tensor, progress: float) -> Tensor:
    """The mean cross-entropy against soft labels."""
    return cross_entropy(logits_BC, labels_BC)


@dataclass(eq=False)
class Classifier:
    """An adapter with a linear head on the last token's state, after the final norm."""

    adapter: Adapter
    head: nn.Linear

    def probs(self, texts: Sequence[Prompt], *, progress: Progress | None = None) -> np.ndarray:
        """The probability of each class, [N, C]. The base is as before when this returns."""
        base = self.adapter.base
        rows = [base.tokens(text) for text in texts]
        total = sum(map(len, rows))
        shown = progress or Progress(quiet=True)
        about = f"asking {base.name}, tuned"
        with base.turn, self.adapter.active(), shown.task(about, total) as task:
            logits_NC = _all_logits(self, rows, task.advance)
        base.tokens_read += total
        return logits_NC.double().softmax(-1).numpy()

    def save(self, folder: Path) -> None:
        """Writes the adapter in peft's format and the head beside it, as safetensors and JSON."""
        from safetensors.torch import save_file

        self.adapter.save(folder)
        save_file({k: v.cpu() for k, v in self.head.state_dict().items()}, folder / HEAD_FILE)

    @classmethod
    def load(cls, base: LocalModel, folder: Path) -> Classifier:
        """Reads what `save` wrote.

        Raises:
            UserError: there is no classifier, or it belongs to another base.
        """
        from safetensors.torch import load_file

        adapter = Adapter.load(base, folder)
        if not (folder / HEAD_FILE).exists():
            raise UserError(f"{folder} holds an adapter for text: load it with Adapter.load")
        tensors = load_file(folder / HEAD_FILE)
        head = _new_head(base, len(tensors["bias"]))
        head.load_state_dict(tensors)
        return cls(adapter, head.requires_grad_(False))

    def close(self) -> None:
        """Lets go of the adapter's weights."""
        self.adapter.close()


def finetune_classifier(
    base: LocalModel,
    texts: Sequence[Prompt],
    labels_NC: np.ndarray,
    lora: Lora,
    *,
    loss: Loss = soft_cross_entropy,
    validation: tuple[Sequence[Prompt], np.ndarray] | None = None,
    progress: Progress | None = None,
) -> Classifier:
    """Trains a classifier (see `LocalModel.finetune_classifier`)."""
    check_trainable(base, len(texts))
    rows = [base.tokens(text) for text in texts]
    wanted_NC = _soft_labels(labels_NC, len(rows)).to(base.device)
    held_texts, held_labels_NC = validation or ([], np.empty((0, wanted_NC.shape[1])))
    held_rows = [base.tokens(text) for text in held_texts]
    held_NC = _soft_labels(held_labels_NC, len(held_rows))
    adapter = Adapter.on(base, lora)
    classifier = Classifier(adapter, _new_head(base, wanted_NC.shape[1]))

    def step(items: list[int], share: float) -> float:
        """The loss gets all logits: it may couple the items, by a threshold at their median."""
        lengths = [len(rows[i]) for i in items]
        parts = [[items[k] for k in part] for part in batches(lengths, budget=lora.token_budget)]
        padded = sum(len(part) * len(rows[part[0]]) for part in parts)
        logits_BC = torch.cat(
            [
                _logits(classifier, [rows[i] for i in part], keep=padded <= lora.kept_tokens)
                for part in parts
            ]
        )
        value = loss(logits_BC, wanted_NC[[i for part in parts for i in part]], share)
        value.backward()
        return value.item()

    def validate() -> float:
        logits_NC = _all_logits(classifier, held_rows, lambda _tokens: None)
        base.tokens_read += sum(map(len, held_rows))
        return cross_entropy(logits_NC, held_NC).item()

    adapter.training = train(
        adapter,
        [*adapter.weights().values(), *classifier.head.parameters()],
        [len(row) for row in rows],
        step,
        validate if held_rows else None,
        progress,
    )
    return classifier


def finetune_text(
    base: LocalModel,
    pairs: Sequence[tuple[Prompt, str]],
    lora: Lora,
    *,
    prefills: Sequence[str] = (),
    validation: Sequence[tuple[Prompt, str]] = (),
    progress: Progress | None = None,
) -> Adapter:
    """Trains an adapter to answer (see `LocalModel.finetune_text`)."""
    check_trainable(base, len(pairs))
    begun = prefills or [""] * len(pairs)
    rows = [
        answered(base, prompt, [text], prefill=prefill)
        for (prompt, text), prefill in zip(pairs, begun, strict=True)
    ]
    held = [answered(base, prompt, [text]) for prompt, text in validation]
    adapter = Adapter.on(base, lora)

    def step(items: list[int], _share: float) -> float:
        """The mean over the answers' tokens is a sum over passes: each goes backward by itself."""
        batch = [rows[i] for i in items]
        answers, total = sum(len(row.answers[0]) for row in batch), 0.0
        for part in batches([len(row.tokens) for row in batch], budget=lora.token_budget):
            value = -summed(base, [batch[k] for k in part]).sum() / answers
            value.backward()
            total += value.item()
        return total

    @torch.inference_mode()
    def validate() -> float:
        total = 0.0
        for part in batches([len(row.tokens) for row in held], budget=lora.token_budget):
            total -= summed(base, [held[k] for k in part]).sum().item()
        base.tokens_read += sum(len(row.tokens) for row in held)
        return total / sum(len(row.answers[0]) for row in held)

    adapter.training = train(
        adapter,
        list(adapter.weights().values()),
        [len(row.tokens) for row in rows],
        step,
        validate if held else None,
        progress,
    )
    return adapter


def _new_head(base: LocalModel, classes: int) -> nn.Linear:
    """A head of zeros: at first every class is as likely, whatever the scale of the states."""
    head = nn.Linear(base.d_model, classes, device="meta").to_empty(device=base.device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def _logits(classifier: Classifier, rows: Sequence[list[int]], *, keep: bool = True) -> Tensor:
    """[B, C] float32, with the adapter as it is at the moment.

    Args:
        keep: what the backward pass needs; without it, the pass is run again then.
    """
    base = classifier.adapter.base
    ids_BT = right_padded(rows, base.tokenizer.pad_token_id, base.device)
    last_B = torch.tensor([len(row) - 1 for row in rows], device=base.device)

    def read(ids_BT: Tensor, last_B: Tensor) -> Tensor:
        states_BTD = base.module.base_model(input_ids=ids_BT, use_cache=False).last_hidden_state
        each_B = torch.arange(len(last_B), device=base.device)
        return classifier.head(states_BTD[each_B, last_B].float())

    if keep:
        return read(ids_BT, last_B)
    # The second run drops the same units: `checkpoint` restores the random state of the tensors'
    # device.
    return cast(Tensor, checkpoint(read, ids_BT, last_B, use_reentrant=False))


@torch.inference_mode()
def _all_logits(
    classifier: Classifier, rows: Sequence[list[int]], advance: Callable[[int], None]
) -> Tensor:
    """[N, C] on the CPU, in the order of the rows."""
    logits_NC = torch.empty(len(rows), classifier.head.out_features)
    for part in batches([len(row) for row in rows], budget=classifier.adapter.lora.token_budget):
        logits_NC[part] = _logits(classifier, [rows[i] for i in part]).cpu()
        advance(sum(len(rows[i]) for i in part))
    return logits_NC


def _soft_labels(labels_NC: np.ndarray, items: int) -> Tensor:
    """[N, C] float32."""
    labels = torch.tensor(np.array(labels_NC, dtype=np.float32))
    if labels.ndim != 2 or len(labels) != items:
        raise ValueError(f"labels must be [N = {items}, C], not {tuple(labels.shape)}")
    if not torch.allclose(labels.sum(1), torch.ones(items), atol=1e-4):
        raise ValueError("labels must be probabilities: rows sum to one")
    return labels

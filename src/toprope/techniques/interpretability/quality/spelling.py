"""The first-letter spelling task on a model's own vocabulary (Chanin et al. 2024, arXiv
2409.14507): words that are one token, prompts with examples in context, and the activations at the
word.

As in the paper, each word gets its own examples, drawn from the training words. Prompts are put
together from token ids, so that all are of one length and the word's place is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from toprope.errors import UserError
from toprope.models.capturing import DeepEnough, captured
from toprope.models.local import LocalModel
from toprope.progress import Progress
from toprope.techniques.interpretability.quality.patching import last_logits

AT_ONCE = 16
"""Prompts in a batch."""
_SPARE = 3
"""Examples beyond those shown, as the word itself may be drawn: in lower, title and upper case."""


@cache
def _task() -> dict[str, Any]:
    return yaml.safe_load(Path(__file__).with_name("spelling.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Spelling:
    """N words with a prompt each.

    Attributes:
        words: as they are spelled, without the space.
        ids_NT: int64, the prompts.
        position: of the word's token in each prompt.
        letters_N: the index of each word's first letter in `alphabet`.
        answers_L: the token that answers with each letter.
        train_N: the words to fit probes on; a word is on one side, however its letters' case.
    """

    words: list[str]
    ids_NT: Tensor
    position: int
    letters_N: NDArray[np.int64]
    alphabet: str
    answers_L: Tensor
    train_N: NDArray[np.bool_]


def check_spelling(model: LocalModel, *, examples: int = 10, test: float = 0.4) -> None:
    """Says before any work whether the task can be asked of a model.

    Args:
        examples, test: as `spelling` will be given them.

    Raises:
        UserError: the model is an encoder, or its vocabulary lacks the letters or enough words.
    """
    _answers(model)
    known = _vocabulary(model.tokenizer, str(_task()["letters"]), _task()["shortest"])
    _check_words(model, len(known), math.floor((1 - test) * len(known)), examples)


def spelling(
    model: LocalModel,
    *,
    words: int,
    examples: int,
    test: float,
    rng: np.random.Generator,
) -> Spelling:
    """
    Args:
        words: at most so many, drawn from the vocabulary.
        examples: in context.
        test: the share of words that probes aren't fitted on.

    Raises:
        UserError: the model is an encoder, or its vocabulary lacks the letters or enough words.
    """
    task, alphabet = _task(), str(_task()["letters"])
    answers = _answers(model)
    known = _vocabulary(model.tokenizer, alphabet, task["shortest"])
    chosen = [known[i] for i in rng.permutation(len(known))[:words]]
    # By spelling, so that "Word" and "word" are on the same side.
    forms = sorted({word.casefold() for word, _ in chosen})
    held_out = {forms[i] for i in rng.permutation(len(forms))[: round(test * len(forms))]}
    train_N = np.array([word.casefold() not in held_out for word, _ in chosen], dtype=bool)
    shown = [pair for pair, train in zip(chosen, train_N, strict=True) if train]
    _check_words(model, len(chosen), len(shown), examples)
    question, separator = (model.continuation(task[part]) for part in ("question", "separator"))
    start = model.tokenizer("", add_special_tokens=True).input_ids
    rows = []
    for word, token in chosen:
        ids = list(start)
        drawn = [shown[i] for i in rng.choice(len(shown), examples + _SPARE, replace=False)]
        others = [one for one in drawn if one[0].casefold() != word.casefold()]
        for other, other_token in others[:examples]:
            letter = alphabet.index(other[0].upper())
            ids += [other_token, *question, *answers[letter], *separator]
        rows.append([*ids, token, *question])
    return Spelling(
        words=[word for word, _ in chosen],
        ids_NT=torch.tensor(rows),
        position=len(rows[0]) - len(question) - 1,
        letters_N=np.array([alphabet.index(word[0].upper()) for word, _ in chosen]),
        alphabet=alphabet,
        answers_L=torch.tensor([answer[0] for answer in answers]),
        train_N=train_N,
    )


def at_words(
    model: LocalModel, task: Spelling, layer: int, *, progress: Progress | None = None
) -> Tensor:
    """[N, D], float32 on the CPU: the activations at the words. What comes after a word isn't read:
    a causal model's state doesn't depend on it.

    Raises:
        UserError: a layer the model doesn't have.
    """
    if not 1 <= layer <= model.n_layers:
        raise UserError(f"model '{model.name}' has layers 1 to {model.n_layers}, not {layer}")
    parts = []
    n = len(task.words)
    with (progress or Progress(quiet=True)).task("reading words", n) as shown:
        for start in range(0, n, AT_ONCE):
            ids_BT = task.ids_NT[start : start + AT_ONCE, : task.position + 1].to(model.device)
            with (
                torch.inference_mode(),
                model.turn,
                captured(model.blocks, [layer], stop=True) as states,
                suppress(DeepEnough),
            ):
                model.module.base_model(input_ids=ids_BT, use_cache=False)
            parts.append(states[layer][:, -1].float().cpu())
            model.tokens_read += ids_BT.numel()
            shown.advance(len(ids_BT))
    return torch.cat(parts).clone()


@torch.inference_mode()
def spelled_right(model: LocalModel, task: Spelling, items: Sequence[int]) -> NDArray[np.bool_]:
    """[items]: the right letter has the highest logit of all letters after the prompt."""
    right = []
    for start in range(0, len(items), AT_ONCE):
        some = list(items[start : start + AT_ONCE])
        with model.turn:
            logits_BV = last_logits(model, task.ids_NT[some].to(model.device))
        said_B = logits_BV[:, task.answers_L.to(model.device)].argmax(1).cpu().numpy()
        right.append(said_B == task.letters_N[some])
    return np.concatenate(right) if right else np.zeros(0, dtype=bool)


def _answers(model: LocalModel) -> list[list[int]]:
    """The token of each letter as an answer."""
    if not model.is_causal:
        raise UserError(f"model '{model.name}' is an encoder: it can't be asked to spell")
    task = _task()
    answers = [model.continuation(task["answer"].format(letter=one)) for one in task["letters"]]
    if any(len(answer) != 1 for answer in answers):
        raise UserError(
            f"model '{model.name}' has no single token for each letter: the first-letter task "
            "can't be asked of it"
        )
    return answers


def _check_words(model: LocalModel, words: int, shown: int, examples: int) -> None:
    if shown < examples + _SPARE or shown == words:
        raise UserError(
            f"model '{model.name}' has {words} words of one token: too few for the first-letter "
            "task"
        )


def _vocabulary(tokenizer: Any, alphabet: str, shortest: int) -> list[tuple[str, int]]:
    """Words that are one token with their leading space, in the order of their ids."""
    letters = set(alphabet + alphabet.lower())
    # Behind another token, as some tokenizers drop a text's first space.
    anchor = tokenizer("a", add_special_tokens=False).input_ids[-1]
    before = tokenizer.decode([anchor])
    found = []
    for token in range(len(tokenizer)):
        text = tokenizer.decode([anchor, token])[len(before) :]
        word = text[1:]
        if text.startswith(" ") and len(word) >= shortest and set(word) <= letters:
            found.append((word, token))
    return found

"""Capability: what is correct and what surprises, before and after a change of the model."""

import numpy as np
import pytest
import torch

from toprope.data.examples import Dataset, Example
from toprope.errors import UserError
from toprope.models.adapters import Adapter, Lora
from toprope.models.local import LocalModel
from toprope.techniques.safeguards.capability import answers, capability, surprise

TEXTS = [
    "The capital of France is Paris.",
    "The capital of Norway is Oslo.",
    "The city of Lagos is in Nigeria.",
    "A weaker partner keeps a stronger climber safe.",
    "Twelve plus thirty is forty-two.",
    "Nineteen minus seven is twelve.",
    "The climber is on the rope.",
    "The partner is on the ground.",
]


def quiz(*rows: tuple[str, str, int], options: tuple[str, ...] = (" no", " yes")) -> Dataset:
    examples = tuple(
        Example(str(i), f"{question} {answer}? Answer:", label, question)
        for i, (question, answer, label) in enumerate(rows)
    )
    return Dataset("quiz", examples, options, options)


class Scripted:
    """A model whose probability of yes is given, by what the prompt holds."""

    def __init__(self, **yes: float) -> None:
        self.yes = yes

    def option_probs(self, prompts: list[str], options: tuple[str, ...], **_: object) -> np.ndarray:
        p_N = np.array([next(p for word, p in self.yes.items() if word in one) for one in prompts])
        return np.stack([1 - p_N, p_N], 1)


def test_a_question_is_answered_by_the_answer_that_is_likeliest_to_be_right():
    data = quiz(("q", "paris", 1), ("q", "lagos", 0), ("r", "rome", 0), ("r", "oslo", 1))
    # A model that always says no, and yet knows one of them.
    leaning = Scripted(paris=0.02, lagos=0.01, rome=0.02, oslo=0.01)
    assert answers(leaning, data).tolist() == [1.0, 0.0]  # type: ignore[arg-type]


def test_questions_with_several_answers_and_none_to_compare():
    rows = [("q", "lagos", 0), ("q", "rome", 0), ("q", "paris", 1), ("alone", "oslo", 1)]
    yes = {"lagos": 0.1, "rome": 0.3, "paris": 0.2, "oslo": 0.9}
    assert answers(Scripted(**yes), quiz(*rows)).tolist() == [0.0]  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no question of 'quiz' has a right and a wrong answer"):
        answers(Scripted(**yes), quiz(rows[-1]))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="'quiz' has 3 classes"):
        answers(Scripted(**yes), quiz(*rows, options=("a", "b", "c")))  # type: ignore[arg-type]


def test_surprise_is_the_loss_of_transformers(tiny_model: LocalModel):
    found = surprise(tiny_model, TEXTS)
    for text, nats in zip(TEXTS, found, strict=True):
        ids_BT = torch.tensor([tiny_model.tokens(text)])
        with torch.no_grad():
            loss = tiny_model.module(ids_BT, labels=ids_BT).loss
        assert nats == pytest.approx(float(loss), rel=1e-4)


def test_a_change_is_that_of_the_same_items(tiny_model: LocalModel):
    data = quiz(("Paris", "yes", 1), ("Paris", "no", 0), ("Lagos", "no", 1), ("Lagos", "yes", 0))
    lora = Lora(rank=4, epochs=30, batch_size=8, learning_rate=3e-2)
    lines = [(text[:8], text[8:]) for text in TEXTS]
    taught = tiny_model.finetune_text(lines, lora).applied()
    found = capability(tiny_model, taught, data, TEXTS, rng=np.random.default_rng(0))
    assert found.surprise.after < 0.7 * found.surprise.before
    assert found.surprise.difference.value == pytest.approx(
        found.surprise.after - found.surprise.before
    )
    assert found.surprise.difference.high < 0
    assert found.surprise.difference.n == 8
    assert found.accuracy.difference.n == 2


def test_a_change_of_nothing_is_none(tiny_model: LocalModel):
    data = quiz(("Paris", "yes", 1), ("Paris", "no", 0), ("Lagos", "no", 1), ("Lagos", "yes", 0))
    same = Adapter.on(tiny_model, Lora()).applied()
    found = capability(tiny_model, same, data, TEXTS, rng=np.random.default_rng(0))
    assert found.accuracy.difference.value == 0
    assert found.surprise.difference.value == pytest.approx(0, abs=1e-6)

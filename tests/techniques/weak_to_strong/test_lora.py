"""The fine-tuned learner: it learns the labels given, holds some of them out, and cleans up."""

from typing import Any

import numpy as np
import pytest
import torch

from toprope.models.finetune import Classifier, soft_cross_entropy
from toprope.models.local import LocalModel
from toprope.techniques.weak_to_strong.confidence import Confidence
from toprope.techniques.weak_to_strong.lora import ENSEMBLE, HELD_OUT, LoraLearner, _mixed

TEXTS = [
    f"{name} is {kind}"
    for name in ("Paris", "Lagos", "The rope", "Twelve", "Norway", "A climber")
    for kind in ("true", "false")
]
TRUTH = np.arange(12) % 2
LABELS = np.eye(2)[TRUTH]
ITEMS = np.arange(10)
QUICK = {"rank": 2, "epochs": 1, "learning_rate": 1e-2}


def learner(model: LocalModel, **settings: Any) -> LoraLearner:
    return LoraLearner(model, TEXTS, QUICK | settings, np.random.default_rng(0))


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each training was given, and the classifier that came of it."""
    seen: list[dict[str, Any]] = []
    finetune = LocalModel.finetune_classifier

    def recording(self, texts, labels_NC, lora, *, loss, validation, **rest) -> Classifier:
        made = finetune(self, texts, labels_NC, lora, loss=loss, validation=validation, **rest)
        seen.append(
            {
                "texts": [*texts, *validation[0]],
                "labels": np.vstack([labels_NC, validation[1]]),
                "held": len(validation[0]),
                "seed": lora.seed,
                "classifier": made,
            }
        )
        return made

    monkeypatch.setattr(LocalModel, "finetune_classifier", recording)
    return seen


def test_it_learns_the_labels_given(tiny_model: LocalModel):
    student = learner(tiny_model, rank=4, epochs=25, batch_size=6).fit(ITEMS, LABELS[ITEMS])
    probs_NC = student(np.array([11, 0, 3]))
    assert probs_NC.shape == (3, 2)
    np.testing.assert_allclose(probs_NC.sum(1), 1)
    assert (student(ITEMS).argmax(1) == TRUTH[ITEMS]).mean() >= 0.9
    np.testing.assert_array_equal(student(np.array([3, 11])), probs_NC[[2, 0]])


def test_a_fifth_of_the_labels_given_is_held_out(tiny_model: LocalModel, trainings):
    labels_NC = np.random.default_rng(1).dirichlet([1, 1], len(ITEMS))
    learner(tiny_model).fit(ITEMS + 2, labels_NC)
    [one] = trainings
    assert one["held"] == HELD_OUT * len(ITEMS)
    given = dict(zip(TEXTS[2:], labels_NC.tolist(), strict=True))
    assert dict(zip(one["texts"], one["labels"].tolist(), strict=True)) == given


def test_several_differ_in_their_seed_and_in_what_they_hold_out(tiny_model: LocalModel, trainings):
    students = learner(tiny_model).several(ITEMS, LABELS[ITEMS])
    assert len(students) == len(trainings) == ENSEMBLE
    assert len({one["seed"] for one in trainings}) == ENSEMBLE
    assert len({tuple(sorted(one["texts"][-2:])) for one in trainings}) > 1


def test_a_fold_is_relabelled_by_a_student_of_the_others(tiny_model: LocalModel, trainings):
    folds = np.arange(10) % 2
    relabelled_NC = learner(tiny_model).relabel(ITEMS, LABELS[ITEMS], folds)
    for fold, one in enumerate(trainings):
        own = [TEXTS[i] for i in ITEMS[folds == fold]]
        assert not set(own) & set(one["texts"])
        np.testing.assert_array_equal(relabelled_NC[folds == fold], one["classifier"].probs(own))


def test_forgetting_closes_the_adapters_and_the_base_is_as_before(
    tiny_model: LocalModel, trainings
):
    def seen() -> list[Any]:
        return [
            tiny_model.option_probs(TEXTS[:3], [" yes", " no"]).tolist(),
            [id(part) for part in tiny_model.module.modules()],
        ]

    before = seen()
    student = learner(tiny_model)
    student.fit(ITEMS, LABELS[ITEMS])(ITEMS)
    student.fit(ITEMS, LABELS[ITEMS], Confidence(0.5, 0.2))(ITEMS)
    assert all(one["classifier"].adapter.layers for one in trainings)
    student.forget()
    assert len(trainings) == 2
    assert not any(one["classifier"].adapter.layers for one in trainings)
    assert seen() == before


def test_the_mixed_loss_is_cross_entropy_towards_the_mixture():
    """Its gradient is softmax - target, as if the target, hardened from the same logits, were
    fixed."""
    logits_BC = torch.randn(6, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels_BC = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]] * 2)
    mix = Confidence(weight=0.6, warmup=0.2)
    loss = _mixed(mix)(logits_BC, labels_BC, 0.1)
    loss.backward()
    probs_BC = logits_BC.detach().softmax(1)
    towards_BC = torch.tensor(mix(probs_BC.numpy(), labels_BC.numpy(), 0.1))
    expected = -(towards_BC * probs_BC.log()).sum(1).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert logits_BC.grad is not None
    np.testing.assert_allclose(logits_BC.grad, (probs_BC - towards_BC) / 6, atol=1e-6)
    plain = soft_cross_entropy(logits_BC, labels_BC, 0.0)
    assert _mixed(mix)(logits_BC, labels_BC, 0.0).item() == pytest.approx(plain.item())

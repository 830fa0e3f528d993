"""Known features: what rows are made of, and measures, exact on dictionaries made by hand."""

import numpy as np
import pytest
import torch

from toprope.errors import UserError
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary, make
from toprope.techniques.interpretability.synthetic import (
    Features,
    Sample,
    absorption,
    flat,
    hierarchy,
    recovery,
)

PARENT, CHILD, OTHER = 0, 1, 2


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def by_hand(decoder_rows: list[list[float]], encoder_rows: list[list[float]]) -> Dictionary:
    decoder_FD = torch.nn.functional.normalize(torch.tensor(decoder_rows), dim=1)
    dictionary = make(
        {"kind": "topk", "width": len(decoder_FD), "d_model": decoder_FD.shape[1], "active": 2}
    )
    with torch.no_grad():
        dictionary.decoder_FD.copy_(decoder_FD)
        dictionary.encoder_FD.copy_(torch.tensor(encoder_rows))
    return dictionary


def family() -> tuple[Features, Sample]:
    """A parent, its child and a stranger, along the axes; six rows in which the parent is active,
    in two of them with its child."""
    features = Features(
        torch.eye(3), np.array([-1, PARENT, -1]), np.array([0.5, 0.5, 0.5]), noise=0.0
    )
    strengths_NG = torch.tensor([[1.0, 0, 0]] * 4 + [[1.0, 1.0, 0]] * 2 + [[0, 0, 1.0]] * 3)
    return features, Sample(strengths_NG.clone(), strengths_NG)


def test_a_child_is_active_only_with_its_parent() -> None:
    features = hierarchy(5, 3, 32, 2, rng(), child_probability=0.25)
    sample = features.sample(4000, rng())
    active_NG = (sample.strengths_NG > 0).numpy()

    assert active_NG.shape == (4000, 20)
    assert active_NG[:, :5].mean() == pytest.approx(2 / 5, abs=0.02)
    for child in range(5, 20):
        parent = features.parent_G[child]
        assert parent == (child - 5) // 3
        assert not (active_NG[:, child] & ~active_NG[:, parent]).any()
        assert active_NG[active_NG[:, parent], child].mean() == pytest.approx(0.25, abs=0.05)


def test_rows_are_sums_of_directions_and_noise() -> None:
    features = flat(10, 16, 3, rng(), noise=0.05)
    sample = features.sample(2000, rng())
    rest_ND = sample.x_ND - sample.strengths_NG @ features.directions_GD

    assert (sample.strengths_NG > 0).sum(1).float().mean().item() == pytest.approx(3, abs=0.1)
    strong = sample.strengths_NG[sample.strengths_NG > 0]
    assert 0.5 <= strong.min() <= strong.max() <= 1.5
    assert rest_ND.std().item() == pytest.approx(0.05, rel=0.02)
    torch.testing.assert_close(features.directions_GD.norm(dim=1), torch.ones(10))


def test_the_same_generator_makes_the_same_rows() -> None:
    one, other = (flat(10, 16, 3, rng()).sample(50, rng()) for _ in range(2))

    assert torch.equal(one.x_ND, other.x_ND)


def test_recovery_gives_no_latent_to_two_features() -> None:
    """The latent between the first two features is nearest to both; each gets one all the same."""
    features, _ = family()
    between = [[1.0, 0.9, 0], [1.0, 0, 0.2], [0, 0, 1.0]]
    found = recovery(by_hand(between, between), features)

    assert found.latent_G.tolist() == [1, 0, 2]
    cosines = [1 / 1.04**0.5, 0.9 / 1.81**0.5, 1.0]
    assert found.cosine_G == pytest.approx(cosines, rel=1e-6)
    assert found.share(0.9) == pytest.approx(2 / 3)


def test_features_without_a_latent_arent_recovered() -> None:
    features, _ = family()
    found = recovery(by_hand([[0, 0, 1.0], [0, 1.0, 0]], [[0, 0, 1.0], [0, 1.0, 0]]), features)

    assert found.latent_G.tolist() == [-1, 1, 0]
    assert found.share() == pytest.approx(2 / 3)


def test_absorption_is_counted_exactly() -> None:
    """The parent's latent is silent where the child is there, and the child's carries both."""
    features, sample = family()
    eye = torch.eye(3).tolist()
    absorbing = by_hand(
        [[1.0, 0, 0], [1.0, 1.0, 0], [0, 0, 1.0]], [[1.0, -1, 0], [0, 2**0.5, 0], eye[2]]
    )
    found = absorption(absorbing, features, sample)

    assert found.parents.tolist() == [PARENT]
    assert found.active_P.tolist() == [6]
    assert found.absorbed_P.tolist() == [2]
    assert found.share == pytest.approx(2 / 6)


def test_a_true_dictionary_absorbs_nothing() -> None:
    features, sample = family()
    eye = torch.eye(3).tolist()

    assert absorption(by_hand(eye, eye), features, sample).share == 0


def test_a_parent_whose_own_latent_speaks_isnt_absorbed() -> None:
    features, sample = family()
    eye = torch.eye(3).tolist()
    twice = by_hand([eye[0], [1.0, 1.0, 0], eye[2]], [eye[0], [0, 2**0.5, 0], eye[2]])

    assert absorption(twice, features, sample).share == 0


def test_a_silent_parent_that_no_child_carries_isnt_absorbed() -> None:
    features, sample = family()
    eye = torch.eye(3).tolist()
    missing = by_hand(eye, [[1.0, -1, 0], eye[1], eye[2]])

    assert absorption(missing, features, sample).share == 0


def test_more_active_features_than_there_are() -> None:
    with pytest.raises(UserError, match="of 10 features, 11 can't be active"):
        flat(10, 4, 11, rng())
    with pytest.raises(UserError, match="of 5 parents, 6 can't be active"):
        hierarchy(5, 2, 4, 6, rng())

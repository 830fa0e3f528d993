"""Contrast-consistent search finds a planted direction without labels, up to a swap."""

import numpy as np

from toprope.techniques.weak_to_strong.contrast import contrast_consistent_search

N, D = 200, 12
TRUTH = np.random.default_rng(0).permutation(np.arange(N) % 2)
TRAIN, REST = np.arange(120), np.arange(120, N)


def pairs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Each item with "no" and with "yes" behind it, [N, D] each.

    What the two share is the item's own; each answer has its mark; and where the answer is true, a
    hidden direction has a plus.
    """
    rng = np.random.default_rng(seed)
    own_ND, direction_D = rng.standard_normal((N, D)), rng.standard_normal(D)
    marks_2D, noise = 5 * rng.standard_normal((2, D)), 0.3 * rng.standard_normal((2, N, D))
    signed_ND = (2 * TRUTH - 1)[:, None] * direction_D
    return own_ND + marks_2D[0] - signed_ND + noise[0], own_ND + marks_2D[1] + signed_ND + noise[1]


def search(no_ND: np.ndarray, yes_ND: np.ndarray, seed: int = 1) -> np.ndarray:
    return contrast_consistent_search(no_ND, yes_ND, TRAIN, np.random.default_rng(seed))


def test_a_planted_direction_is_found_up_to_the_swap():
    for seed in range(3):
        yes_N = search(*pairs(seed))
        assert yes_N.shape == (N,)
        assert ((yes_N >= 0) & (yes_N <= 1)).all()
        right = ((yes_N[REST] > 0.5) == TRUTH[REST]).mean()
        assert max(right, 1 - right) > 0.9
        # Consistent and confident: an item's two answers don't cancel.
        assert np.abs(yes_N - 0.5).mean() > 0.3


def test_swapped_answers_swap_what_is_found():
    no_ND, yes_ND = pairs(0)
    np.testing.assert_allclose(search(yes_ND, no_ND), 1 - search(no_ND, yes_ND), atol=1e-4)


def test_only_the_training_items_count():
    no_ND, yes_ND = pairs(0)
    before_N = search(no_ND, yes_ND)
    other_no_ND, other_yes_ND = no_ND.copy(), yes_ND.copy()
    other_no_ND[REST] += 100
    other_yes_ND[REST] *= -3
    np.testing.assert_array_equal(search(other_no_ND, other_yes_ND)[TRAIN], before_N[TRAIN])


def test_the_generator_decides_the_restarts():
    no_ND, yes_ND = pairs(0)
    np.testing.assert_array_equal(search(no_ND, yes_ND), search(no_ND, yes_ND))
    assert (search(no_ND, yes_ND) != search(no_ND, yes_ND, seed=2)).any()

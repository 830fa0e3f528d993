"""Heads: leave-one-out and the fit against explicit refits and L-BFGS."""

import numpy as np
import pytest
from scipy.optimize import minimize

from toprope.models.heads import STEPS, STRENGTHS, Axes, Head, one_hot, softmax


def items(n: int, d: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated features of unlike scales and offsets [n, d], and soft labels [n, classes]."""
    rng = np.random.default_rng(seed)
    x_ND = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    x_ND = x_ND * np.logspace(-2, 2, d) + rng.uniform(-50, 50, d)
    logits_NC = (x_ND - x_ND.mean(0)) / x_ND.std(0) @ rng.standard_normal((d, classes))
    return x_ND, softmax(logits_NC + rng.standard_normal((n, classes)))


def standardised(x_ND: np.ndarray, like_ND: np.ndarray) -> np.ndarray:
    return (x_ND - like_ND.mean(0)) / (like_ND.std(0) + 1e-6)


def refitted_without_each(x_ND: np.ndarray, y_NC: np.ndarray, strength: float) -> float:
    """Ridge with a free bias, solved anew without each item, at the scales of all of them."""
    n, d = x_ND.shape
    z_NS = np.hstack([standardised(x_ND, x_ND), np.ones((n, 1))])
    penalty_SS = n * strength * np.diag(np.append(np.ones(d), 0.0))
    errors = []
    for i in range(n):
        rest = np.arange(n) != i
        gram_SS = z_NS[rest].T @ z_NS[rest] + penalty_SS
        weight_SC = np.linalg.solve(gram_SS, z_NS[rest].T @ y_NC[rest])
        errors.append((z_NS[i] @ weight_SC - y_NC[i]) ** 2)
    return float(np.mean(errors))


def fitted_by_lbfgs(
    x_ND: np.ndarray, labels_NC: np.ndarray, strength: float, asked_ND: np.ndarray
) -> np.ndarray:
    """Probabilities [asked, C] at the least mean cross-entropy + strength / 4 * |w|^2 / 2."""
    n, d = x_ND.shape
    classes = labels_NC.shape[1]
    z_ND = standardised(x_ND, x_ND)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight_SC = flat.reshape(d + 1, classes)
        logits_NC = z_ND @ weight_SC[:-1] + weight_SC[-1]
        top_N = logits_NC.max(1, keepdims=True)
        total_N1 = np.exp(logits_NC - top_N).sum(1, keepdims=True)
        log_NC = logits_NC - top_N - np.log(total_N1)
        residual_NC = (np.exp(log_NC) - labels_NC) / n
        slope_DC = z_ND.T @ residual_NC + strength / 4 * weight_SC[:-1]
        loss = -(labels_NC * log_NC).sum() / n + strength / 8 * (weight_SC[:-1] ** 2).sum()
        return loss, np.vstack([slope_DC, residual_NC.sum(0)]).ravel()

    found = minimize(
        objective,
        np.zeros((d + 1) * classes),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 5000, "ftol": 1e-14, "gtol": 1e-9},
    ).x.reshape(d + 1, classes)
    return softmax(standardised(asked_ND, x_ND) @ found[:-1] + found[-1])


@pytest.mark.parametrize(("n", "d"), [(12, 20), (30, 5)])
def test_leave_one_out_is_that_of_explicit_refits(n: int, d: int):
    x_ND, labels_NC = items(n, d, classes=3)
    expected = [refitted_without_each(x_ND, labels_NC, strength) for strength in STRENGTHS]
    np.testing.assert_allclose(Axes.of(x_ND).leave_one_out(labels_NC), expected, rtol=1e-6)


@pytest.mark.parametrize(("n", "d", "classes"), [(60, 8, 2), (60, 8, 3), (15, 25, 2)])
@pytest.mark.parametrize("strength", [0.1, 3.0])
def test_a_fit_is_that_of_lbfgs_on_the_same_objective(
    n: int, d: int, classes: int, strength: float
):
    """On items that it wasn't fitted to as well: the axes are turned back into features."""
    x_ND, labels_NC = items(n, d, classes)
    asked_ND = np.vstack([x_ND, items(n, d, classes, seed=1)[0]])
    expected_NC = fitted_by_lbfgs(x_ND, labels_NC, strength, asked_ND)
    head = Axes.of(x_ND).fit(labels_NC, strength)
    np.testing.assert_allclose(head.probs(asked_ND), expected_NC, atol=1e-3)
    assert np.ptp(expected_NC[:, 0]) > 0.1


def test_the_axes_are_a_rotation_of_the_standardised_features():
    for n, d in ((12, 20), (30, 5)):
        x_ND, _ = items(n, d, classes=2)
        axes = Axes.of(x_ND)
        rank = len(axes.variance_R)
        assert rank == min(n - 1, d)
        np.testing.assert_allclose(axes.rotation_DR.T @ axes.rotation_DR, np.eye(rank), atol=1e-8)
        np.testing.assert_allclose((axes.z_NR**2).mean(0), axes.variance_R, rtol=1e-6)
        np.testing.assert_allclose(
            axes.z_NR @ axes.rotation_DR.T, standardised(x_ND, x_ND), atol=1e-8
        )


def test_a_features_unit_and_offset_do_not_matter():
    x_ND, labels_NC = items(40, 6, classes=2)
    moved_ND = x_ND * np.logspace(-1, 3, 6) - 7
    one, other = (Axes.of(x).fit(labels_NC, 1.0).probs(x) for x in (x_ND, moved_ND))
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_constant_features_are_as_good_as_absent():
    x_ND, labels_NC = items(40, 6, classes=2)
    wide_ND = np.hstack([x_ND, np.full((40, 2), np.float32(0.1))])
    plain, wide = Axes.of(x_ND), Axes.of(wide_ND)
    np.testing.assert_allclose(wide.leave_one_out(labels_NC), plain.leave_one_out(labels_NC))
    asked_ND = wide_ND.copy()
    asked_ND[:, 6] += 1.0
    np.testing.assert_allclose(
        wide.fit(labels_NC, 1.0).probs(asked_ND),
        plain.fit(labels_NC, 1.0).probs(x_ND),
        atol=1e-3,
    )


@pytest.mark.parametrize(("n", "d"), [(10, 20), (20, 3)])
def test_features_that_say_nothing_leave_the_labels_mean(n: int, d: int):
    labels_NC = one_hot(np.arange(n) % 5 // 4, 2)
    axes = Axes.of(np.full((n, d), 0.3))
    assert np.isfinite(axes.leave_one_out(labels_NC)).all()
    head = axes.fit(labels_NC, float(STRENGTHS[0]))
    np.testing.assert_allclose(head.probs(np.full((4, d), 0.3)), [[0.8, 0.2]] * 4, atol=1e-3)


def test_a_mix_sees_the_heads_probabilities_and_how_far_training_is():
    x_ND, labels_NC = items(30, 4, classes=3)
    seen: list[tuple[np.ndarray, float]] = []

    def mix(probs_NC: np.ndarray, done: float) -> np.ndarray:
        seen.append((probs_NC, done))
        return labels_NC

    axes = Axes.of(x_ND)
    head, plain = axes.fit(labels_NC, 1.0, mix), axes.fit(labels_NC, 1.0)
    np.testing.assert_array_equal(head.weight_DC, plain.weight_DC)
    done = [share for _, share in seen]
    assert done[0] == 0
    assert (np.diff(done) > 0).all()
    assert 1 - 1 / STEPS <= done[-1] <= 1
    np.testing.assert_allclose(seen[0][0], 1 / 3)
    for probs_NC, _ in seen:
        np.testing.assert_allclose(probs_NC.sum(1), 1)
    np.testing.assert_allclose(seen[-1][0], head.probs(x_ND), atol=1e-3)


def test_what_a_mix_makes_is_what_is_learned():
    x_ND, labels_NC = items(30, 4, classes=2)
    axes = Axes.of(x_ND)
    swapped = axes.fit(labels_NC, 1.0, lambda _probs_NC, _done: labels_NC[:, ::-1])
    np.testing.assert_allclose(
        swapped.probs(x_ND)[:, ::-1], axes.fit(labels_NC, 1.0).probs(x_ND), atol=1e-9
    )


def test_a_heads_logits_by_hand():
    head = Head(np.array([1.0, 2.0]), np.array([2.0, 0.5]), np.eye(2), np.array([0.0, 1.0]))
    np.testing.assert_allclose(head.logits(np.array([[3.0, 3.0]])), [[1.0, 3.0]])
    np.testing.assert_allclose(head.probs(np.array([[3.0, 3.0]]))[0, 1], 1 / (1 + np.exp(-2)))
    huge = np.array([[1e5, 3.0]])
    np.testing.assert_allclose(head.probs(huge), [[1.0, 0.0]])

"""Intervals and tests against published values, closed forms, scipy and plain loops."""

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import scipy.stats

from toprope import resampling
from toprope.errors import UserError
from toprope.statistics import (
    Interval,
    bootstrap_clustered,
    bootstrap_paired,
    clopper_pearson,
    cohen_kappa,
    crossed_bootstrap,
    crossed_bootstrap_weights,
    holm,
    permutation_paired,
    poisson_exact,
    ratio_is_measurable,
    rogan_gladen,
    wilson,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20070101)


def bounds(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


# --- rates and counts ---


# Newcombe 1998 (Statistics in Medicine 17:857), Table I, methods 3 and 5.
NEWCOMBE = [
    (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
    (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
    (0, 20, (0.0, 0.1611), (0.0, 0.1684)),
    (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
]


@pytest.mark.parametrize(("successes", "n", "score", "exact"), NEWCOMBE)
def test_proportions_of_newcombe_1998(successes, n, score, exact) -> None:
    assert bounds(wilson(successes, n)) == pytest.approx(score, abs=5e-5)
    assert bounds(clopper_pearson(successes, n)) == pytest.approx(exact, abs=5e-5)


@pytest.mark.parametrize("level", [0.8, 0.99])
def test_proportions_agree_with_scipy_at_other_levels(level: float) -> None:
    for successes, n in [(0, 7), (3, 7), (7, 7), (499, 1000)]:
        test = scipy.stats.binomtest(successes, n)
        for ours, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
            theirs = test.proportion_ci(level, method=method)
            interval = ours(successes, n, level=level)
            assert bounds(interval) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
            assert (interval.value, interval.n, interval.level) == (successes / n, n, level)


def test_a_proportion_never_leaves_its_range() -> None:
    for n in range(1, 60):
        assert wilson(0, n).low == 0
        assert wilson(n, n).high == 1


def test_poisson_rates_of_garwood_1936() -> None:
    assert bounds(poisson_exact(0, 1)) == pytest.approx((0, 3.6889), abs=5e-5)
    assert bounds(poisson_exact(10, 1)) == pytest.approx((4.7954, 18.3904), abs=5e-5)
    per_hour = poisson_exact(10, 4)
    assert per_hour.value == 2.5
    assert bounds(per_hour) == pytest.approx((4.7954 / 4, 18.3904 / 4), abs=5e-5)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
def test_a_rate_of_nothing_is_the_users_to_mend(interval: Callable[[int, int], Interval]) -> None:
    with pytest.raises(UserError, match="no trials"):
        interval(0, 0)
    with pytest.raises(UserError, match="no exposure"):
        poisson_exact(0, 0)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="-1 successes of 2"):
        clopper_pearson(-1, 2)
    with pytest.raises(ValueError, match="level 95"):
        wilson(1, 2, level=95)
    with pytest.raises(ValueError, match="count of -1"):
        poisson_exact(-1, 1)
    with pytest.raises(ValueError, match="exposure of nan"):
        poisson_exact(1, math.nan)


# --- clustered and paired bootstraps ---


def test_unclustered_mean_agrees_with_scipy(rng: np.random.Generator) -> None:
    values = rng.exponential(size=500)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=rng
    ).confidence_interval
    ours = bootstrap_clustered(values, np.arange(500), rng=rng)
    width = theirs.high - theirs.low
    assert bounds(ours) == pytest.approx((theirs.low, theirs.high), abs=0.04 * width)
    assert (ours.value, ours.n) == (pytest.approx(values.mean()), 500)


def test_ten_units_are_covered_as_by_students_t(rng: np.random.Generator) -> None:
    values = rng.normal(size=10)
    t = scipy.stats.t.interval(0.95, 9, values.mean(), scipy.stats.sem(values))
    ours = bootstrap_clustered(values, np.arange(10), rng=rng, resamples=50_000)
    assert ours.high - ours.low == pytest.approx(t[1] - t[0], rel=0.05)


def test_clusters_widen_the_interval_as_the_cluster_robust_variance_says(rng) -> None:
    sizes = rng.integers(1, 10, 300)
    clusters = np.repeat(np.arange(300), sizes)
    values = rng.normal(size=300)[clusters] + 0.3 * rng.normal(size=len(clusters))
    sums = np.bincount(clusters, weights=values)
    # The linearised variance of a ratio of sums, without a small-sample factor.
    robust = np.sqrt(np.sum((sums - values.mean() * sizes) ** 2)) / len(values)
    ours = bootstrap_clustered(values, clusters, rng=rng)
    assert ours.high - ours.low == pytest.approx(2 * 1.96 * robust, rel=0.04)
    assert ours.n == 300
    alone = bootstrap_clustered(values, np.arange(len(values)), rng=rng)
    assert ours.high - ours.low > 1.5 * (alone.high - alone.low)


def test_labels_may_be_of_any_kind_and_order(rng: np.random.Generator) -> None:
    values, labels = rng.normal(size=60), np.arange(60) % 12
    shuffled = rng.permutation(60)
    by_name = [f"cluster {label:02d}" for label in labels[shuffled]]
    numbers = bootstrap_clustered(values, labels, rng=np.random.default_rng(1))
    names = bootstrap_clustered(values[shuffled], by_name, rng=np.random.default_rng(1))
    assert bounds(names) == pytest.approx(bounds(numbers))


def test_any_statistic_can_be_bootstrapped(rng: np.random.Generator) -> None:
    clusters = np.arange(40) // 4
    pairs = rng.normal(size=(40, 2)) + rng.normal(size=(10, 1))[clusters]
    slow = bootstrap_clustered(
        pairs,
        clusters,
        statistic=lambda sample: sample[:, 0].mean() - sample[:, 1].mean(),
        rng=np.random.default_rng(5),
        resamples=500,
    )
    fast = bootstrap_paired(
        pairs[:, 0], pairs[:, 1], clusters, rng=np.random.default_rng(5), resamples=500
    )
    assert (slow.value, *bounds(slow)) == pytest.approx((fast.value, *bounds(fast)))


def test_pairing_cancels_what_the_arms_share(rng: np.random.Generator) -> None:
    shared = rng.normal(size=200)
    difference = 0.5 + 0.1 * rng.normal(size=200)
    ours = bootstrap_paired(shared + difference, shared, rng=rng, resamples=20_000)
    t = scipy.stats.t.interval(0.95, 199, difference.mean(), scipy.stats.sem(difference))
    assert bounds(ours) == pytest.approx(t, abs=0.05 * (t[1] - t[0]))


@pytest.mark.parametrize("n_clusters", [10, 40])
def test_95_percent_intervals_of_a_clustered_rate_cover_95_percent(rng, n_clusters: int) -> None:
    trials, covered = 400, 0
    for _ in range(trials):
        clusters = np.repeat(np.arange(n_clusters), rng.integers(1, 12, n_clusters))
        correct = rng.random(len(clusters)) < rng.beta(3, 2, n_clusters)[clusters]
        interval = bootstrap_clustered(correct, clusters, rng=rng, resamples=500)
        covered += interval.low <= 0.6 <= interval.high
    # Three standard errors. The plain percentile method covers 0.89 of ten clusters.
    assert covered / trials == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / trials))


def test_a_rate_without_a_failure_is_not_certain(rng: np.random.Generator) -> None:
    clusters = np.arange(60) // 3
    rule_of_three = 1 - 0.025 ** (1 / 20)  # Clopper and Pearson's bound for 0 of 20
    never = bootstrap_clustered(np.zeros(60), clusters, rng=rng)
    always = bootstrap_clustered(np.ones(60), clusters, rng=rng)
    alike = bootstrap_paired(np.ones(60), np.ones(60), clusters, rng=rng)
    assert (never.value, *bounds(never)) == pytest.approx((0, 0, rule_of_three))
    assert (always.value, *bounds(always)) == pytest.approx((1, 1 - rule_of_three, 1))
    assert (alike.value, *bounds(alike)) == pytest.approx((0, -rule_of_three, rule_of_three))


def test_another_constant_has_no_width(rng: np.random.Generator) -> None:
    assert bounds(bootstrap_clustered([0.3] * 5, range(5), rng=rng)) == (0.3, 0.3)


def test_too_little_data_is_the_users_to_mend(rng: np.random.Generator) -> None:
    with pytest.raises(UserError, match="no observations"):
        bootstrap_clustered([], [], rng=rng)
    with pytest.raises(UserError, match="at least two"):
        bootstrap_clustered([1, 0, 1], ["a", "a", "a"], rng=rng)
    with pytest.raises(UserError, match="at least two"):
        bootstrap_paired([1], [0], rng=rng)


def test_missing_values_and_lengths_that_differ_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="NaN"):
        bootstrap_clustered([1, math.nan], [0, 1], rng=rng)
    with pytest.raises(ValueError, match="shape"):
        bootstrap_clustered([1, 2, 3], [0, 1], rng=rng)
    with pytest.raises(ValueError, match="shape"):
        bootstrap_clustered([[1, 2], [3, 4]], [0, 1], rng=rng)
    with pytest.raises(ValueError, match="shapes"):
        bootstrap_paired([1, 2, 3], [0, 1], rng=rng)


# --- seeds and items at once ---


def recovered(accuracy: dict[str, Any]) -> Any:
    return (accuracy["student"] - accuracy["weak"]) / (accuracy["ceiling"] - accuracy["weak"])


def arms_of(rng: np.random.Generator, n_seeds: int, n_items: int) -> dict[str, np.ndarray]:
    """Three arms at 0.5, 0.7 and 0.95, which share their items' difficulty."""
    luck = rng.random((n_seeds, n_items))
    return {"weak": luck < 0.5, "student": luck < 0.7, "ceiling": luck < 0.95}


def students(accuracy: dict[str, Any]) -> Any:
    return accuracy["student"]


@pytest.mark.parametrize("function", [recovered, students])
@pytest.mark.parametrize("masked", [False, True])
def test_crossed_bootstrap_is_what_a_loop_that_copies_cells_finds(rng, masked, function) -> None:
    n_seeds, n_items, resamples = 5, 40, 300
    groups = rng.integers(0, 15, n_items)
    arms = {name: arm.astype(float) for name, arm in arms_of(rng, n_seeds, n_items).items()}
    if masked:
        untested = rng.random((n_seeds, n_items)) < 0.4
        arms = {name: np.where(untested, np.nan, arm) for name, arm in arms.items()}
    every = np.ones(max(n_seeds, n_items), dtype=int)

    def copied(seed_weights, item_weights) -> float:
        cells = {
            name: np.repeat(np.repeat(arm, seed_weights, axis=0), item_weights, axis=1)
            for name, arm in arms.items()
        }
        return function({name: np.nanmean(copies) for name, copies in cells.items()})

    seeds, items = crossed_bootstrap_weights(n_seeds, groups, resamples, np.random.default_rng(3))
    seeds, items = seeds.astype(int), items.astype(int)
    both = [copied(s, i) for s, i in zip(seeds, items, strict=True)]
    seeds_alone = [copied(s, every[:n_items]) for s in seeds]
    items_alone = [copied(every[:n_seeds], i) for i in items]

    ours = crossed_bootstrap(
        arms, groups, function, rng=np.random.default_rng(3), resamples=resamples
    )
    freedoms = [n_seeds - 1, len(set(groups)) - 1]
    freedom = resampling.satterthwaite([np.array(seeds_alone), np.array(items_alone)], freedoms)
    tail = scipy.stats.norm.cdf(
        -math.sqrt((freedom + 1) / freedom) * scipy.stats.t.ppf(0.975, freedom)
    )
    both.sort()
    inwards = math.floor(tail * (resamples - 1))
    assert ours.value == pytest.approx(copied(every[:n_seeds], every[:n_items]))
    assert bounds(ours) == pytest.approx((both[inwards], both[-1 - inwards]))
    assert ours.n == n_seeds


def test_spread_is_that_of_the_pigeonhole_bootstrap(rng: np.random.Generator) -> None:
    """Its closed form for a full table, from the covariances of two independent multinomials."""
    n_seeds, n_items = 6, 9
    scores = rng.normal(size=(n_seeds, n_items)) + rng.normal(size=(n_seeds, 1))
    seed_moments = 1 + np.eye(n_seeds) - 1 / n_seeds
    item_moments = 1 + np.eye(n_items) - 1 / n_items
    square = np.einsum("si,st,tj,ij->", scores, seed_moments, scores, item_moments)
    variance = (square - scores.sum() ** 2) / scores.size**2

    seeds, items = crossed_bootstrap_weights(n_seeds, np.arange(n_items), 100_000, rng)
    means = np.einsum("rs,si,ri->r", seeds, scores, items, optimize=True) / scores.size
    assert means.var() == pytest.approx(variance, rel=0.03)


def test_items_of_a_group_are_drawn_together(rng: np.random.Generator) -> None:
    groups = np.array(["b", "a", "b", "c", "a"])
    seeds, items = crossed_bootstrap_weights(4, groups, 50, rng)
    b, a, again_b, c, again_a = items.T
    assert (seeds.shape, items.shape) == ((50, 4), (50, 5))
    assert (seeds.sum(1) == 4).all()
    assert (a + b + c == 3).all()
    assert (b == again_b).all()
    assert (a == again_a).all()


def test_arms_share_each_draw(rng: np.random.Generator) -> None:
    """A student that lies a fixed share of the way makes the same ratio in every resample."""
    weak, ceiling = rng.random((8, 50)), 1 + rng.random((8, 50))
    arms = {"weak": weak, "student": 0.25 * weak + 0.75 * ceiling, "ceiling": ceiling}
    interval = crossed_bootstrap(arms, np.arange(50), recovered, rng=rng, resamples=200)
    assert (interval.value, *bounds(interval)) == pytest.approx((0.75, 0.75, 0.75))


@pytest.mark.parametrize(
    ("seed_noise", "item_noise"),
    [pytest.param(0.3, 0.0, id="seeds differ"), pytest.param(0.0, 1.0, id="items differ")],
)
def test_crossed_intervals_cover_new_seeds_and_items(rng, seed_noise, item_noise) -> None:
    trials, covered = 150, 0
    centre = scipy.stats.norm.ppf(0.8) * math.sqrt(1 + seed_noise**2 + item_noise**2)
    for _ in range(trials):
        ease = seed_noise * rng.normal(size=(10, 1)) + item_noise * rng.normal(size=(1, 120))
        correct = centre + ease + rng.normal(size=(10, 120)) > 0
        interval = crossed_bootstrap(
            {"arm": correct}, np.arange(120), lambda arms: arms["arm"], rng=rng, resamples=300
        )
        covered += interval.low <= 0.8 <= interval.high
    # Three standard errors below, and no bound above: the noise of single cells counts three times
    # (Owen 2007). Resampling seeds alone covers 0.6 where items differ.
    assert covered / trials >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)


def test_memory_is_bounded_by_chunks(rng, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = arms_of(rng, 10, 100)
    at_once = crossed_bootstrap(arms, np.arange(100), recovered, rng=rng, resamples=4000)
    widest = 0

    def spy(*args):
        nonlocal widest
        weights = crossed_bootstrap_weights(*args)
        widest = max(widest, weights[1].size)
        return weights

    monkeypatch.setattr(resampling, "MOST_CELLS", 7_000)
    monkeypatch.setattr("toprope.statistics.crossed_bootstrap_weights", spy)
    in_chunks = crossed_bootstrap(arms, np.arange(100), recovered, rng=rng, resamples=4000)
    assert widest == 7_000
    width = at_once.high - at_once.low
    assert bounds(in_chunks) == pytest.approx(bounds(at_once), abs=0.1 * width)


def test_crossed_bootstrap_refuses_arms_that_are_not_paired(rng: np.random.Generator) -> None:
    arms = arms_of(rng, 4, 10)
    with pytest.raises(ValueError, match=r"share one shape.*'weak': \(4, 9\)"):
        crossed_bootstrap(arms | {"weak": np.ones((4, 9))}, range(10), recovered, rng=rng)
    with pytest.raises(ValueError, match="'student' isn't measured on the same items"):
        crossed_bootstrap(
            arms | {"student": np.where(np.eye(4, 10), np.nan, 1)}, range(10), recovered, rng=rng
        )
    with pytest.raises(ValueError, match="groups"):
        crossed_bootstrap(arms, range(9), recovered, rng=rng)
    with pytest.raises(ValueError, match="ratio_is_measurable"):
        crossed_bootstrap(arms | {"ceiling": arms["weak"]}, range(10), recovered, rng=rng)


def test_crossed_bootstrap_needs_two_seeds_and_two_groups(rng: np.random.Generator) -> None:
    with pytest.raises(UserError, match="seed"):
        crossed_bootstrap(arms_of(rng, 1, 100), range(100), recovered, rng=rng)
    with pytest.raises(UserError, match="groups"):
        crossed_bootstrap(arms_of(rng, 4, 100), [0] * 100, recovered, rng=rng)
    with pytest.raises(UserError, match="no item was tested"):
        crossed_bootstrap({"arm": np.full((4, 9), np.nan)}, range(9), recovered, rng=rng)


def test_a_ratio_is_measurable_when_its_gap_is_clear_of_zero() -> None:
    def gap(low: float, high: float) -> Interval:
        return Interval(0.05, low, high, 0.95, 10, "crossed bootstrap")

    assert ratio_is_measurable(gap(0.01, 0.09))
    assert ratio_is_measurable(gap(-0.09, -0.01))
    assert not ratio_is_measurable(gap(-0.01, 0.09))
    assert not ratio_is_measurable(gap(0.0, 0.09))


# --- tests and agreement ---


# Darwin's maize: heights of crossed less self-fertilised plants, in eighths of an inch. Fisher 1935
# (The Design of Experiments, section 21): 1,726 of the 32,768 swaps differ as much.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def test_fishers_randomisation_of_darwins_maize(rng: np.random.Generator) -> None:
    exact = permutation_paired(DARWIN, np.zeros(15), rng=rng, resamples=2**15)
    assert exact == 1726 / 2**15
    drawn = permutation_paired(DARWIN, np.zeros(15), rng=rng, resamples=2**15 - 1)
    assert drawn == pytest.approx(exact, abs=0.004)


def test_permutation_swaps_whole_clusters(rng: np.random.Generator) -> None:
    a, b = rng.normal(0.3, 1, 24), rng.normal(0, 1, 24)
    clusters = np.arange(24) % 8
    sums = np.bincount(clusters, weights=a - b)
    theirs = scipy.stats.permutation_test(
        (sums, np.zeros(8)), lambda x, y: np.sum(x - y), permutation_type="samples"
    )
    assert permutation_paired(a, b, clusters, rng=rng) == pytest.approx(theirs.pvalue)


def test_a_permutation_p_value_is_never_zero_and_one_where_arms_agree(rng) -> None:
    assert permutation_paired(np.ones(100), np.zeros(100), rng=rng, resamples=999) == 0.001
    assert permutation_paired([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], rng=rng) == 1


def test_sums_equal_on_paper_count_as_equal(rng: np.random.Generator) -> None:
    # 0.1 + 0.2 - 0.3 isn't 0 in floating point, nor is 0.3 - 0.1 - 0.2 its opposite.
    assert permutation_paired([0.1, 0.2, -0.3], [0, 0, 0], rng=rng) == 1


def test_holm_is_the_closed_test_of_bonferroni(rng: np.random.Generator) -> None:
    """Each hypothesis falls when every intersection with it falls, by brute force."""
    p = rng.random(6) ** 3
    subsets = [set(c) for size in range(1, 7) for c in combinations(range(6), size)]
    closed = [max(min(1, len(s) * min(p[list(s)])) for s in subsets if i in s) for i in range(6)]
    assert holm(p) == pytest.approx(closed)


def test_holm_keeps_order_and_never_exceeds_one() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])
    assert len(holm([])) == 0
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, math.nan])


def ratings(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.indices(table.shape)
    return np.repeat(a.ravel(), table.ravel()), np.repeat(b.ravel(), table.ravel())


def test_kappa_of_cohens_two_readers(rng: np.random.Generator) -> None:
    """Fifty proposals, two readers: observed 0.7, expected 0.5, so kappa is 0.4."""
    a, b = ratings(np.array([[20, 5], [10, 15]]))
    interval = cohen_kappa(a, b, rng=rng)
    assert interval.value == pytest.approx(0.4)
    names = np.array(["yes", "no"])
    again = cohen_kappa(names[a], names[b], rng=rng)
    assert again.value == pytest.approx(0.4)


def test_kappas_interval_agrees_with_its_large_sample_variance(rng: np.random.Generator) -> None:
    """Fleiss, Cohen and Everitt 1969 (Psychological Bulletin 72:323), equation 13."""
    table = np.array([[250, 40, 10], [60, 180, 50], [20, 30, 160]])
    a, b = ratings(table)
    p, n = table / table.sum(), table.sum()
    rows, columns = p.sum(1), p.sum(0)
    po, pe = np.trace(p), rows @ columns
    agree = np.diag(p) @ ((1 - pe) - (rows + columns) * (1 - po)) ** 2
    off = p * (columns[:, None] + rows[None, :]) ** 2
    disagree = (1 - po) ** 2 * (off.sum() - np.trace(off))
    variance = (agree + disagree - (po * pe - 2 * pe + po) ** 2) / (n * (1 - pe) ** 4)

    interval = cohen_kappa(a, b, rng=rng)
    kappa = (po - pe) / (1 - pe)
    assert interval.value == pytest.approx(kappa)
    half = 1.96 * math.sqrt(variance)
    assert bounds(interval) == pytest.approx((kappa - half, kappa + half), abs=0.1 * half)


def test_kappas_clusters_are_drawn_together(rng: np.random.Generator) -> None:
    a, b = ratings(np.array([[20, 5], [10, 15]]))
    once = cohen_kappa(a, b, rng=rng)
    copied = cohen_kappa(np.tile(a, 4), np.tile(b, 4), np.tile(np.arange(50), 4), rng=rng)
    assert copied.n == once.n == 50
    assert bounds(copied) == pytest.approx(bounds(once), abs=0.03)


def test_kappa_without_a_second_category_is_undefined(rng: np.random.Generator) -> None:
    with pytest.raises(UserError, match="'yes'"):
        cohen_kappa(["yes"] * 5, ["yes"] * 5, rng=rng)
    # One disagreement among five: a third of the resamples lack it, so anything is possible.
    assert bounds(cohen_kappa([1, 1, 1, 1, 0], [1, 1, 1, 1, 1], rng=rng)) == (-1, 1)


# --- a judge's errors ---


def test_rogan_gladen_by_hand():
    """The estimate of Rogan and Gladen 1978: (0.3 + 0.9 - 1) / (0.8 + 0.9 - 1)."""
    outcomes = np.repeat([1.0, 0.0], [30, 70])
    known = np.full(4000, 0.8), np.full(4000, 0.9)
    found = rogan_gladen(outcomes, range(100), *known, rng=np.random.default_rng(0))
    assert found.value == pytest.approx(0.2 / 0.7)
    spread = np.sqrt(0.3 * 0.7 / 100) / 0.7  # of the raw rate, over Youden's index
    assert found.high - found.low == pytest.approx(2 * 1.98 * spread, rel=0.1)


def test_an_uncertain_judge_widens_the_interval():
    rng = np.random.default_rng(0)
    outcomes, clusters = np.repeat([1.0, 0.0], [30, 70]), range(100)
    sure = rogan_gladen(outcomes, clusters, np.full(4000, 0.8), np.full(4000, 0.9), rng=rng)
    unsure = rogan_gladen(outcomes, clusters, rng.beta(8, 2, 4000), rng.beta(9, 1, 4000), rng=rng)
    assert unsure.high - unsure.low > 1.5 * (sure.high - sure.low)


def test_a_judge_no_better_than_chance_leaves_any_rate_possible():
    rng = np.random.default_rng(0)
    outcomes = np.repeat([1.0, 0.0], [30, 70])
    found = rogan_gladen(outcomes, range(100), rng.beta(5, 5, 999), rng.beta(5, 5, 999), rng=rng)
    assert (found.low, found.high) == (0, 1)


@pytest.mark.parametrize(("ones", "value"), [(97, 1.0), (3, 0.0)])
def test_a_rate_that_the_judge_could_not_show_keeps_the_width_of_the_raw_one(
    ones: int, value: float
):
    outcomes = np.repeat([1.0, 0.0], [ones, 100 - ones])
    known = np.full(4000, 0.8), np.full(4000, 0.8)
    found = rogan_gladen(outcomes, range(100), *known, rng=np.random.default_rng(0))
    assert found.value == value
    assert 0.02 < found.high - found.low < 0.1


def test_a_rate_of_nought_still_has_an_interval():
    known = np.full(4000, 0.9), np.full(4000, 1.0)
    found = rogan_gladen(np.zeros(50), range(50), *known, rng=np.random.default_rng(0))
    assert found.value == 0
    assert 0.02 < found.high < 0.15


def shares_judged(judged: int, ones: int, n: int = 20) -> Interval:
    """Of n clusters so many judged, and of these so many with a 1, by a judge without errors."""
    outcomes, seen = (np.arange(n) < k for k in (ones, judged))
    known = np.ones(4000), np.ones(4000)
    return rogan_gladen(outcomes, range(n), *known, judged=seen, rng=np.random.default_rng(0))


def test_what_wasnt_judged_is_nought_and_its_share_is_resampled():
    for ones in (5, 10):
        found = shares_judged(10, ones)
        outcomes = np.arange(20) < ones
        plain = bootstrap_clustered(outcomes, range(20), rng=np.random.default_rng(0))
        assert (found.value, found.n) == (ones / 20, 20)
        assert bounds(found) == pytest.approx(bounds(plain), abs=0.06)


def test_the_fewer_were_judged_the_less_can_be_said_to_have_been_none():
    nothing = shares_judged(0, 0)
    assert (nothing.value, *bounds(nothing)) == (0, *bounds(clopper_pearson(0, 20)))
    highs = [shares_judged(judged, 0).high for judged in (1, 5, 20)]
    assert highs == pytest.approx([highs[0]] * 3, abs=0.01)
    assert 0.1 < highs[0] < nothing.high


def test_the_errors_are_those_of_what_was_judged():
    """By hand: half is judged, three tenths of it as a success: 1/2 (0.3 + 0.9 - 1) / 0.7."""
    outcomes, judged = np.arange(200) < 30, np.arange(200) < 100
    known = np.full(4000, 0.8), np.full(4000, 0.9)
    found = rogan_gladen(outcomes, range(200), *known, judged=judged, rng=np.random.default_rng(0))
    assert found.value == pytest.approx(0.5 * 0.2 / 0.7)
    everything = rogan_gladen(
        outcomes, range(200), *known, judged=np.ones(200), rng=np.random.default_rng(0)
    )
    assert everything == rogan_gladen(outcomes, range(200), *known, rng=np.random.default_rng(0))


def test_a_judge_no_better_than_chance_leaves_no_more_than_was_judged():
    rng = np.random.default_rng(0)
    outcomes, judged = np.arange(200) < 10, np.arange(200) < 40
    found = rogan_gladen(
        outcomes, range(200), rng.beta(5, 5, 999), rng.beta(5, 5, 999), judged=judged, rng=rng
    )
    assert found.low == 0
    assert 0.2 < found.high < 0.3


def test_an_outcome_that_wasnt_judged_cant_be_a_one():
    known = np.ones(10), np.ones(10)
    with pytest.raises(ValueError, match="wasn't judged counts as 0"):
        rogan_gladen([1, 0], [0, 1], *known, judged=[0, 1], rng=np.random.default_rng(0))

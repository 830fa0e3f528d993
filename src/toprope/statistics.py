"""Intervals and tests for the numbers that a study reports.

Exact and score intervals for rates and counts; bootstraps that resample the right unit (clusters,
pairs, or seeds and items at once); a permutation test, Holm's correction and Cohen's kappa.

Everywhere:

- Randomness comes from the numpy `Generator` that the caller passes in.
- Too little data (nothing observed, a single cluster) raises UserError: the user mends it.
  Arguments that can't be right (NaN, lengths that differ, more successes than trials) raise
  ValueError: the caller mends those. So a missing outcome is never dropped here: the caller says
  what it counts as.
- Bootstrap intervals are expanded percentile intervals: see `toprope.resampling` for what that is,
  why, and what becomes of resamples in which a ratio is undefined.

Shapes: R resamples, G clusters or groups, S seeds, N examples or items, A arms, C categories.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from toprope.errors import UserError
from toprope.resampling import (
    Floats,
    chunks,
    draw,
    draws,
    expanded_percentile,
    satterthwaite,
    unit_codes,
)

LEVEL = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval.

    `n` counts the independent units behind it: trials, events, clusters or seeds.
    """

    value: float
    low: float
    high: float
    level: float
    n: int
    method: str

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


# --- rates and counts ---


def wilson(successes: int, n: int, *, level: float = LEVEL) -> Interval:
    """The score interval for a proportion of n independent trials.

    Wilson 1927 (JASA 22:209), method 3 of Newcombe 1998 (Statistics in Medicine 17:857). It covers
    `level` on average over proportions; where it must hold for each, use `clopper_pearson`.
    """
    _check_proportion(successes, n, level)
    share = successes / n
    z2 = special.ndtri((1 + level) / 2) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    # At the edges the bounds are exact on paper, and rounding would leave 1e-17.
    low = 0.0 if successes == 0 else float(centre - half)
    high = 1.0 if successes == n else float(centre + half)
    return Interval(share, low, high, level, n, "wilson")


def clopper_pearson(successes: int, n: int, *, level: float = LEVEL) -> Interval:
    """The exact interval for a proportion of n independent trials: it covers at least `level`.

    Clopper and Pearson 1934 (Biometrika 26:404), method 5 of Newcombe 1998, by quantiles of the
    beta distribution.
    """
    _check_proportion(successes, n, level)
    tail = (1 - level) / 2
    low = special.betaincinv(successes, n - successes + 1, tail) if successes > 0 else 0.0
    high = special.betaincinv(successes + 1, n - successes, 1 - tail) if successes < n else 1.0
    return Interval(successes / n, float(low), float(high), level, n, "clopper-pearson")


def poisson_exact(count: int, exposure: float, *, level: float = LEVEL) -> Interval:
    """The exact interval for a rate: events of a Poisson count per unit of `exposure`.

    Garwood 1936 (Biometrika 28:437). The interval's n is the count.
    """
    _check_level(level)
    if count < 0 or not exposure >= 0:
        raise ValueError(f"a count of {count} over an exposure of {exposure}")
    if exposure == 0:
        raise UserError("a rate over no exposure: there is nothing to estimate it from")
    tail = (1 - level) / 2
    # Half a chi-squared quantile with 2k degrees of freedom is a gamma quantile with shape k.
    low = float(special.gammaincinv(count, tail)) if count > 0 else 0.0
    high = float(special.gammaincinv(count + 1, 1 - tail))
    return Interval(count / exposure, low / exposure, high / exposure, level, count, "garwood")


def rogan_gladen(
    outcomes: ArrayLike,
    clusters: ArrayLike,
    sensitivity_R: Floats,
    specificity_R: Floats,
    *,
    judged: ArrayLike | None = None,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Interval:
    """A rate with its judge's errors taken out: (rate + specificity - 1) / (sensitivity +
    specificity - 1), between 0 and 1.

    Rogan and Gladen 1978 (American Journal of Epidemiology 107:71). The interval joins both
    uncertainties: each resample draws whole clusters of outcomes, and rates of the judge that its
    calibration leaves possible. Where all judged outcomes are alike, resampling them finds no
    spread: the raw rate is then drawn from its posterior, with each cluster as one trial (Beta,
    with Jeffreys' prior). A resample in which the judge is no better than chance leaves any rate
    possible.

    Outcomes that the judge never saw count as 0, and none of its errors is among them: the estimate
    is that of the judged ones, times their share. Where nothing was judged, the interval is Clopper
    and Pearson's with each cluster as one trial.

    A raw rate that such a judge couldn't show (above its sensitivity, or below its false alarms)
    says that the calibration doesn't fit these outcomes: the estimate is then 1 or 0, and the
    interval reaches to that of the raw rate.

    Args:
        outcomes: [N], 0 or 1 as the judge has it.
        clusters: [N] labels: outcomes with the same label are drawn together.
        sensitivity_R, specificity_R: draws from what is known of the judge.
        judged: [N], false where the judge never saw it; None: it saw all.

    Returns:
        The interval; the value is at the means of the judge's rates, and n the number of clusters.

    Raises:
        UserError: there are fewer than two clusters.
    """
    _check_level(level)
    outcomes_N = _finite(outcomes)
    codes_N, n_clusters = unit_codes(clusters, len(outcomes_N))
    judged_N = np.ones(len(outcomes_N)) if judged is None else _finite(judged)
    if np.any(outcomes_N > judged_N):
        raise ValueError("an outcome that wasn't judged counts as 0")
    if not judged_N.any():
        return _unvarying(0.0, 0, 1, n_clusters, level)
    rates_R, shares_R = _raw_rates(outcomes_N, judged_N, codes_N, len(sensitivity_R), rng)
    of_judged_R = np.divide(rates_R, shares_R, out=np.zeros_like(rates_R), where=shares_R > 0)
    estimates_R = shares_R * _without_errors(of_judged_R, sensitivity_R, specificity_R)
    low, high = expanded_percentile(estimates_R, level, n_clusters - 1)
    raw_low, raw_high = expanded_percentile(rates_R, level, n_clusters - 1)
    _, most = expanded_percentile(shares_R, level, n_clusters - 1)
    share, sensitivity, specificity = judged_N.mean(), sensitivity_R.mean(), specificity_R.mean()
    raw = outcomes_N.sum() / judged_N.sum()
    if raw > sensitivity:
        low = min(low, raw_low)
    if raw < 1 - specificity:
        high = max(high, raw_high)
    value = float(share * _without_errors(raw, sensitivity, specificity))
    return Interval(value, max(low, 0.0), min(high, most), level, n_clusters, "rogan-gladen")


# --- bootstraps ---


def bootstrap_clustered(
    values: ArrayLike,
    clusters: ArrayLike,
    *,
    rng: np.random.Generator,
    statistic: Callable[[NDArray], float] = np.mean,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Interval:
    """The interval of a statistic of clustered values, by drawing whole clusters with replacement.

    Davison and Hinkley 1997, section 3.8; Field and Welsh 2007 (JRSS B 69:369). The mean is that of
    all values (a larger cluster weighs more), and vectorised; another statistic is called R times.

    Where every value is 0, or every value is 1, resampling finds no spread. They are then taken as
    a proportion, and the interval is Clopper and Pearson's with each cluster as one trial. Any
    other constant has an interval without width.

    Args:
        values: [N], finite; for a statistic other than the mean [N, ...].
        clusters: [N] labels of any kind: values with the same label are drawn together.
        statistic: from a resample [M, ...] to a number.

    Returns:
        The interval; its n is the number of clusters.

    Raises:
        UserError: there are fewer than two clusters.
    """
    _check_level(level)
    values = _finite(values)
    codes_N, n_clusters = unit_codes(clusters, len(values))
    if statistic is np.mean:
        return _bootstrap_mean(values, codes_N, (0, 1), rng, level, resamples)
    estimates_R = np.array(
        [
            statistic(np.repeat(values, weights_G.astype(int)[codes_N], axis=0))
            for weights_RG in draws(n_clusters, resamples, rng)
            for weights_G in weights_RG
        ]
    )
    value = float(statistic(values))
    low, high = expanded_percentile(estimates_R, level, n_clusters - 1)
    return Interval(value, low, high, level, n_clusters, "clustered bootstrap")


def bootstrap_paired(
    a: ArrayLike,
    b: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    rng: np.random.Generator,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Interval:
    """The interval of mean(a) - mean(b) for two arms on the same items, by drawing pairs together.

    `bootstrap_clustered` of the differences. Where all differences are 0, 1 or -1 alike, the
    interval allows for the share of clusters (Clopper and Pearson's bound) that may differ from
    that, as far as outcomes between 0 and 1 can.

    Args:
        a, b: [N], finite, in the same order.
        clusters: [N] labels: pairs with the same label are drawn together; None: each by itself.

    Returns:
        The interval; its n is the number of clusters.

    Raises:
        UserError: there are fewer than two clusters.
    """
    _check_level(level)
    a, b = _pair(a, b)
    codes_N, _ = unit_codes(clusters, len(a))
    return _bootstrap_mean(a - b, codes_N, (-1, 0, 1), rng, level, resamples)


def crossed_bootstrap_weights(
    n_seeds: int, groups: ArrayLike, resamples: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """How often each seed and each item is drawn, when seeds and groups of items are drawn at once.

    The pigeonhole bootstrap (Owen 2007, Annals of Applied Statistics 1:386): the cell (seed, item)
    weighs the product of the two counts.

    Args:
        groups: [N] labels: items with the same label are drawn together.

    Returns:
        Counts [R, S] and [R, N].

    Raises:
        UserError: there are fewer than two seeds or two groups.
    """
    if n_seeds < 2:
        raise UserError("one seed only: an interval over seeds needs two, and ten are better")
    groups = np.asarray(groups)
    codes_N, n_groups = unit_codes(groups, len(groups))
    return draw(n_seeds, resamples, rng), draw(n_groups, resamples, rng)[:, codes_N]


def crossed_bootstrap(
    correct: Mapping[str, ArrayLike],
    groups: ArrayLike,
    function: Callable[[dict[str, Floats]], ArrayLike],
    *,
    rng: np.random.Generator,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Interval:
    """The interval of a function of several arms' accuracies, over new seeds and new items at once.

    The pigeonhole bootstrap (Owen 2007; Owen and Eckles 2012, Annals of Applied Statistics 6:895).
    All arms share each draw, so that what they have in common cancels. An accuracy is that of all
    cells (seed, item) together. No bootstrap of both is exact: this one is right where seeds or
    items make the noise, and too wide (sqrt(3) times at most) where single cells do. Its tails are
    expanded for the degrees of freedom that seeds and groups have together.

    A function that comes out alike in every resample has an interval without width. For the
    accuracy of one arm that is right everywhere, use `bootstrap_clustered`.

    Args:
        correct: arm -> [S, N], 0 or 1 or any score. NaN: the item isn't in the test set of that
            seed, which must then hold for every arm.
        groups: [N] labels: items with the same label are drawn together.
        function: from arm -> accuracies [R] to [R]. For a ratio, see `ratio_is_measurable` first.

    Returns:
        The interval; its n is the number of seeds.

    Raises:
        UserError: there are fewer than two seeds or two groups.
        ValueError: the arms differ in shape or in what is missing, or the function isn't finite on
            the data as they are.
    """
    _check_level(level)
    cells_ASN = _cells(correct)
    _, n_seeds, n_items = cells_ASN.shape
    groups = np.asarray(groups)
    if groups.shape != (n_items,):
        raise ValueError(f"groups of shape {groups.shape} for {n_items} items")

    def apply(accuracies_AR: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(function(dict(zip(correct, accuracies_AR, strict=True))), float)

    value = apply(_accuracies(cells_ASN.sum((1, 2))[:, None])).item()
    if not np.isfinite(value):
        raise ValueError("the function isn't finite on the data: see ratio_is_measurable")
    resampled = [
        _resampled_accuracies(cells_ASN, *crossed_bootstrap_weights(n_seeds, groups, rows, rng))
        for rows in chunks(resamples, n_items)
    ]
    both_R, seeds_R, items_R = [
        apply(np.concatenate(accuracies, axis=1)) for accuracies in zip(*resampled, strict=True)
    ]
    freedom = satterthwaite([seeds_R, items_R], [n_seeds - 1, len(np.unique(groups)) - 1])
    low, high = expanded_percentile(both_R, level, freedom)
    return Interval(value, low, high, level, n_seeds, "crossed bootstrap")


def ratio_is_measurable(denominator: Interval) -> bool:
    """Whether a ratio over this denominator may be printed: its interval is clear of zero.

    Where it isn't, the ratios that the data allow have no bound (Fieller 1954, JRSS B 16:175),
    while a bootstrap still gives an innocent pair of numbers: say that the gap isn't measurable
    instead (Franz 2007, arXiv 0710.2024). A denominator just clear of zero makes a wide and skewed
    interval.
    """
    return denominator.low > 0 or denominator.high < 0


# --- tests and agreement ---


def permutation_paired(
    a: ArrayLike,
    b: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> float:
    """The two-sided p-value of mean(a) = mean(b) for paired arms, by swapping the arms of pairs.

    Fisher's randomisation test. All 2^G swaps are tried where those are no more than `resamples`:
    ten seeds give an exact p-value, never under 0.002. Otherwise swaps are drawn, and p is
    (1 + hits) / (1 + R), never zero (Phipson and Smyth 2010, SAGMB 9:39).

    Args:
        a, b: [N], finite, in the same order.
        clusters: [N] labels: pairs with the same label are swapped together; None: each by itself.

    Raises:
        UserError: there are fewer than two clusters.
    """
    a, b = _pair(a, b)
    codes_N, n_clusters = unit_codes(clusters, len(a))
    sums_G = np.bincount(codes_N, weights=a - b)
    # Sums that are equal on paper differ in the last bits when added in another order.
    observed = abs(sums_G.sum()) - 1e-12 * np.abs(sums_G).sum()
    if 2**n_clusters <= resamples:
        swaps_RG = np.arange(2**n_clusters)[:, None] >> np.arange(n_clusters) & 1
        return float(np.mean(np.abs((1 - 2 * swaps_RG) @ sums_G) >= observed))
    hits = 0
    for rows in chunks(resamples, n_clusters):
        swaps_RG = rng.integers(0, 2, (rows, n_clusters))
        hits += np.count_nonzero(np.abs((1 - 2 * swaps_RG) @ sums_G) >= observed)
    return (1 + hits) / (1 + resamples)


def holm(pvalues: Sequence[float] | Floats) -> Floats:
    """p-values adjusted for their number, in the order given.

    Rejecting those <= alpha keeps the chance of any false rejection <= alpha, however the tests
    depend on each other. Holm 1979 (Scandinavian Journal of Statistics 6:65).
    """
    p = np.asarray(pvalues, dtype=float)
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError("p-values must lie between 0 and 1")
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1)


def cohen_kappa(
    a: ArrayLike,
    b: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    rng: np.random.Generator,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Interval:
    """Two raters' agreement beyond chance, (observed - expected) / (1 - expected), by bootstrap.

    Cohen 1960 (Educational and Psychological Measurement 20:37), unweighted.

    Args:
        a, b: [N] each rater's categories, of any kind, in the same order.
        clusters: [N] labels: items with the same label are drawn together; None: each by itself.

    Returns:
        The interval, within [-1, 1]; its n is the number of clusters.

    Raises:
        UserError: there are fewer than two clusters, or a single category, where kappa is 0/0.
    """
    _check_level(level)
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"ratings of shapes {a.shape} and {b.shape}: both must be [N]")
    codes_N, n_clusters = unit_codes(clusters, len(a))
    names, ratings = np.unique(np.concatenate([a, b]), return_inverse=True)
    n_names = len(names)
    if n_names == 1:
        raise UserError(f"both raters always said '{names[0]}': kappa needs a second category")
    counts_GCC = np.zeros((n_clusters, n_names, n_names))
    np.add.at(counts_GCC, (codes_N, ratings[: len(a)], ratings[len(a) :]), 1)

    estimates_R = np.concatenate(
        [
            _kappa(np.tensordot(weights_RG, counts_GCC, axes=1))
            for weights_RG in draws(n_clusters, resamples, rng)
        ]
    )
    low, high = expanded_percentile(estimates_R, level, n_clusters - 1)
    value = _kappa(counts_GCC.sum(0)).item()
    return Interval(value, max(low, -1.0), min(high, 1.0), level, n_clusters, "clustered bootstrap")


# --- the parts ---


def _bootstrap_mean(
    values_N: Floats,
    codes_N: NDArray[np.int64],
    outcomes: Sequence[int],
    rng: np.random.Generator,
    level: float,
    resamples: int,
) -> Interval:
    """The interval of the mean. If all values are the same one of `outcomes`, see `_unvarying`."""
    if values_N.ndim != 1:
        raise ValueError(f"the mean of an array of shape {values_N.shape}: it must be [N]")
    sums_G = np.bincount(codes_N, weights=values_N)
    counts_G = np.bincount(codes_N).astype(np.float64)
    n_clusters = len(sums_G)
    if values_N[0] in outcomes and np.all(values_N == values_N[0]):
        return _unvarying(float(values_N[0]), min(outcomes), max(outcomes), n_clusters, level)
    [estimates_R] = _resampled_means((sums_G,), counts_G, resamples, rng)
    low, high = expanded_percentile(estimates_R, level, n_clusters - 1)
    return Interval(float(values_N.mean()), low, high, level, n_clusters, "clustered bootstrap")


def _raw_rates(
    outcomes_N: Floats,
    judged_N: Floats,
    codes_N: NDArray[np.int64],
    resamples: int,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """The share of ones [R] and of judged outcomes [R], with clusters resampled; where judged
    outcomes are all alike, by their posterior (see `rogan_gladen`)."""
    sums_G, judged_G = (np.bincount(codes_N, weights=part_N) for part_N in (outcomes_N, judged_N))
    counts_G = np.bincount(codes_N).astype(np.float64)
    n, n_judged = len(counts_G), np.count_nonzero(judged_G)
    no_ones, all_ones = not outcomes_N.any(), np.array_equal(outcomes_N, judged_N)
    if judged_N.all() and (no_ones or all_ones):
        rates_R, shares_R = np.ones((2, resamples))
    else:
        rates_R, shares_R = _resampled_means((sums_G, judged_G), counts_G, resamples, rng)
    if no_ones:
        rates_R = rng.beta(0.5, n + 0.5, resamples)
        shares_R = np.maximum(shares_R, rates_R)
    elif all_ones:
        rates_R = shares_R * rng.beta(n_judged + 0.5, 0.5, resamples)
    return rates_R, shares_R


def _resampled_means(
    sums: Sequence[NDArray], counts_G: Floats, resamples: int, rng: np.random.Generator
) -> Floats:
    """The mean of each quantity, of which the clusters' sums [G] are given, [quantities, R]."""
    return np.concatenate(
        [
            np.stack([w_RG @ sums_G for sums_G in sums]) / (w_RG @ counts_G)
            for w_RG in draws(len(counts_G), resamples, rng)
        ],
        axis=1,
    )


def _unvarying(value: float, least: float, most: float, n: int, level: float) -> Interval:
    """n clusters all gave `value`: some unseen share of others may be anything up to the limits."""
    others = clopper_pearson(0, n, level=level).high
    low = value + others * (least - value)
    high = value + others * (most - value)
    return Interval(value, low, high, level, n, "clopper-pearson over clusters")


def _cells(correct: Mapping[str, ArrayLike]) -> Floats:
    """Arms' scores [A + 1, S, N]; the last is 1 where the seed's test set has the item, else 0."""
    scores = [np.asarray(scores_SN, dtype=float) for scores_SN in correct.values()]
    if not scores or any(arm.ndim != 2 or arm.shape != scores[0].shape for arm in scores):
        shapes = {name: np.shape(arm) for name, arm in correct.items()}
        raise ValueError(f"arms must share one shape [S, N]: {shapes}")
    missing_SN = np.isnan(scores[0])
    for name, arm in zip(correct, scores, strict=True):
        if np.any(np.isnan(arm) != missing_SN):
            raise ValueError(f"arm '{name}' isn't measured on the same items as the others")
        if np.any(np.isinf(arm)):
            raise ValueError(f"arm '{name}' holds infinity")
    if missing_SN.all():
        raise UserError("no item was tested on any seed: there is nothing to estimate from")
    return np.stack([*(np.where(missing_SN, 0.0, arm) for arm in scores), 1.0 - missing_SN])


def _accuracies(sums_AR: Floats) -> Floats:
    """Summed `_cells` as accuracies: the arms' sums over the last. NaN where there is no cell."""
    with np.errstate(invalid="ignore"):
        return sums_AR[:-1] / sums_AR[-1]


def _resampled_accuracies(
    cells_ASN: Floats, seeds_RS: Floats, items_RN: Floats
) -> tuple[Floats, Floats, Floats]:
    """Accuracies [A, R] with seeds and items resampled, with seeds alone, and with items alone."""
    by_seed_RAS = np.tensordot(items_RN, cells_ASN, axes=(1, 2))
    return (
        _accuracies(np.einsum("ras,rs->ar", by_seed_RAS, seeds_RS)),
        _accuracies(cells_ASN.sum(2) @ seeds_RS.T),
        _accuracies(by_seed_RAS.sum(2).T),
    )


def _kappa(counts_RCC: Floats) -> Floats:
    """Kappa of each table of counts [..., C, C]; NaN where one category holds everything."""
    table = counts_RCC / counts_RCC.sum((-2, -1), keepdims=True)
    observed = np.trace(table, axis1=-2, axis2=-1)
    expected = (table.sum(-1) * table.sum(-2)).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (observed - expected) / (1 - expected)


def _without_errors(rate: ArrayLike, sensitivity: ArrayLike, specificity: ArrayLike) -> Floats:
    """Rogan and Gladen's estimate, from 0 to 1; NaN where the judge is no better than chance."""
    specificity = np.asarray(specificity, dtype=float)
    youden = np.asarray(sensitivity, dtype=float) + specificity - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(
            youden > 0, (np.asarray(rate, dtype=float) + specificity - 1) / youden, np.nan
        )
    return np.clip(found, 0, 1)


def _finite(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=float)
    if not np.all(np.isfinite(array)):
        raise ValueError("values hold NaN or infinity: say what a missing outcome counts as")
    return array


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    a, b = _finite(a), _finite(b)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"paired arms of shapes {a.shape} and {b.shape}: both must be [N]")
    return a, b


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level {level}: it must lie between 0 and 1")


def _check_proportion(successes: int, n: int, level: float) -> None:
    _check_level(level)
    if n == 0:
        raise UserError("a proportion of no trials: there is nothing to estimate it from")
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")

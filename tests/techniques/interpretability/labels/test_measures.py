"""Measures of verdicts, against closed forms and numbers worked out by hand."""

import numpy as np
import pytest

from toprope.statistics import wilson
from toprope.techniques.interpretability.labels.definition import Definition, interpretable_rate
from toprope.techniques.interpretability.labels.measures import (
    LatentScore,
    average_precision,
    balanced_accuracy,
    best_cut,
    cuts,
    f1,
    latent_score,
    summary,
)
from toprope.techniques.interpretability.labels.scorers.intruder import OddOneOut
from toprope.techniques.interpretability.labels.scorers.scorer import Item, Verdict
from toprope.techniques.interpretability.windows import Window

WINDOW = Window(0, 0, 0, ("a",), (1.0,), "activating")
YES, NO = Verdict(1.0, True), Verdict(0.0, False)
LOST = Verdict(None, None, "lost")


def items(truths: list[bool]) -> list[Item]:
    return [Item(WINDOW, truth) for truth in truths]


def scored(right: int, of: int, latent: int = 0, missing: int = 0) -> LatentScore:
    """A latent of which so many of each class are told right, and so many aren't judged."""
    wrong = of - right - missing
    verdicts = [
        *[YES] * right, *[NO] * wrong, *[LOST] * missing,
        *[NO] * right, *[YES] * wrong, *[LOST] * missing,
    ]  # fmt: skip
    return latent_score(latent, items([True] * of + [False] * of), verdicts)


def test_balanced_accuracy_weighs_classes_alike() -> None:
    truth = np.array([True] * 2 + [False] * 8)
    says = np.array([True, False] + [False] * 6 + [True] * 2)
    found = balanced_accuracy(truth, says)
    assert found.value == pytest.approx((1 / 2 + 6 / 8) / 2)
    # Always saying no is right on eight of ten, and worth nothing.
    assert balanced_accuracy(truth, np.zeros(10, dtype=bool)).value == 0.5


def test_its_interval_puts_two_wilson_intervals_together() -> None:
    truth = np.array([True] * 10 + [False] * 10)
    says = np.array([True] * 8 + [False] * 2 + [True] * 1 + [False] * 9)
    a, b = wilson(8, 10), wilson(9, 10)
    found = balanced_accuracy(truth, says)
    assert found.low == pytest.approx(0.85 - np.sqrt((0.8 - a.low) ** 2 + (0.9 - b.low) ** 2) / 2)
    assert found.high == pytest.approx(
        0.85 + np.sqrt((a.high - 0.8) ** 2 + (b.high - 0.9) ** 2) / 2
    )


def test_its_interval_covers_what_it_claims() -> None:
    """Nominal 95%, over sensitivities and specificities at the sizes that are used."""
    rng = np.random.default_rng(0)
    truth = np.array([True] * 20 + [False] * 20)
    covered = []
    for _ in range(1500):
        se, sp = rng.uniform(0.55, 0.95, 2)
        says = np.concatenate([rng.random(20) < se, rng.random(20) > sp])
        found = balanced_accuracy(truth, says)
        covered.append(found.low <= (se + sp) / 2 <= found.high)
    assert 0.93 < np.mean(covered) < 0.975


def test_average_precision_by_hand() -> None:
    """Precisions at the true ones are 1, 2/3 and 3/5."""
    truth = np.array([True, False, True, False, True])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    assert average_precision(truth, scores) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    # Equal scores are one step: no order among them helps.
    assert average_precision(truth, np.full(5, 0.5)) == pytest.approx(3 / 5)
    assert average_precision(truth, truth.astype(float)) == 1


def test_f1_and_the_floors_of_saying_yes_to_all() -> None:
    truth = np.array([True] * 3 + [False] * 9)
    assert f1(truth, truth) == 1
    assert f1(truth, ~truth) == 0
    score = latent_score(0, items(truth.tolist()), [YES] * 12)
    assert score.f1 == score.f1_floor == pytest.approx(2 * 3 / (3 + 12))
    assert score.auprc == score.auprc_floor == 0.25
    assert score.value.value == score.floor == 0.5


def test_verdicts_that_are_missing_count_against_the_label() -> None:
    whole, holes = scored(8, 10), scored(8, 10, missing=2)
    assert holes.value.value == whole.value.value == 0.8
    assert (whole.most, holes.most) == (0.8, 1.0)
    assert holes.outcomes == {"judged": 16, "lost": 4}
    # Two false ones come first; then eight true ones at 8/10, and two last of all at 10/20.
    assert holes.auprc == pytest.approx(0.8 * 0.8 + 0.2 * 0.5)
    # That is what they'd be worth had they been wrong.
    assert holes.auprc == whole.auprc


def test_scores_alone_need_a_cut() -> None:
    verdicts = [Verdict(0.4, None), Verdict(0.3, None), Verdict(0.1, None), Verdict(0.35, None)]
    wanted = items([True, True, False, False])
    assert latent_score(0, wanted, verdicts, 0.3).value.value == 0.75
    assert latent_score(0, wanted, verdicts, 0.38).value.value == 0.75
    assert latent_score(0, wanted, verdicts, 0.05).value.value == 0.5
    with pytest.raises(ValueError, match="needs a cut"):
        latent_score(0, wanted, verdicts)


def test_intruders_have_a_floor_of_one_in_five() -> None:
    sets = [OddOneOut((WINDOW,) * 5, 0)] * 10
    score = latent_score(0, sets, [Verdict(1.0, True)] * 6 + [Verdict(0.0, False)] * 3 + [LOST])
    assert (score.value.value, score.most, score.floor) == (0.6, 0.7, 0.2)
    assert score.value == wilson(6, 10)
    assert score.f1 is None


@pytest.mark.parametrize(
    ("pairs", "low", "high"),
    [
        ([(0.1, False), (0.2, False), (0.6, True), (0.7, True)], 0.2, 0.6),
        ([(0.1, False), (0.5, True), (0.5, False), (0.9, True), (0.8, True)], 0.5, 0.8),
        ([(0.3, True), (0.4, True)], 0.0, 0.3),
    ],
)
def test_a_cut_lies_where_classes_part(
    pairs: list[tuple[float, bool]], low: float, high: float
) -> None:
    assert low < best_cut(pairs) <= high


def test_a_latent_is_cut_by_others() -> None:
    """Nine latents part at 0.5 and one at 5: its own cut is the others', theirs are theirs."""
    verdicts = {
        latent: [Verdict(score * (10 if latent == 9 else 1), None) for score in (0.4, 0.6)]
        for latent in range(10)
    }
    found = cuts(
        {latent: [False, True] for latent in range(10)}, verdicts, np.random.default_rng(0)
    )
    assert found[9] == pytest.approx(0.5)
    assert sorted(found) == list(range(10))
    two = cuts(
        {0: [False, True], 9: [False, True]},
        {0: verdicts[0], 9: verdicts[9]},
        np.random.default_rng(0),
    )
    assert two == pytest.approx({0: 5.0, 9: 0.5})
    assert cuts({1: [True]}, {1: verdicts[1][:1]}, np.random.default_rng(0)) == {}


def test_a_summary_draws_latents() -> None:
    scores = [scored(right, 10, latent) for latent, right in enumerate([6, 7, 8, 9, 10] * 8)]
    found = summary(scores, rng=np.random.default_rng(0))
    assert found.value.value == pytest.approx(0.8)
    assert found.value.n == 40
    # The standard error of a mean of 40 with this spread, by Student's t.
    half = 2.02 * np.std([0.6, 0.7, 0.8, 0.9, 1.0] * 8, ddof=1) / np.sqrt(40)
    assert found.value.high - found.value.low == pytest.approx(2 * half, rel=0.1)
    assert found.f1_floor == pytest.approx(2 / 3)
    assert found.outcomes == {"judged": 800}
    assert found.correlation is None


# --- the definition ---


def test_interpretable_is_a_high_score_clear_of_the_control() -> None:
    definition = Definition()
    assert definition.holds(scored(18, 20), scored(10, 20))
    assert not definition.holds(scored(13, 20), scored(10, 20))  # below 0.7
    assert not definition.holds(scored(4, 5), scored(2, 5))  # too few windows to tell
    assert not definition.holds(scored(18, 20), scored(17, 20))  # any label would do
    # A control that is worse than chance isn't a lower bar.
    assert not definition.holds(scored(4, 5), scored(0, 5))
    # A control's missing verdicts aren't to its disadvantage.
    assert not definition.holds(scored(18, 20), scored(10, 20, missing=8))


def test_the_definition_says_itself() -> None:
    assert (
        "balanced accuracy in detection against hard negatives is at least 0.7" in Definition().text
    )
    other = Definition(scorer="fuzzing, random negatives", threshold=0.8)
    assert "in fuzzing, random negatives is at least 0.8" in other.text


def test_the_rate_keeps_apart_what_could_not_be_scored() -> None:
    scores = {
        1: scored(19, 20), 2: scored(18, 20), 3: scored(10, 20), 4: scored(10, 20, missing=9),
    }  # fmt: skip
    controls = {latent: scored(10, 20) for latent in scores}
    unscored = ["dead", "dead", "too few examples", "label refused"]

    found = interpretable_rate(Definition(), scores, controls, unscored)

    assert found is not None
    # Of those that fire often enough, one had no label.
    assert found.rate == wilson(2, 5)
    assert found.rate_of_scored == wilson(2, 4)
    assert found.shuffled == wilson(0, 5)
    assert (found.low, found.high) == (2 / 8, 7 / 8)
    assert found.scored == 4
    assert found.unscored == {"dead": 2, "too few examples": 1, "label refused": 1}
    only_dead = interpretable_rate(Definition(), {}, {}, ["dead", "too few negatives"])
    assert only_dead is None


def test_labels_that_fail_lower_the_rate() -> None:
    scores = {latent: scored(19, 20) for latent in range(4)}
    controls = {latent: scored(10, 20) for latent in scores}
    rates = [
        interpretable_rate(Definition(), scores, controls, ["label unparsable"] * failed)
        for failed in (0, 4)
    ]
    assert [one.rate.value for one in rates if one] == [1.0, 0.5]
    assert [one.rate_of_scored.value for one in rates if one and one.rate_of_scored] == [1.0, 1.0]


def test_the_rate_has_that_of_shuffled_labels_beside_it() -> None:
    """By the same threshold, and held against chance."""
    scores = {latent: scored(19, 20) for latent in range(4)}
    controls = {0: scored(18, 20), 1: scored(13, 20), 2: scored(4, 5), 3: scored(17, 20)}
    found = interpretable_rate(Definition(), scores, controls, [])
    assert found is not None
    # One is below 0.7, and one of too few windows to tell.
    assert found.shuffled == wilson(2, 4)

"""Latents by contrast: planted ones are found, luck isn't; the statistics are the textbook's."""

import json

import numpy as np
import pytest
from scipy import stats

from toprope.errors import UserError
from toprope.techniques.interpretability.use.contrast import Attacked, contrast, from_attempts
from toprope.techniques.interpretability.use.ranks import auroc
from toprope.techniques.interpretability.use.reading import Pool, matched


def planted(rng, n=60, width=200):
    """Latent 7 is more active on the first set, latent 9 on the second; the others are alike."""
    sets = [rng.exponential(size=(n, width)) * (rng.random((n, width)) < 0.3) for _ in range(2)]
    sets[0][:, 7] += 2 * (rng.random(n) < 0.8)
    sets[1][:, 9] += 2 * (rng.random(n) < 0.8)
    return [x.astype(np.float32) for x in sets]


def test_an_area_is_the_share_of_pairs_and_its_error_is_delongs(rng):
    first, second = rng.integers(0, 4, (9, 5)), rng.integers(1, 6, (7, 5))
    area, error = auroc(first, second)
    for latent in range(5):
        x, y = first[:, latent], second[:, latent]
        pairs = (x[:, None] > y) + 0.5 * (x[:, None] == y)
        assert area[latent] == pytest.approx(pairs.mean())
        variance = pairs.mean(1).var(ddof=1) / 9 + pairs.mean(0).var(ddof=1) / 7
        assert error[latent] == pytest.approx(np.sqrt(variance))


def test_planted_latents_are_found_and_hold(rng):
    first, second = planted(rng)
    found = contrast(first, second, rng=rng)
    assert {one.latent for one in found.latents[:2]} == {7, 9}
    by_latent = {one.latent: one for one in found.latents}
    assert by_latent[7].auroc.low > 0.5 > by_latent[9].auroc.high
    assert by_latent[7].difference.low > 0
    assert by_latent[7].q < 0.05
    assert by_latent[7].auroc.control == 0.5
    assert found.tested == 200
    assert found.found.control == 0
    assert found.held is not None
    assert found.held.value >= 2 / 3


def test_what_is_reported_is_measured_on_texts_that_it_was_not_found_on(rng):
    first, second = planted(rng)
    found = {one.latent: one for one in contrast(first, second, rng=rng).latents}[7]
    whole, _ = auroc(first[:, 7:8], second[:, 7:8])
    # Half the pairs of texts were seen when it was found, so that neither is that of all.
    assert found.auroc.n == 60
    assert min(found.auroc.value, found.auroc_when_found) < whole[0]
    assert max(found.auroc.value, found.auroc_when_found) > whole[0]


def test_nothing_is_found_where_there_is_nothing():
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sets = [rng.exponential(size=(40, 100)) * (rng.random((40, 100)) < 0.3) for _ in range(2)]
        result = contrast(*(x.astype(np.float32) for x in sets), rng=rng)
        found += bool(result.latents)
        assert (result.held is None) == (not result.latents)
    assert found <= 4  # in one search of twenty any is expected


def test_p_values_are_benjamini_and_hochbergs(rng):
    first, second = planted(rng)
    result = contrast(first, second, rng=np.random.default_rng(3), limit=0.3)
    p = []
    # The other half is found by drawing it again.
    halves = []
    again = np.random.default_rng(3)
    for x in (first, second):
        side = np.zeros(len(x), dtype=bool)
        side[again.permutation(len(x))[::2]] = True
        halves.append(x[~side])
    for one in result.latents:
        p.append(
            stats.mannwhitneyu(*(x[:, one.latent] for x in halves), method="asymptotic").pvalue
        )
    assert [one.q for one in result.latents] == pytest.approx(
        stats.false_discovery_control(p), rel=1e-5
    )


def test_texts_of_a_group_count_as_one(rng):
    # Ten groups of six copies a set: taken one by one, copies on both sides seem to confirm luck.
    value = rng.normal(size=(2, 10, 400)).clip(0)
    first, second = (np.repeat(v, 6, axis=0).astype(np.float32) for v in value)
    names = [f"{i}" for i in range(10) for _ in range(6)]
    groups = ([f"a{name}" for name in names], [f"b{name}" for name in names])
    one_by_one = contrast(first, second, rng=np.random.default_rng(1))
    assert len(one_by_one.latents) > 40
    grouped = contrast(first, second, rng=np.random.default_rng(1), groups=groups)
    assert grouped.latents == []
    with pytest.raises(UserError, match="the first set has 4 texts"):
        contrast(first[:24], second, rng=rng, groups=(groups[0][:24], groups[1]))


def test_a_group_that_is_in_both_sets_is_on_one_side(rng):
    """Texts differ by their group alone: what the group's half has must not be in the other."""
    first, second = planted(rng, n=40)
    shared = [f"{i}" for i in range(40)]
    for i in range(40):
        second[i, 50:] = first[i, 50:] = 0
        first[i, 50 + i] = second[i, 50 + i] = 1.0  # a latent for each group
    found = contrast(first, second, rng=rng, groups=(shared, shared))
    # Those of groups in the half searched, and none of the others: half of the forty.
    assert found.tested == 50 + 20


def read(rng, lengths, pool, width=150):
    """Texts of the same sort: on each token each latent is active at random, some rarely."""
    rate = np.linspace(0.005, 0.2, width)
    rows = []
    for length in lengths:
        codes = rng.exponential(size=(length, width)) * (rng.random((length, width)) < rate)
        rows.append(codes.max(0) if pool == "max" else codes.mean(0))
    return np.array(rows, dtype=np.float32)


@pytest.mark.parametrize("pool", ["max", "mean"])
def test_length_is_told_from_what_latents_mean(rng, pool: Pool):
    lengths = rng.integers(100, 140, 80).tolist(), rng.integers(15, 25, 60).tolist()
    first, second = (read(rng, of, pool) for of in lengths)
    found = contrast(first, second, rng=rng, lengths=lengths, pool=pool)
    assert found.found.value > (0.9 if pool == "max" else 0.05)
    assert (found.found.control or 0.0) < 0.02  # the shuffled sets don't show it
    assert found.length is not None
    assert found.length.value == 1
    assert found.length.low > 0.9
    assert found.length.n == 140
    assert "the first set's texts are longer" in (found.warning or "")
    cut = matched(*lengths)
    first, second = (read(rng, of, pool) for of in cut)
    after = contrast(first, second, rng=rng, lengths=cut, pool=pool)
    assert after.found.value < 0.02
    assert after.length is not None
    assert after.length.value == pytest.approx(0.5, abs=0.02)
    assert after.warning is None


def test_a_last_token_has_no_length(rng):
    first, second = planted(rng)
    lengths = ([9] * 60, [5] * 60)
    turned = ([5] * 60, [9] * 60)
    assert contrast(first, second, rng=rng, lengths=lengths, pool="last").warning is None
    assert "second" in str(contrast(first, second, rng=rng, lengths=turned).warning)
    assert contrast(first, second, rng=rng).length is None


def test_the_length_of_a_group_is_its_mean(rng):
    first, second = planted(rng)
    groups = [i // 2 for i in range(60)], [100 + i // 2 for i in range(60)]
    lengths = [1, 9] * 30, [4] * 60
    found = contrast(first, second, rng=rng, groups=groups, lengths=lengths)
    assert found.length is not None
    assert found.length.value == 1  # 5 against 4; of single texts it would be a half
    assert found.length.n == 60


def test_too_few_texts_are_refused(rng):
    with pytest.raises(UserError, match="the second set has 5 texts"):
        contrast(np.ones((20, 3), np.float32), np.ones((5, 3), np.float32), rng=rng)
    with pytest.raises(UserError, match="no latent is active"):
        contrast(np.zeros((20, 3), np.float32), np.zeros((20, 3), np.float32), rng=rng)


def test_attacks_are_read_as_data(tmp_path):
    records = [
        {"prompt": "a", "response": "sure", "success": True},
        {
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "b"}],
            "response": "yes",
            "score": 0.8,
            "behaviour": "b1",
        },
        {"prompt": "c", "response": "no", "score": 0.1},
        {"prompt": "d", "response": "", "score": None},
    ]
    path = tmp_path / "attempts.jsonl"
    path.write_text("\n".join(map(json.dumps, records)) + "\n")
    said = [{"role": "user", "content": text} for text in "abc"]
    assert from_attempts(path) == (
        [
            Attacked((said[0],), "sure", "line 1"),
            Attacked(({"role": "system", "content": "s"}, said[1]), "yes", "b1"),
        ],
        [Attacked((said[2],), "no", "line 3")],
    )
    path.write_text(json.dumps(records[0]))
    with pytest.raises(UserError, match=r"no attack in .* failed"):
        from_attempts(path)
    path.write_text('{"prompt": "a"}\n')
    with pytest.raises(UserError, match=r"line 1: not a record"):
        from_attempts(path)
    with pytest.raises(UserError, match="can't read"):
        from_attempts(tmp_path / "nowhere.jsonl")

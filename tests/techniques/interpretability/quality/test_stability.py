"""Which features recur between seeds, and the dictionary that is made of those."""

from itertools import permutations

import numpy as np
import pytest
import torch

from toprope.errors import UserError
from toprope.techniques.interpretability.dictionaries.dictionary import load
from toprope.techniques.interpretability.quality import consensus as consensus_module
from toprope.techniques.interpretability.quality import pairing
from toprope.techniques.interpretability.quality.consensus import ConsensusSettings, build
from toprope.techniques.interpretability.quality.consensus_losses import losses
from toprope.techniques.interpretability.quality.members import load_members
from toprope.techniques.interpretability.quality.pairing import paired
from toprope.techniques.interpretability.quality.stability import (
    load_recurrence,
    recurrence,
    stability,
)

D = 48


def seeds_of(dictionary_of, random_rows, shared, own, n=3):
    """Dictionaries of the same `shared` features, in other orders, and others of their own."""
    same = random_rows(shared, D, seed=99)
    made, orders = [], []
    for seed in range(n):
        rows = torch.cat(
            [same + 0.05 * random_rows(shared, D, seed), random_rows(own, D, 50 + seed)]
        )
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        made.append(dictionary_of(rows[order], 6))
        orders.append(order.argsort()[:shared].numpy())
    return made, orders, torch.nn.functional.normalize(same, dim=1)


@pytest.mark.parametrize("seed", range(3))
def test_pairs_have_the_largest_sum_of_cosines(dictionary_of, random_rows, seed):
    a, b = dictionary_of(random_rows(6, 4, seed), 2), dictionary_of(random_rows(6, 4, 10 + seed), 2)
    with torch.no_grad():
        b.encoder_FD.copy_(random_rows(6, 4, 20 + seed))
    unit = torch.nn.functional.normalize
    total = (a.decoder_FD @ b.decoder_FD.T + unit(a.encoder_FD) @ unit(b.encoder_FD).T).detach()
    best = max(permutations(range(6)), key=lambda p: float(total[range(6), p].sum()))
    found = paired(a, b)
    assert found.partner_F.tolist() == list(best)
    assert found.complete
    assert found.mean_F == pytest.approx(total[range(6), best].numpy() / 2, abs=1e-6)


def test_shared_features_are_found_in_any_order(dictionary_of, random_rows, rng):
    (a, b), orders, _ = seeds_of(dictionary_of, random_rows, 20, 10, n=2)
    found = stability(a, b, rng=rng)
    assert found.pairing.partner_F[orders[0]].tolist() == orders[1].tolist()
    assert found.shared.value == pytest.approx(20 / 30)
    assert found.shared.low < 20 / 30 < found.shared.high
    assert found.shared.control == 0
    assert found.rotated == 0
    assert found.agreeing.value >= 20 / 30


def test_both_cosines_count(dictionary_of, random_rows, rng):
    (a, b), orders, _ = seeds_of(dictionary_of, random_rows, 20, 10, n=2)
    with torch.no_grad():
        b.encoder_FD[orders[1][:5]] = random_rows(5, D, 7)
    found = stability(a, b, rng=rng)
    assert found.decoder.value == pytest.approx(20 / 30)
    assert found.shared.value == found.encoder.value == pytest.approx(15 / 30)


def test_a_narrower_dictionary_leaves_latents_without_a_partner(dictionary_of, random_rows):
    rows = random_rows(10, D)
    found = paired(dictionary_of(rows, 2), dictionary_of(rows[:4], 2))
    assert found.partner_F.tolist() == [0, 1, 2, 3, *[-1] * 6]
    assert found.shared().sum() == 4


@pytest.fixture
def narrow_limit(monkeypatch):
    """As if the dictionaries were too wide for all pairs to be weighed, in several blocks."""
    monkeypatch.setattr(pairing, "COMPLETE", 10)
    monkeypatch.setattr(pairing, "_CELLS", 200 * 30)


def test_wide_dictionaries_are_paired_among_the_nearest(dictionary_of, random_rows, monkeypatch):
    (a, b), orders, _ = seeds_of(dictionary_of, random_rows, 100, 100, n=2)
    with torch.no_grad():
        b.encoder_FD[orders[1][:20]] += 0.5 * random_rows(20, D, 7) / D**0.5
    whole = paired(a, b)
    monkeypatch.setattr(pairing, "COMPLETE", 10)
    monkeypatch.setattr(pairing, "_CELLS", 200 * 30)
    found = paired(a, b)
    assert not found.complete
    assert whole.complete
    assert found.partner_F[orders[0]].tolist() == orders[1].tolist()
    assert np.array_equal(found.shared(), whole.shared())
    partners = found.partner_F[found.partner_F >= 0]
    assert len(set(partners.tolist())) == len(partners)
    total = [float(one.mean_F[one.partner_F >= 0].sum()) for one in (found, whole)]
    assert 0.99 * total[1] < total[0] <= total[1] + 1e-4


def test_among_all_as_candidates_the_wide_pairing_is_the_best_one(
    dictionary_of, random_rows, narrow_limit, monkeypatch
):
    """Of positive rows every cosine is, and none is better left alone."""
    a, b = (dictionary_of(random_rows(14, 5, seed).abs(), 2) for seed in range(2))
    found = paired(a, b)
    monkeypatch.setattr(pairing, "COMPLETE", 100)
    assert found.partner_F.tolist() == paired(a, b).partner_F.tolist()


def test_a_wide_dictionary_beside_a_narrow_one(dictionary_of, random_rows, narrow_limit):
    rows = random_rows(60, D)
    found = paired(dictionary_of(rows, 2), dictionary_of(rows[:4], 2))
    assert found.partner_F.tolist() == [0, 1, 2, 3, *[-1] * 56]
    back = paired(dictionary_of(rows[:4], 2), dictionary_of(rows, 2))
    assert back.partner_F.tolist() == [0, 1, 2, 3]


def test_wide_seeds_are_measured_like_others(dictionary_of, random_rows, rng, narrow_limit):
    made, orders, _ = seeds_of(dictionary_of, random_rows, 20, 10)
    found = recurrence(made, rng=rng)
    assert found.share_SF[1, orders[1]].tolist() == [1.0] * 20
    assert found.overall.value == pytest.approx(20 / 30)
    assert stability(*made[:2], rng=rng).shared.value == pytest.approx(20 / 30)


def test_a_feature_of_two_seeds_is_one_observation(dictionary_of, random_rows):
    made, _, _ = seeds_of(dictionary_of, random_rows, 60, 60)
    of_two = recurrence(made[:2], rng=np.random.default_rng(0)).overall
    alone = stability(*made[:2], rng=np.random.default_rng(0)).shared
    assert of_two.n == alone.n == 120
    # A bootstrap of a share, beside Wilson's interval of it.
    assert of_two.high - of_two.low == pytest.approx(alone.high - alone.low, rel=0.08)
    # The same features in a third seed tell nothing that two don't.
    of_three = recurrence(made, rng=np.random.default_rng(0)).overall
    assert of_three.high - of_three.low == pytest.approx(of_two.high - of_two.low, rel=0.02)


def test_recurrence_is_kept(dictionary_of, random_rows, rng, tmp_path):
    made, orders, _ = seeds_of(dictionary_of, random_rows, 20, 10)
    found = recurrence(made, rng=rng)
    found.save(tmp_path)
    again = load_recurrence(tmp_path)
    assert again.overall == found.overall
    assert again.threshold == found.threshold
    assert np.array_equal(again.share_SF, found.share_SF)
    for pair, one in found.pairings.items():
        assert np.array_equal(again.pairings[pair].partner_F, one.partner_F)
        assert np.array_equal(again.pairings[pair].mean_F, one.mean_F)
    of = again.of_seed(1)
    assert of.seeds == [0, 2]
    assert of.partner_FS[orders[1]].tolist() == np.stack([orders[0], orders[2]], 1).tolist()
    assert (of.cosine_FS[orders[1]] > 0.9).all()
    assert (of.cosine_FS < 0.9).sum() == 2 * 10
    assert of.share_F[orders[1]].tolist() == [1.0] * 20
    (tmp_path / "recurrence.json").write_text("{}")
    with pytest.raises(UserError, match="no whole recurrence"):
        load_recurrence(tmp_path)


def test_other_activations_are_refused(dictionary_of, random_rows):
    with pytest.raises(UserError, match="48 channels can't be paired with one of 8"):
        paired(dictionary_of(random_rows(9, D), 2), dictionary_of(random_rows(9, 8), 2))


def test_recurrence_is_the_share_of_the_other_seeds(dictionary_of, random_rows, rng):
    made, orders, _ = seeds_of(dictionary_of, random_rows, 20, 10)
    with torch.no_grad():  # one of the features is lost in the third seed
        made[2].decoder_FD[orders[2][0]] = random_rows(1, D, 3)[0] / 7
    found = recurrence(made, rng=rng)
    assert found.share_SF[0, orders[0]].tolist() == [0.5] + [1.0] * 19
    assert found.share_SF[2, orders[2][0]] == 0
    assert found.overall.value == pytest.approx((2 * 19.5 + 19) / 90)
    assert found.overall.control == 0
    with pytest.raises(UserError, match="two or more"):
        recurrence(made[:1], rng=rng)


def test_a_consensus_has_what_recurs_and_nothing_else(dictionary_of, random_rows, sparse_rows, rng):
    made, orders, same = seeds_of(dictionary_of, random_rows, 20, 10)
    with torch.no_grad():
        made[2].decoder_FD[orders[2][0]] = random_rows(1, D, 3)[0] / 7
    found = recurrence(made, rng=rng)
    batch = sparse_rows(same, 200, 4)
    consensus = build(made, found, [batch] * 3, ConsensusSettings(steps=2))
    cosines = consensus.dictionary.decoder_FD.detach() @ same.T
    assert len(consensus.members.members_CS) == 20
    best = cosines.argmax(1)
    assert sorted(best.tolist()) == list(range(20))
    # The mean of three noisy copies is nearer than one of them.
    assert cosines.amax(1).mean() > (made[0].decoder_FD.detach() @ same.T).amax(0).mean()
    for feature, latents, times in zip(
        best.tolist(),
        consensus.members.members_CS.tolist(),
        consensus.members.recurrence_C,
        strict=True,
    ):
        expected = [order[feature] for order in orders]
        assert latents == (expected if feature else [*expected[:2], -1])
        assert times == (3 if feature else 2)
    assert (consensus.members.cohesion_C > 0.9).all()
    norms = consensus.dictionary.decoder_FD.norm(dim=1)
    assert torch.allclose(norms, torch.ones_like(norms), atol=1e-5)
    thrice = build(made, found, [batch] * 3, ConsensusSettings(steps=2, recurs_in=3))
    assert thrice.dictionary.width == 19


def test_a_consensus_is_kept_with_its_members(
    dictionary_of, random_rows, sparse_rows, rng, tmp_path
):
    made, _, same = seeds_of(dictionary_of, random_rows, 20, 10)
    found = recurrence(made, rng=rng)
    settings = ConsensusSettings(steps=1, threshold=0.75)
    consensus = build(made, found, [sparse_rows(same, 50, 4)] * 2, settings)
    consensus.save(tmp_path)
    assert torch.equal(load(tmp_path).decoder_FD, consensus.dictionary.decoder_FD)
    members = load_members(tmp_path)
    assert np.array_equal(members.members_CS, consensus.members.members_CS)
    assert np.array_equal(members.recurrence_C, consensus.members.recurrence_C)
    assert np.array_equal(members.cohesion_C, consensus.members.cohesion_C)
    assert members.threshold == 0.75
    (tmp_path / "consensus.safetensors").unlink()
    with pytest.raises(UserError, match="no whole consensus"):
        load_members(tmp_path)


def test_refitting_keeps_directions_and_lowers_the_error(
    dictionary_of, random_rows, sparse_rows, rng
):
    made, _, same = seeds_of(dictionary_of, random_rows, 20, 10)
    found = recurrence(made, rng=rng)
    rows = [3 + sparse_rows(same, 200, 4, seed=s) for s in range(60)]
    before = build(made, found, rows, ConsensusSettings(steps=0, active=4))
    after = build(made, found, rows, ConsensusSettings(steps=50, rate=0.05, active=4))

    def error(consensus):
        return float((consensus.dictionary.reconstruct(rows[-1]) - rows[-1]).square().mean())

    assert error(after) < 0.7 * error(before)
    assert torch.equal(before.dictionary.decoder_FD, after.dictionary.decoder_FD)
    alike = torch.cosine_similarity(before.dictionary.encoder_FD, after.dictionary.encoder_FD)
    assert alike.abs().min() > 0.9999


def test_near_duplicates_are_one_feature(dictionary_of, random_rows, rng):
    rows = random_rows(6, D)
    twice = torch.cat([rows, rows[:2] + 0.02 * random_rows(2, D, 5)])
    made = [dictionary_of(twice, 3) for _ in range(2)]
    found = recurrence(made, rng=rng)
    assert build(made, found, [twice], ConsensusSettings(steps=0)).dictionary.width == 6
    kept = build(made, found, [twice], ConsensusSettings(steps=0, duplicate=1.0))
    assert kept.dictionary.width == 8


def test_what_is_near_a_dropped_feature_alone_stays(dictionary_of, rng, monkeypatch):
    """Three directions in a row, each 15 degrees from the next: the outer ones are two features."""
    monkeypatch.setattr(consensus_module, "_CELLS", 5)

    def at(*degrees):
        turns = torch.deg2rad(torch.tensor(degrees))
        return torch.stack([turns.cos(), turns.sin()], dim=1)

    # The seeds agree on the first best, on the second next, and so on: that is their order.
    made = [
        dictionary_of(at(0.0, 15.0, 30.0, 90.0), 1),
        dictionary_of(at(0.0, 16.0, 32.0, 93.0), 1),
    ]
    built = build(made, recurrence(made, rng=rng), [at(0.0)], ConsensusSettings(steps=0))
    assert torch.allclose(built.dictionary.decoder_FD, at(0.0, 31.0, 91.5), atol=1e-5)


def test_what_a_consensus_loses_is_measured_beside_the_seeds_and_a_random_subset(
    dictionary_of, random_rows, sparse_rows, rng
):
    made, _, same = seeds_of(dictionary_of, random_rows, 20, 20)
    found = recurrence(made, rng=rng)
    rows = sparse_rows(same, 400, 4)
    settings = ConsensusSettings(steps=5)
    consensus = build(made, found, [rows] * 6, settings)
    documents = np.arange(400) // 20
    lost = losses(consensus, made, [rows] * 6, lambda: [(rows, documents)], settings, rng=rng)
    assert lost.kept == 0.5
    assert lost.fvu.control == lost.subset.fvu.value
    # The rows are made of the shared features alone, and a random half of a seed lacks many.
    assert lost.fvu.value < lost.subset.fvu.value - 0.1
    again = losses(
        consensus,
        made,
        [rows] * 6,
        lambda: [(rows, documents)],
        settings,
        rng=np.random.default_rng(8),
    )
    assert again.subset.fvu.value != lost.subset.fvu.value
    mean = np.mean([one.fvu.value for one in lost.seeds])
    assert lost.above_seeds == pytest.approx(lost.consensus.fvu.value - mean)


def test_where_nothing_recurs_there_is_no_consensus(dictionary_of, random_rows, rng):
    made = [dictionary_of(random_rows(12, D, seed), 3) for seed in range(2)]
    found = recurrence(made, rng=rng)
    with pytest.raises(UserError, match="no feature recurs in 2 of 2"):
        build(made, found, [random_rows(4, D)])
    with pytest.raises(UserError, match="3 seeds are asked for, and 2 given"):
        build(made, found, [random_rows(4, D)], ConsensusSettings(recurs_in=3))


def test_a_consensus_may_be_wider_than_a_seed(dictionary_of, random_rows, sparse_rows, rng):
    """Three features, of which each seed has two."""
    same = random_rows(3 * 8, D, seed=99).view(3, 8, D)
    parts = [(0, 1), (1, 2), (2, 0)]
    made = [dictionary_of(torch.cat([same[i] for i in pair]), 4) for pair in parts]
    found = recurrence(made, rng=rng)
    rows = sparse_rows(same.view(24, D), 200, 4)
    settings = ConsensusSettings(steps=2)
    consensus = build(made, found, [rows] * 3, settings)
    assert consensus.dictionary.width == 24
    documents = np.arange(200) // 20
    lost = losses(consensus, made, [rows] * 3, lambda: [(rows, documents)], settings, rng=rng)
    assert lost.kept == 1.5
    # The control is then the first seed, whole.
    assert lost.subset.fvu.value == pytest.approx(lost.seeds[0].fvu.value, abs=0.01)
    assert lost.above_seeds < -0.1


def test_a_transcoder_has_no_consensus(random_rows, rng):
    from toprope.techniques.interpretability.dictionaries.dictionary import make

    made = [make({"kind": "transcoder", "width": 12, "d_model": D, "active": 2}) for _ in range(2)]
    with pytest.raises(UserError, match="transcoder predicts another layer"):
        build(made, recurrence(made, rng=rng), [random_rows(4, D)])

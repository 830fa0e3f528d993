"""Which features recur between seeds, and the dictionary that is made of those."""

from itertools import permutations

import numpy as np
import pytest
import torch

from toprope.errors import UserError
from toprope.techniques.interpretability.quality.consensus import ConsensusSettings, build
from toprope.techniques.interpretability.quality.consensus_losses import losses
from toprope.techniques.interpretability.quality.stability import (
    paired,
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


def test_pairs_have_the_largest_sum_of_cosines(dictionary_of, random_rows):
    a, b = dictionary_of(random_rows(6, 4), 2), dictionary_of(random_rows(6, 4, 1), 2)
    with torch.no_grad():
        b.encoder_FD.copy_(random_rows(6, 4, 2))
    unit = torch.nn.functional.normalize
    total = (a.decoder_FD @ b.decoder_FD.T + unit(a.encoder_FD) @ unit(b.encoder_FD).T).detach()
    best = max(permutations(range(6)), key=lambda p: float(total[range(6), p].sum()))
    pairing = paired(a, b)
    assert pairing.partner_F.tolist() == list(best)
    assert pairing.mean_F == pytest.approx(total[range(6), best].numpy() / 2, abs=1e-6)


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
    pairing = paired(dictionary_of(rows, 2), dictionary_of(rows[:4], 2))
    assert pairing.partner_F.tolist() == [0, 1, 2, 3, *[-1] * 6]
    assert pairing.shared().sum() == 4


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
    assert len(consensus.members_CS) == 20
    best = cosines.argmax(1)
    assert sorted(best.tolist()) == list(range(20))
    # The mean of three noisy copies is nearer than one of them.
    assert cosines.amax(1).mean() > (made[0].decoder_FD.detach() @ same.T).amax(0).mean()
    for feature, latents, times in zip(
        best.tolist(), consensus.members_CS.tolist(), consensus.recurrence_C, strict=True
    ):
        expected = [order[feature] for order in orders]
        assert latents == (expected if feature else [*expected[:2], -1])
        assert times == (3 if feature else 2)
    assert (consensus.cohesion_C > 0.9).all()
    norms = consensus.dictionary.decoder_FD.norm(dim=1)
    assert torch.allclose(norms, torch.ones_like(norms), atol=1e-5)
    thrice = build(made, found, [batch] * 3, ConsensusSettings(steps=2, recurs_in=3))
    assert thrice.dictionary.width == 19


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

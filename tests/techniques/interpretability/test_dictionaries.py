"""Every kind of dictionary: its codes, its loss, what training keeps true, and its files."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from toprope.errors import UserError
from toprope.techniques.interpretability.dictionaries.batch_topk import (
    MEMORY,
    BatchTopK,
    largest_of_batch,
)
from toprope.techniques.interpretability.dictionaries.dictionary import (
    Dictionary,
    Origin,
    load,
    make,
)
from toprope.techniques.interpretability.dictionaries.jumprelu import JumpReLU
from toprope.techniques.interpretability.dictionaries.kinds import KINDS
from toprope.techniques.interpretability.dictionaries.matryoshka import MatryoshkaBatchTopK
from toprope.techniques.interpretability.dictionaries.topk import TopK, geometric_median

B, D, F, K = 32, 16, 64, 4
ORIGIN = Origin(model="tiny", layer=2, corpus="abc", tokens=320)


def rows(seed: int = 0, n: int = B) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed))


def small(kind: str, **numbers: object) -> Dictionary:
    """A dictionary that has seen a first batch, and whose biases aren't zero."""
    own = {"centroids": 16} if kind == "archetypal" else {}
    given = {"kind": kind, "width": F, "d_model": D, "active": K, "seed": 1, **own, **numbers}
    dictionary = make(given, ORIGIN)
    dictionary.start(rows(), rows(1))
    with torch.no_grad():
        noise_F = torch.randn(F, generator=torch.Generator().manual_seed(2))
        dictionary.encoder_bias_F.add_(0.1 * noise_F)
    return dictionary


def loss_of(dictionary: Dictionary, x_BD: Tensor):
    is_transcoder = dictionary.settings.kind == "transcoder"
    return dictionary.loss(x_BD, rows(1, len(x_BD)) if is_transcoder else None)


def scores(dictionary: Dictionary, x_BD: Tensor) -> Tensor:
    """The pre-activations by the plain formula."""
    return (x_BD - dictionary.decoder_bias_D) @ dictionary.encoder_FD.T + (
        dictionary.encoder_bias_F
    )


def gradients(dictionary: Dictionary, loss: Tensor) -> dict[str, Tensor]:
    """By weight; what is parallel to the decoder's rows left out, as the sparse step does."""
    names, weights = zip(*dictionary.named_parameters(), strict=True)
    found = dict(zip(names, torch.autograd.grad(loss, weights), strict=True))
    along_F1 = (found["decoder_FD"] * dictionary.decoder_FD).sum(1, keepdim=True)
    return found | {"decoder_FD": found["decoder_FD"] - along_F1 * dictionary.decoder_FD}


def assert_same_gradients(dictionary: Dictionary, ours: Tensor, plain: Tensor) -> None:
    assert ours.item() == pytest.approx(plain.item(), rel=1e-5)
    theirs = gradients(dictionary, plain)
    for name, gradient in gradients(dictionary, ours).items():
        assert (gradient - theirs[name]).norm() <= 1e-5 * theirs[name].norm(), name


def test_topk_is_the_plain_formula() -> None:
    dictionary = small("topk")
    scores_BF = scores(dictionary, rows())
    kept_BF = torch.zeros_like(scores_BF).scatter(1, scores_BF.topk(K).indices, 1.0)
    codes_BF = scores_BF.relu() * kept_BF
    out_BD = codes_BF @ dictionary.decoder_FD + dictionary.decoder_bias_D
    loss = dictionary.loss(rows())

    torch.testing.assert_close(dictionary.encode(rows()).dense(), codes_BF)
    torch.testing.assert_close(dictionary.reconstruct(rows()), out_BD)
    assert_same_gradients(dictionary, loss.total, (out_BD - rows()).square().mean())


def test_auxk_is_the_plain_formula() -> None:
    """As in OpenAI's sparse_autoencoder: the error's own reconstruction by the dead latents, its
    squared error over the error's variance."""
    dictionary = small("topk", dead_after=100, auxiliary_active=3, auxiliary_weight=0.5)
    dead = torch.arange(0, F, 3)
    dictionary.silent_F[dead] = 100
    x_BD = rows()
    scores_BF = scores(dictionary, x_BD)
    kept_BF = torch.zeros_like(scores_BF).scatter(1, scores_BF.topk(K).indices, 1.0)
    out_BD = (scores_BF.relu() * kept_BF) @ dictionary.decoder_FD + dictionary.decoder_bias_D
    missing_BD = (x_BD - out_BD).detach()
    dead_scores_BM = scores_BF[:, dead]
    dead_kept_BM = torch.zeros_like(dead_scores_BM).scatter(1, dead_scores_BM.topk(3).indices, 1.0)
    aux_BD = (dead_scores_BM.relu() * dead_kept_BM) @ dictionary.decoder_FD[dead]
    auxiliary = (aux_BD - missing_BD).square().mean() / missing_BD.var(0, correction=0).mean()
    loss = dictionary.loss(x_BD)

    assert loss.auxiliary.item() == pytest.approx(auxiliary.item(), rel=1e-5)
    plain = (out_BD - x_BD).square().mean() + 0.5 * auxiliary
    assert_same_gradients(dictionary, loss.total, plain)


def test_auxk_counts_for_less_with_fewer_dead_latents_than_it_would_use() -> None:
    whole = small("topk", dead_after=100, auxiliary_active=2)
    part = small("topk", dead_after=100, auxiliary_active=8)
    for dictionary in (whole, part):
        dictionary.silent_F[:2] = 100

    ratio = part.loss(rows()).auxiliary / whole.loss(rows()).auxiliary
    assert ratio.item() == pytest.approx(2 / 8)


def test_batch_topk_keeps_the_batchs_largest() -> None:
    dictionary = small("batch_topk")
    x_BD = rows()
    x_BD[:2] *= 30  # these rows alone hold more of the largest than a row's share
    scores_BF = scores(dictionary, x_BD)
    kept_BF = torch.zeros_like(scores_BF)
    kept_BF.view(-1)[scores_BF.flatten().topk(B * K).indices] = 1.0
    codes_BF = scores_BF.relu() * kept_BF
    out_BD = codes_BF @ dictionary.decoder_FD + dictionary.decoder_bias_D
    loss = dictionary.loss(x_BD)

    assert (kept_BF[0] > 0).sum() > 4 * K
    torch.testing.assert_close(loss.codes.dense(), codes_BF)
    assert_same_gradients(dictionary, loss.total, (out_BD - x_BD).square().mean())


def test_batch_topk_encodes_a_row_by_itself_afterwards() -> None:
    dictionary = small("batch_topk")
    assert isinstance(dictionary, BatchTopK)
    least = []
    for seed in (0, 1):
        codes = dictionary.loss(rows(seed)).codes
        least.append(codes.values_BK[codes.values_BK > 0].min().item())
        dictionary.count(codes)

    threshold = MEMORY * least[0] + (1 - MEMORY) * least[1]
    assert dictionary.threshold.item() == pytest.approx(threshold, rel=1e-6)
    scores_BF = scores(dictionary, rows(3))
    torch.testing.assert_close(
        dictionary.encode(rows(3)).dense(), scores_BF * (scores_BF > threshold)
    )
    one = dictionary.encode(rows(3)[:1]).dense()
    torch.testing.assert_close(one, dictionary.encode(rows(3)).dense()[:1])


def test_largest_of_batch_looks_further_where_a_row_has_more() -> None:
    x_BD = torch.eye(D)[:4] * torch.tensor([[100.0], [1], [1], [1]])
    encoder_FD = torch.eye(D).repeat(4, 1) + 0.01
    pattern, values_N = largest_of_batch(x_BD, encoder_FD, torch.arange(F) / F, 40)

    scores_BF = x_BD @ encoder_FD.T + torch.arange(F) / F
    expected = scores_BF.flatten().topk(40).values.sort().values
    torch.testing.assert_close(values_N.sort().values, expected)
    assert pattern.offsets_R.diff().max() > 4 * 40 // 4 - 10


def test_matryoshka_averages_the_prefixes_errors() -> None:
    dictionary = small("matryoshka", prefixes=(8, 24, F))
    x_BD = rows()
    scores_BF = scores(dictionary, x_BD)
    kept_BF = torch.zeros_like(scores_BF)
    kept_BF.view(-1)[scores_BF.flatten().topk(B * K).indices] = 1.0
    codes_BF = scores_BF.relu() * kept_BF
    errors = [
        codes_BF[:, :n] @ dictionary.decoder_FD[:n] + dictionary.decoder_bias_D - x_BD
        for n in (8, 24, F)
    ]
    loss = dictionary.loss(x_BD)

    plain = torch.stack([error.square().mean() for error in errors]).mean()
    assert_same_gradients(dictionary, loss.total, plain)
    assert loss.reconstruction.item() == pytest.approx(errors[-1].square().mean().item(), rel=1e-5)


def test_matryoshka_prefixes_by_default_and_wrong_ones() -> None:
    dictionary = small("matryoshka")
    assert isinstance(dictionary, MatryoshkaBatchTopK)
    assert dictionary.prefixes == (4, 8, 16, 32, 64)
    for wrong in ((8, 32), (32, 8, F), (0, F)):
        with pytest.raises(UserError, match=r"must rise to its width 64"):
            small("matryoshka", prefixes=wrong)


def test_jumprelu_starts_at_its_target_and_learns_as_the_paper_says() -> None:
    """Equations 11 and 12 of the paper, with dense matrices: the sum over rows and latents of what
    lies in the band."""
    dictionary = small("jumprelu", bandwidth=0.05)
    assert isinstance(dictionary, JumpReLU)
    start = dictionary.encode(rows()).l0
    x_BD, width = rows(), dictionary.bandwidth
    with torch.no_grad():
        threshold_F = dictionary.log_threshold_F.exp()
        scores_BF = scores(dictionary, x_BD)
        active_BF = scores_BF > threshold_F
        error_BD = (scores_BF * active_BF) @ dictionary.decoder_FD
        error_BD = error_BD + dictionary.decoder_bias_D - x_BD
        in_band_BF = ((scores_BF - threshold_F).abs() < width / 2).float()
        value_grad_BF = 2 / (B * D) * error_BD @ dictionary.decoder_FD.T
        l0 = active_BF.sum() / B
        jump_F = (-threshold_F / width * in_band_BF * value_grad_BF).sum(0)
        step_F = (-in_band_BF / width).sum(0) / B * 2 * (l0 / K - 1) / K
    loss = dictionary.loss(x_BD)
    loss.total.backward()

    assert start == pytest.approx(K, abs=0.5)
    assert loss.auxiliary.item() == pytest.approx(((l0 / K - 1) ** 2).item(), rel=1e-5)
    assert dictionary.log_threshold_F.grad is not None
    assert in_band_BF.sum() > 10
    torch.testing.assert_close(
        dictionary.log_threshold_F.grad, (jump_F + step_F) * threshold_F, rtol=1e-4, atol=1e-7
    )
    assert dictionary.encoder_FD.grad is not None
    encoder_FD = (value_grad_BF * active_BF).T @ (x_BD - dictionary.decoder_bias_D)
    torch.testing.assert_close(dictionary.encoder_FD.grad, encoder_FD, rtol=1e-4, atol=1e-7)


def test_a_transcoder_goes_from_one_layer_to_another() -> None:
    dictionary = small("transcoder")
    dictionary.get_buffer("target_mean_D").fill_(2.0)
    dictionary.get_buffer("target_scale_D").fill_(3.0)
    x_BD, target_BD = rows(), rows(1)
    scores_BF = x_BD @ dictionary.encoder_FD.T + dictionary.encoder_bias_F
    kept_BF = torch.zeros_like(scores_BF).scatter(1, scores_BF.topk(K).indices, 1.0)
    out_BD = (scores_BF.relu() * kept_BF) @ dictionary.decoder_FD + dictionary.decoder_bias_D
    loss = dictionary.loss(x_BD, target_BD)

    assert_same_gradients(dictionary, loss.total, (out_BD - target_BD).square().mean())
    torch.testing.assert_close(dictionary.decoder_bias_D.data, geometric_median(target_BD))
    torch.testing.assert_close(dictionary.restore(out_BD), out_BD * 3 + 2)
    with pytest.raises(UserError, match="pairs of activations"):
        dictionary.loss(x_BD)


def test_archetypal_rows_stay_near_combinations_of_the_same_centroids() -> None:
    one, other = (small("archetypal", seed=seed, relaxation=0.2) for seed in (1, 2))
    optimizer = torch.optim.Adam(one.parameters(), 0.05)
    before = one.loss(rows()).total.item()
    for _ in range(30):
        one.loss(rows()).total.backward()
        one.before_step()
        optimizer.step()
        optimizer.zero_grad()
        one.after_step()
    centroids_CD = one.get_buffer("centroids_CD")
    mixed_FD = one.get_parameter("mixing_FC").detach().softmax(1) @ centroids_CD
    # The distance of the combination from the row's direction is at most the relaxation.
    along_F1 = (mixed_FD * one.decoder_FD.detach()).sum(1, keepdim=True)
    off_F = (mixed_FD - along_F1 * one.decoder_FD.detach()).norm(dim=1)

    assert one.loss(rows()).total.item() < 0.8 * before
    assert one.get_parameter("relaxation_FD").norm(dim=1).max() > 0.2
    assert off_F.max() <= 0.2 + 1e-6
    assert torch.equal(centroids_CD, other.get_buffer("centroids_CD"))
    assert not torch.equal(one.decoder_FD, other.decoder_FD)


def test_a_relaxation_is_cut_only_where_it_is_too_long() -> None:
    dictionary = small("archetypal", relaxation=0.2)
    with torch.no_grad():
        relaxation_FD = dictionary.get_parameter("relaxation_FD")
        relaxation_FD[0, 0], relaxation_FD[1, 0] = 0.1, 3.0
    mixed_FD = dictionary.get_parameter("mixing_FC").softmax(1) @ dictionary.get_buffer(
        "centroids_CD"
    )
    mixed_FD[0, 0] += 0.1
    mixed_FD[1, 0] += 0.2
    dictionary.after_step()

    torch.testing.assert_close(dictionary.decoder_FD, functional.normalize(mixed_FD))


def test_archetypal_gradients_reach_what_the_decoder_is_made_of() -> None:
    """Against autograd through the composition, with nothing cut off by hand."""
    dictionary = small("archetypal")
    latents_BK = dictionary.loss(rows()).codes.latents_BK
    scores_BF = scores(dictionary, rows())
    kept_BF = torch.zeros_like(scores_BF).scatter(1, latents_BK, 1.0)
    composed_FD = dictionary.composed()  # type: ignore[operator]
    out_BD = (scores_BF.relu() * kept_BF) @ composed_FD + dictionary.decoder_bias_D
    mixing_FC = dictionary.get_parameter("mixing_FC")
    (plain_FC,) = torch.autograd.grad((out_BD - rows()).square().mean(), mixing_FC)
    dictionary.loss(rows()).total.backward()
    dictionary.before_step()

    assert mixing_FC.grad is not None
    assert (mixing_FC.grad - plain_FC).norm() <= 1e-5 * plain_FC.norm()


@pytest.mark.parametrize("kind", KINDS)
def test_the_decoder_keeps_unit_rows_and_silence_is_counted(kind: str) -> None:
    dictionary = small(kind, dead_after=2 * B)
    optimizer = torch.optim.Adam(dictionary.parameters(), 0.05)
    for seed in range(3):
        loss = loss_of(dictionary, rows(seed))
        loss.total.backward()
        dictionary.before_step()
        optimizer.step()
        optimizer.zero_grad()
        dictionary.after_step()
        dictionary.count(loss.codes)
        active_F = loss.codes.dense().sum(0) > 0
        assert (dictionary.silent_F[active_F] == 0).all()
        assert (dictionary.silent_F[~active_F] >= B).all()

    assert dictionary.silent_F.max() <= 3 * B
    assert torch.equal(dictionary.dead_F, dictionary.silent_F >= 2 * B)
    torch.testing.assert_close(dictionary.decoder_FD.norm(dim=1), torch.ones(F))


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_dictionary_is_the_same_when_loaded(kind: str, tmp_path: Path) -> None:
    dictionary = small(kind, dead_after=77)
    dictionary.mean_D.fill_(0.5)
    dictionary.scale_D.fill_(2.0)
    dictionary.count(loss_of(dictionary, rows()).codes)
    dictionary.save(tmp_path / "made" / kind)
    again = load(tmp_path / "made" / kind)

    assert type(again) is type(dictionary)
    assert again.settings == dictionary.settings
    assert again.origin == ORIGIN
    for name, tensor in dictionary.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert torch.equal(again.reconstruct(rows(5)), dictionary.reconstruct(rows(5)))
    torch.testing.assert_close(again.standardise(rows()), (rows() - 0.5) / 2)
    assert {path.name for path in (tmp_path / "made" / kind).iterdir()} == {
        "dictionary.json",
        "weights.safetensors",
    }


def test_the_seed_makes_the_first_weights() -> None:
    assert torch.equal(small("topk").encoder_FD, small("topk").encoder_FD)
    assert not torch.equal(small("topk").encoder_FD, small("topk", seed=2).encoder_FD)
    dictionary = small("topk")
    assert isinstance(dictionary, TopK)
    assert torch.equal(dictionary.encoder_FD, dictionary.decoder_FD)


def test_geometric_median_is_the_point_of_least_distance() -> None:
    """An outlier moves the mean, not this: of collinear points, the middle one."""
    x_BD = functional.pad(torch.tensor([[0.0], [1.0], [100.0]]), (0, D - 1))

    assert geometric_median(x_BD)[0].item() == pytest.approx(1.0, abs=1e-3)


def test_what_is_no_dictionary_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no dictionary in .*dictionary.json is missing"):
        load(tmp_path)
    small("topk").save(tmp_path)
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match="is damaged"):
        load(tmp_path)
    weights.unlink()
    with pytest.raises(UserError, match=r"weights.safetensors is missing"):
        load(tmp_path)


def test_wrong_settings_are_said() -> None:
    with pytest.raises(UserError, match="did you mean 'topk'"):
        small("topc")
    with pytest.raises(UserError, match="kind 'topk': bandwidth"):
        small("topk", bandwidth=1.0)
    with pytest.raises(UserError, match="can't have 65 active latents"):
        small("topk", active=65)

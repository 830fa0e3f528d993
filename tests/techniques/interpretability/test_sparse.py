"""Sparse operations give what the dense formulas give, and selection what a full search does."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from toprope.techniques.interpretability.dictionaries import selection, sparse
from toprope.techniques.interpretability.dictionaries.dictionary import Codes
from toprope.techniques.interpretability.dictionaries.sparse import Pattern
from toprope.techniques.interpretability.dictionaries.topk import padded

B, D, F, K = 24, 12, 40, 5
RELATIVE = 1e-5


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def weights(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x_BD, encoder_FD, bias_F and a decoder_FD with rows of unit norm, all with gradients."""
    g = rng(seed)
    x_BD, encoder_FD = torch.randn(B, D, generator=g), torch.randn(F, D, generator=g)
    bias_F = 0.1 * torch.randn(F, generator=g)
    decoder_FD = functional.normalize(torch.randn(F, D, generator=g), dim=1)
    made = (x_BD, encoder_FD, bias_F, decoder_FD)
    for tensor in made:
        tensor.requires_grad_(True)
    return made


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    assert (ours - theirs).norm() <= RELATIVE * theirs.norm()


def dense_loss(x_BD, encoder_FD, bias_F, decoder_FD, latents_BK) -> Tensor:
    """The plain formula: everything encoded, all but the given latents set to zero."""
    scores_BF = (x_BD @ encoder_FD.T + bias_F).relu()
    kept_BF = torch.zeros_like(scores_BF).scatter(1, latents_BK, 1.0)
    return ((scores_BF * kept_BF) @ decoder_FD - x_BD.detach()).square().sum()


def sparse_loss(x_BD, encoder_FD, bias_F, decoder_FD, pattern, *, tangent=False) -> Tensor:
    values_N = sparse.encode(x_BD, encoder_FD, bias_F, pattern, None).relu()
    decoded_BD = sparse.decode(values_N, decoder_FD, pattern, tangent=tangent)
    return (decoded_BD - x_BD.detach()).square().sum()


def test_gradients_are_those_of_the_dense_formula() -> None:
    ours, theirs = weights(), weights()
    with torch.no_grad():
        latents_BK = (ours[0] @ ours[1].T + ours[2]).topk(K).indices
    loss = sparse_loss(*ours, Pattern.of(latents_BK, F))
    dense = dense_loss(*theirs, latents_BK)
    loss.backward()
    dense.backward()

    assert_close(loss, dense)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        assert_close(mine.grad, other.grad)


def test_a_row_may_have_any_number_of_entries() -> None:
    ours, theirs = weights(), weights()
    with torch.no_grad():
        active_BF = ours[0] @ ours[1].T + ours[2] > 2
        active_BF[3] = False
    counts_B = active_BF.sum(1)
    pattern = Pattern(active_BF.nonzero()[:, 1], functional.pad(counts_B.cumsum(0), (1, 0)), F)
    sparse_loss(*ours, pattern).backward()
    x_BD, encoder_FD, bias_F, decoder_FD = theirs
    values_BF = (x_BD @ encoder_FD.T + bias_F) * active_BF
    (values_BF @ decoder_FD - x_BD.detach()).square().sum().backward()

    assert counts_B.unique().numel() > 2
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        assert_close(mine.grad, other.grad)


def test_tangent_leaves_out_what_is_parallel_to_the_decoders_rows() -> None:
    ours, theirs = weights(), weights()
    with torch.no_grad():
        latents_BK = (ours[0] @ ours[1].T).topk(K).indices
    sparse_loss(*ours, Pattern.of(latents_BK, F), tangent=True).backward()
    dense_loss(*theirs, latents_BK).backward()
    decoder_FD, whole_FD = theirs[3].detach(), theirs[3].grad
    assert whole_FD is not None
    parallel_F1 = (whole_FD * decoder_FD).sum(1, keepdim=True)

    assert ours[3].grad is not None
    assert_close(ours[3].grad, whole_FD - parallel_F1 * decoder_FD)


def test_plain_forms_for_other_devices_agree() -> None:
    x_BD, encoder_FD, _, _ = (tensor.detach() for tensor in weights())
    pattern = Pattern.of(torch.randint(F, (B, K), generator=rng()), F)
    values_N = torch.rand(B * K, generator=rng())

    assert_close(
        sparse._dots_by_gathering(pattern, x_BD, encoder_FD),
        sparse.dots(pattern, x_BD, encoder_FD),
    )
    assert_close(
        sparse._weighted_sums_by_adding(pattern, values_N, encoder_FD),
        sparse._weighted_sums(pattern, values_N, encoder_FD),
    )


def test_padding_is_no_activity() -> None:
    pattern = Pattern(torch.tensor([0, 3, 2]), torch.tensor([0, 2, 2, 3]), 4)
    codes = padded(torch.tensor([1.0, 2.0, 0.5]), pattern)

    assert codes.dense().tolist() == [[1, 0, 0, 2], [0, 0, 0, 0], [0, 0, 0.5, 0]]
    assert codes.l0 == 1.0
    assert codes.active_F().tolist() == [True, False, True, True]


def test_decoded_codes_are_the_matrix_product() -> None:
    decoder_FD = torch.randn(4, 3, generator=rng())
    codes = Codes(torch.tensor([[1.0, 2.0], [0.5, 0.0]]), torch.tensor([[1, 3], [0, 0]]), 4)

    assert_close(sparse.decoded(codes, decoder_FD), codes.dense() @ decoder_FD)


def rows_and_encoder(seed: int, *, uneven: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    g = rng(seed)
    x_BD = torch.randn(selection.ROWS + 60, 48, generator=g)
    encoder_FD = torch.randn(2048, 48, generator=g)
    if uneven:
        # One latent of great norm makes the bound on all others too wide for most rows.
        encoder_FD[0] *= 1000
    return x_BD, encoder_FD, 0.1 * torch.randn(2048, generator=g)


@pytest.mark.parametrize("screened", [True, False])
@pytest.mark.parametrize("uneven", [True, False])
def test_selection_is_exact(screened: bool, uneven: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against float64; bfloat16 products are right, if slow, on any processor."""
    monkeypatch.setattr(selection, "multiplies_bfloat16", lambda: screened)
    x_BD, encoder_FD, bias_F = rows_and_encoder(1, uneven=uneven)
    values_BK, latents_BK = selection.top(x_BD, encoder_FD, bias_F, 16)
    exact_BF = x_BD.double() @ encoder_FD.double().T + bias_F.double()

    assert_close(values_BK.double(), exact_BF.gather(1, latents_BK))
    largest_BK = exact_BF.topk(16).values
    assert_close(values_BK.sort(1, descending=True).values.double(), largest_BK)


def test_screening_redoes_rows_that_bfloat16_leaves_in_doubt() -> None:
    """Latents closer to each other than bfloat16 can tell: without redoing, some are missed."""
    x_BD = torch.ones(8, 48)
    encoder_FD = torch.ones(2048, 48) + 1e-4 * torch.rand(2048, 1, generator=rng())
    screen = selection._Screen(encoder_FD, torch.zeros(2048))
    values_BK, _ = screen.top(x_BD, 16)

    assert screen.redone == 8
    assert_close(values_BK.sort(1, descending=True).values, (x_BD @ encoder_FD.T).topk(16).values)


def test_rows_that_are_clear_arent_redone() -> None:
    x_BD, encoder_FD, bias_F = rows_and_encoder(2)
    screen = selection._Screen(encoder_FD, bias_F)
    screen.top(x_BD, 16)

    assert screen.redone < 0.05 * len(x_BD)


def test_above_finds_all_over_each_latents_threshold() -> None:
    x_BD, encoder_FD, bias_F = rows_and_encoder(3)
    threshold_F = 15 + 5 * torch.rand(2048, generator=rng())
    pattern, values_N = selection.above(x_BD, encoder_FD, bias_F, threshold_F)
    scores_BF = x_BD @ encoder_FD.T + bias_F

    assert torch.equal(padded(values_N, pattern).dense() > 0, scores_BF > threshold_F)


def test_a_torch_that_cant_be_asked_about_bfloat16_goes_without(monkeypatch: pytest.MonkeyPatch):
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    for name in names:
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert not selection.multiplies_bfloat16()
    rng = torch.Generator().manual_seed(0)
    x_BD, encoder_FD = torch.randn(8, 4, generator=rng), torch.randn(2048, 4, generator=rng)
    values_BK, _ = selection.top(x_BD, encoder_FD, torch.zeros(2048), 4)
    expected_BK = (x_BD @ encoder_FD.T).topk(4).values
    torch.testing.assert_close(values_BK.sort(descending=True).values, expected_BK)
    for name in names:
        monkeypatch.setattr(torch.cpu, name, lambda: True, raising=False)
        assert selection.multiplies_bfloat16()
        monkeypatch.delattr(torch.cpu, name)

"""The other tools themselves, where they are installed: SAELens and EleutherAI's sparsify."""

from pathlib import Path
from typing import Any

import pytest
import torch

from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary
from toprope.techniques.interpretability.dictionaries.kinds import KINDS
from toprope.techniques.interpretability.exchange.affine import standardisations
from toprope.techniques.interpretability.exchange.saelens import load_saelens, save_saelens
from toprope.techniques.interpretability.exchange.sparsify import load_sparsify, save_sparsify

from .cases import B, Case, D, F, K


@pytest.fixture
def sae_lens() -> Any:
    return pytest.importorskip("sae_lens")


@pytest.fixture
def sparse_coder() -> Any:
    """Not every package of the name "sparsify" is EleutherAI's."""
    found = getattr(pytest.importorskip("sparsify"), "SparseCoder", None)
    return found or pytest.skip("this 'sparsify' isn't EleutherAI's")


def same(one: Dictionary, other: Dictionary) -> None:
    for name in ("encoder_FD", "encoder_bias_F", "decoder_FD", "decoder_bias_D"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "transcoder"])
@torch.no_grad()
def test_saelens_opens_it_and_it_comes_back(kind: str, sae_lens: Any, tmp_path: Path):
    case = Case(kind)
    save_saelens(case.dictionary, tmp_path / "ours")
    sae = sae_lens.SAE.load_from_disk(tmp_path / "ours")
    assert sae.cfg.architecture() == ("topk" if kind in ("topk", "archetypal") else "jumprelu")
    assert sae.cfg.metadata.hook_name == "blocks.2.hook_resid_post"
    assert sae.cfg.metadata.model_name == "owner/model"
    case.check(sae.encode(case.raw_BD), sae(case.raw_BD))

    sae.save_model(tmp_path / "theirs")
    back = load_saelens(tmp_path / "theirs", standardisations(case.dictionary)[0])
    assert back.origin == case.dictionary.origin
    same(back, case.dictionary)


@torch.no_grad()
def test_saelens_folds_the_norms_of_a_jumprelu(sae_lens: Any, tmp_path: Path):
    case = Case("jumprelu")
    save_saelens(case.dictionary, tmp_path)
    sae = sae_lens.SAE.load_from_disk(tmp_path, fold_W_dec_norm=True)
    torch.testing.assert_close(sae(case.raw_BD), case.raw_out_BD, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", ["topk", "jumprelu", "standard", "gated"])
@torch.no_grad()
def test_what_saelens_writes_is_read(architecture: str, sae_lens: Any, tmp_path: Path):
    rng = torch.Generator().manual_seed(0)
    more = {"k": K, "rescale_acts_by_decoder_norm": True} if architecture == "topk" else {}
    sae = sae_lens.SAE.from_dict(
        {"architecture": architecture, "d_in": D, "d_sae": F, "metadata": {"hook_name": None}}
        | more
    )
    for parameter in sae.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=rng))
    sae.save_model(tmp_path)
    x_BD = torch.randn(B, D, generator=rng)
    dictionary = load_saelens(tmp_path)
    codes = dictionary.encode(x_BD)
    torch.testing.assert_close(codes.dense(), sae.encode(x_BD), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(dictionary.decode(codes), sae(x_BD), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", ["topk", "transcoder"])
@torch.no_grad()
def test_sparsify_opens_it_and_it_comes_back(kind: str, sparse_coder: Any, tmp_path: Path):
    case = Case(kind)
    save_sparsify(case.dictionary, tmp_path / "ours")
    [(hookpoint, coder)] = sparse_coder.load_many(str(tmp_path / "ours"), local=True).items()
    encoded = coder.encode(case.raw_BD)
    codes_BF = torch.zeros(B, F).scatter(1, encoded.top_indices, encoded.top_acts)
    out_BD = coder(case.raw_BD, case.raw_out_BD).sae_out
    case.check(codes_BF, out_BD)

    coder.save_to_disk(tmp_path / "theirs" / hookpoint)
    read, written = standardisations(case.dictionary)
    place = tmp_path / "theirs" / hookpoint
    back = load_sparsify(place, read, written=written, model="hf:owner/model")
    assert back.origin == case.dictionary.origin
    same(back, case.dictionary)

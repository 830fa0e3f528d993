"""Exported dictionaries do on raw activations, by the other tool's formula, what they do here on
standardised ones; and they come back the same."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from toprope.errors import UserError
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary, Origin
from toprope.techniques.interpretability.dictionaries.jumprelu import JumpReLU
from toprope.techniques.interpretability.dictionaries.kinds import KINDS
from toprope.techniques.interpretability.dictionaries.topk import TopK
from toprope.techniques.interpretability.exchange.affine import Standardisation, standardisations
from toprope.techniques.interpretability.exchange.saelens import (
    hook_of_layer,
    layer_of_hook,
    load_saelens,
    save_saelens,
)
from toprope.techniques.interpretability.exchange.sparsify import load_sparsify, save_sparsify

from .cases import B, Case, D, F, K

SAES = [kind for kind in KINDS if kind != "transcoder"]


def topk(scores_BF: torch.Tensor, k: int) -> torch.Tensor:
    found = scores_BF.topk(k)
    return torch.zeros_like(scores_BF).scatter(1, found.indices, found.values.relu())


def saelens_forward(folder: Path, raw_BD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The formula of SAELens 6.54's TopKSAE and JumpReLUSAE."""
    config = json.loads((folder / "cfg.json").read_text())
    weights = load_file(folder / "sae_weights.safetensors")
    scores_BF = (raw_BD - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    if config["architecture"] == "topk":
        codes_BF = topk(scores_BF, config["k"])
    else:
        codes_BF = scores_BF.relu() * (scores_BF > weights["threshold"])
    return codes_BF, codes_BF @ weights["W_dec"] + weights["b_dec"]


def sparsify_forward(folder: Path, raw_BD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The formula of sparsify 1.3's SparseCoder."""
    config = json.loads((folder / "cfg.json").read_text())
    weights = load_file(folder / "sae.safetensors")
    x_BD = raw_BD if config["transcode"] else raw_BD - weights["b_dec"]
    scores_BF = torch.relu(x_BD @ weights["encoder.weight"].T + weights["encoder.bias"])
    codes_BF = topk(scores_BF, config["k"])
    return codes_BF, codes_BF @ weights["W_dec"] + weights["b_dec"]


@pytest.mark.parametrize("kind", SAES)
def test_saelens_has_the_same_codes_and_the_raw_reconstruction(kind: str, tmp_path: Path):
    case = Case(kind)
    save_saelens(case.dictionary, tmp_path)
    case.check(*saelens_forward(tmp_path, case.raw_BD))


@pytest.mark.parametrize("kind", ["topk", "archetypal", "transcoder"])
def test_sparsify_has_the_same_codes_and_the_raw_reconstruction(kind: str, tmp_path: Path):
    case = Case(kind)
    place = save_sparsify(case.dictionary, tmp_path)
    case.check(*sparsify_forward(place, case.raw_BD))
    assert place.name == ("layers.3" if kind == "transcoder" else "layers.2")


@pytest.mark.parametrize("kind", SAES)
def test_from_saelens_it_comes_back(kind: str, tmp_path: Path):
    case = Case(kind)
    dictionary = case.dictionary
    save_saelens(dictionary, tmp_path)
    on_raw = load_saelens(tmp_path)
    codes = on_raw.encode(case.raw_BD)
    case.check(codes.dense(), on_raw.decode(codes))

    back = load_saelens(tmp_path, standardisations(dictionary)[0])
    assert isinstance(back, TopK if kind in ("topk", "archetypal") else JumpReLU)
    assert back.settings.active == K
    assert back.origin == dictionary.origin
    for name in ("encoder_FD", "encoder_bias_F", "decoder_FD", "decoder_bias_D"):
        torch.testing.assert_close(
            getattr(back, name), getattr(dictionary, name), rtol=1e-4, atol=1e-4
        )
    torch.testing.assert_close(back.decoder_FD.norm(dim=1), torch.ones(F))


@pytest.mark.parametrize("kind", ["topk", "transcoder"])
def test_from_sparsify_it_comes_back(kind: str, tmp_path: Path):
    case = Case(kind)
    dictionary = case.dictionary
    place = save_sparsify(dictionary, tmp_path)
    (tmp_path / "config.json").write_text('{"model": "owner/model"}')
    on_raw = load_sparsify(place)
    codes = on_raw.encode(case.raw_BD)
    case.check(codes.dense(), on_raw.decode(codes))

    read, written = standardisations(dictionary)
    back = load_sparsify(place, read, written=written)
    assert back.settings.kind == kind
    assert back.origin == dictionary.origin
    for name, tensor in dictionary.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], tensor, rtol=1e-4, atol=1e-4)


def test_saelens_is_told_what_its_loader_asks_for(tmp_path: Path):
    save_saelens(
        Case("matryoshka").dictionary, tmp_path, metadata={"context_size": 128, "prepend_bos": True}
    )
    config = json.loads((tmp_path / "cfg.json").read_text())
    metadata = config.pop("metadata")
    # The fields of SAELens 6.54's JumpReLUSAEConfig, and the names that its loader passes on.
    assert config == {
        "architecture": "jumprelu",
        "d_in": D,
        "d_sae": F,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
    }
    assert metadata["sae_lens_version"] >= "6"
    assert metadata["model_name"] == "owner/model"
    assert metadata["hook_name"] == "blocks.2.hook_resid_post"
    assert metadata["training_architecture"] == "matryoshka_batchtopk"
    assert (metadata["context_size"], metadata["prepend_bos"]) == (128, True)


def test_hooks_and_layers():
    assert [hook_of_layer(n) for n in (0, 1, 12)] == [
        "blocks.0.hook_resid_pre",
        "blocks.0.hook_resid_post",
        "blocks.11.hook_resid_post",
    ]
    assert [layer_of_hook(hook_of_layer(n)) for n in (0, 1, 12)] == [0, 1, 12]
    assert layer_of_hook("blocks.5.hook_resid_pre") == layer_of_hook("blocks.4.hook_resid_post")


def foreign(folder: Path, config: dict, **more: torch.Tensor) -> None:
    """A SAELens dictionary of another's making, with decoder rows of any norm."""
    rng = torch.Generator().manual_seed(4)
    weights = {
        "W_enc": torch.randn(D, F, generator=rng),
        "W_dec": torch.randn(F, D, generator=rng),
        "b_dec": torch.randn(D, generator=rng),
        **more,
    }
    save_file(weights, folder / "sae_weights.safetensors")
    config = {"d_in": D, "d_sae": F, "metadata": {"sae_lens_version": "6.54.12"}} | config
    (folder / "cfg.json").write_text(json.dumps(config))


def test_saelens_topk_that_rescales_by_decoder_norm(tmp_path: Path):
    bias_F = torch.randn(F)
    config = {"architecture": "topk", "k": K, "rescale_acts_by_decoder_norm": True}
    foreign(tmp_path, config, b_enc=bias_F)
    dictionary = load_saelens(tmp_path)
    weights = load_file(tmp_path / "sae_weights.safetensors")
    x_BD = torch.randn(B, D)
    norms_F = weights["W_dec"].norm(dim=1)
    scores_BF = (x_BD - weights["b_dec"]) @ weights["W_enc"] + bias_F
    codes_BF = topk(scores_BF * norms_F, K)
    codes = dictionary.encode(x_BD)
    torch.testing.assert_close(codes.dense(), codes_BF, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        dictionary.decode(codes),
        (codes_BF / norms_F) @ weights["W_dec"] + weights["b_dec"],
        rtol=1e-4,
        atol=1e-4,
    )
    assert dictionary.origin is None


def test_saelens_gated_is_a_jumprelu(tmp_path: Path):
    gate_F, mag_F, log_F = torch.randn(F), torch.randn(F), 0.5 * torch.randn(F)
    config = {"architecture": "gated", "apply_b_dec_to_input": False}
    foreign(tmp_path, config, b_gate=gate_F, b_mag=mag_F, r_mag=log_F)
    weights = load_file(tmp_path / "sae_weights.safetensors")
    x_BD = torch.randn(B, D)
    score_BF = x_BD @ weights["W_enc"]
    codes_BF = (score_BF + gate_F > 0) * (score_BF * log_F.exp() + mag_F).relu()
    dictionary = load_saelens(tmp_path)
    found_BF = dictionary.encode(x_BD).dense()
    torch.testing.assert_close(found_BF, codes_BF, rtol=1e-4, atol=1e-4)


def test_saelens_of_before_version_6(tmp_path: Path):
    foreign(
        tmp_path,
        {
            "activation_fn_str": "topk",
            "activation_fn_kwargs": {"k": K},
            "model_name": "gpt2",
            "hook_name": "blocks.7.hook_resid_pre",
            "normalize_activations": False,
            "metadata": None,
        },
        b_enc=torch.zeros(F),
        scaling_factor=torch.ones(F),
    )
    dictionary = load_saelens(tmp_path)
    assert isinstance(dictionary, TopK)
    assert dictionary.settings.active == K
    assert dictionary.origin == Origin(model="gpt2", layer=7)


def broken_saelens(change: dict, tmp_path: Path) -> None:
    save_saelens(Case("topk").dictionary, tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps(config | change))
    load_saelens(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "temporal"}, "unknown architecture 'temporal'"),
        ({"architecture": "transcoder"}, "unknown architecture 'transcoder'"),
        ({"normalize_activations": "layer_norm"}, "normalised by 'layer_norm'"),
        ({"reshape_activations": "hook_z"}, "reshaped by 'hook_z'"),
        ({"d_sae": F + 1}, r"'W_enc' is \[16, 64\], .* \[16, 65\]"),
        ({"d_in": "many"}, "d_in should be a whole number"),
        ({"k": 0}, "k should be a whole number"),
        ({"architecture": "jumprelu"}, "no tensor 'threshold'"),
        ({"metadata": {"hook_name": "blocks.1.attn.hook_z"}}, "reads the residual stream"),
        ({"metadata": "none"}, "metadata should be a JSON object"),
        ({"metadata": {"toprope": 5}}, "metadata.toprope should be a JSON object"),
        ({"metadata": {"toprope": {"origin": {"model": 5}}}}, "metadata.toprope"),
    ],
)
def test_what_saelens_folder_cant_be_read(change: dict, message: str, tmp_path: Path):
    with pytest.raises(UserError, match=message) as said:
        broken_saelens(change, tmp_path)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "groupmax"}, "activation 'groupmax'"),
        ({"skip_connection": True}, "skip connection"),
        ({"num_latents": 0, "expansion_factor": 2}, r"'encoder.weight' is \[64, 16\]"),
        ({"k": None}, "k should be a whole number"),
    ],
)
def test_what_sparsify_folder_cant_be_read(change: dict, message: str, tmp_path: Path):
    place = save_sparsify(Case("topk").dictionary, tmp_path)
    config = json.loads((place / "cfg.json").read_text())
    (place / "cfg.json").write_text(json.dumps(config | change))
    with pytest.raises(UserError, match=message):
        load_sparsify(place)


@pytest.mark.parametrize("load", [load_saelens, load_sparsify])
def test_foreign_and_damaged_folders(load: Callable[[Path], Dictionary], tmp_path: Path):
    with pytest.raises(UserError, match=r"cfg.json is missing"):
        load(tmp_path)
    (tmp_path / "cfg.json").write_text("{")
    with pytest.raises(UserError, match="isn't JSON"):
        load(tmp_path)
    (tmp_path / "cfg.json").write_text("[]")
    with pytest.raises(UserError, match="JSON object"):
        load(tmp_path)
    with pytest.raises(UserError, match="is a file"):
        load(tmp_path / "cfg.json")


@pytest.mark.parametrize("tool", ["saelens", "sparsify"])
def test_weights_that_are_cut_or_no_numbers(tool: str, tmp_path: Path):
    if tool == "saelens":
        save_saelens(Case("topk").dictionary, tmp_path)
        path, load = tmp_path / "sae_weights.safetensors", load_saelens
    else:
        path = save_sparsify(Case("topk").dictionary, tmp_path) / "sae.safetensors"
        load = load_sparsify
    whole = load_file(path)
    save_file({**whole, "b_dec": torch.full((D,), torch.nan)}, path)
    with pytest.raises(UserError, match="'b_dec' has numbers that aren't finite"):
        load(path.parent)
    save_file({**whole, "W_skip": torch.zeros(D, D)}, path)
    with pytest.raises(UserError, match="W_skip"):
        load(path.parent)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match="damaged"):
        load(path.parent)
    path.unlink()
    with pytest.raises(UserError, match="is missing"):
        load(path.parent)


def test_what_a_format_cant_hold_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="export this one in sparsify's format"):
        save_saelens(Case("transcoder").dictionary, tmp_path)
    with pytest.raises(UserError, match="no thresholds"):
        save_sparsify(Case("jumprelu").dictionary, tmp_path)
    far = Case("transcoder").dictionary
    far.origin = Origin(model="m", layer=3, output_layer=6)
    with pytest.raises(UserError, match="no module does"):
        save_sparsify(far, tmp_path)
    far.origin = None
    with pytest.raises(UserError, match="name the hookpoint"):
        save_sparsify(far, tmp_path)
    assert not list(tmp_path.iterdir())
    place = save_sparsify(Case("topk").dictionary, tmp_path, hookpoint="layers.2.mlp")
    with pytest.raises(UserError, match="residual stream"):
        load_sparsify(place)


def test_a_standardisation_of_another_model(tmp_path: Path):
    save_saelens(Case("topk").dictionary, tmp_path)
    with pytest.raises(UserError, match="16 channels, and the standardisation has 8"):
        load_saelens(tmp_path, Standardisation.none(8))

"""Dictionaries in SAELens's format (github.com/decoderesearch/SAELens, 6.x), out and in: `cfg.json`
and `sae_weights.safetensors`.

TopK goes out as "topk"; BatchTopK, Matryoshka and JumpReLU as "jumprelu", which is how SAELens
itself keeps what it trained by batch. Standardisation is in the weights (see `affine.py`), so that
the exported one reads raw activations: `normalize_activations` is "none". Its decoder rows aren't
of unit norm, which SAELens allows: `rescale_acts_by_decoder_norm` is false, as TopK would otherwise
choose by activation times norm. (`fold_W_dec_norm` is refused by SAELens's TopK then; its JumpReLU
takes it.)

In come "topk", "jumprelu", "standard" (ReLU) and "gated", the last two as JumpReLU. Transcoders
don't: SAELens's have ReLU or JumpReLU, ours TopK (EleutherAI's sparsify has the same).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from toprope.errors import UserError, unknown
from toprope.techniques.interpretability.dictionaries.batch_topk import BatchTopK
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary, Origin
from toprope.techniques.interpretability.dictionaries.jumprelu import JumpReLU, JumpReLUSettings
from toprope.techniques.interpretability.dictionaries.topk import TopK, TopKSettings
from toprope.techniques.interpretability.dictionaries.transcoder import Transcoder
from toprope.techniques.interpretability.exchange.affine import Affine, Standardisation
from toprope.techniques.interpretability.exchange.files import (
    CONFIG,
    number,
    read_config,
    read_weights,
    taken,
    write,
)

WEIGHTS = "sae_weights.safetensors"
VERSION = "6.0.0"
"""Of the format. Without one in the metadata, SAELens takes the file for an older one and drops the
metadata's names."""

TRAINED_AS = {
    "topk": "topk",
    "archetypal": "topk",
    "batch_topk": "batchtopk",
    "matryoshka": "matryoshka_batchtopk",
    "jumprelu": "jumprelu",
}
"""What SAELens calls our kinds."""

READ = ("topk", "jumprelu", "standard", "gated")


def save_saelens(
    dictionary: Dictionary,
    folder: Path,
    *,
    model_name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Writes the dictionary as SAELens's `SAE.load_from_disk` reads it.

    Args:
        model_name: what TransformerLens calls the model; by default the origin's name, without its
            "hf:".
        metadata: more of it, such as context_size, prepend_bos and dataset_path, which SAELens asks
            for when it makes activations itself.

    Raises:
        UserError: it's a transcoder, or the folder can't be written.
    """
    if isinstance(dictionary, Transcoder):
        raise UserError(
            "SAELens has no transcoder with TopK: export this one in sparsify's format, which has"
        )
    affine = Affine.of(dictionary)
    config: dict[str, Any] = {
        "d_in": dictionary.d_model,
        "d_sae": dictionary.width,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": _metadata(dictionary, model_name) | dict(metadata or {}),
    }
    weights = {
        "W_enc": affine.encoder_FD.T,
        "b_enc": affine.encoder_bias_F(subtracted=True),
        "W_dec": affine.decoder_FD,
        "b_dec": affine.decoder_bias_D,
    }
    if isinstance(dictionary, TopK):
        config |= {
            "architecture": "topk",
            "k": dictionary.settings.active,
            "rescale_acts_by_decoder_norm": False,
        }
    else:
        config["architecture"] = "jumprelu"
        weights["threshold"] = thresholds(dictionary)
    write(folder, config, weights, WEIGHTS)


def load_saelens(folder: Path, standardisation: Standardisation | None = None) -> Dictionary:
    """The dictionary that a SAELens folder holds, with its codes and its reconstruction.

    Args:
        standardisation: of the capture that it will read; by default it reads raw activations. Rows
            of its decoder are of unit norm only if it was trained on activations standardised so.

    Raises:
        UserError: the folder holds none, a damaged one, or one that toprope can't express.
    """
    path = folder / CONFIG
    config = read_config(folder, "SAELens")
    architecture = _architecture(config)
    if architecture not in READ:
        raise unknown("architecture", str(architecture), READ, where=f"'{path}'")
    _check_plain(config, path)
    D, F = number(config, "d_in", path), number(config, "d_sae", path)
    standardisation = standardisation or Standardisation.none(D)
    if len(standardisation.mean_D) != D:
        raise UserError(
            f"the dictionary in '{folder}' reads {D} channels, and the standardisation has "
            f"{len(standardisation.mean_D)}: take the capture of the dictionary's own model"
        )
    encoder_FD, bias_F, decoder_FD, decoder_bias_D, threshold_F = _weights(
        folder / WEIGHTS, architecture, D, F
    )
    if architecture == "topk" and config.get("rescale_acts_by_decoder_norm"):
        # Chosen by activation times norm, decoded by rows of unit norm.
        norms_F = decoder_FD.norm(dim=1)
        encoder_FD, bias_F = encoder_FD * norms_F[:, None], bias_F * norms_F
        decoder_FD = torch.nn.functional.normalize(decoder_FD)
    affine = Affine.with_input_bias(
        encoder_FD,
        bias_F,
        decoder_FD,
        decoder_bias_D,
        subtracted=bool(config.get("apply_b_dec_to_input", True)),
    )
    dictionary = _empty(config, architecture, D, F, path)
    affine.put_into(dictionary, standardisation, standardisation)
    if isinstance(dictionary, JumpReLU):
        with torch.no_grad():
            dictionary.log_threshold_F.copy_(threshold_F.clamp_min(0).log())
    return dictionary.eval()


def thresholds(dictionary: Dictionary) -> Tensor:
    """[F]: what each latent's pre-activation has to be over."""
    if isinstance(dictionary, JumpReLU):
        return dictionary.log_threshold_F.detach().exp()
    if isinstance(dictionary, BatchTopK):
        return dictionary.threshold.expand(dictionary.width)
    raise UserError(f"a dictionary of kind '{dictionary.settings.kind}' has no thresholds")


def hook_of_layer(layer: int) -> str:
    """TransformerLens's name for the residual stream at a layer: it numbers blocks from 0, and a
    layer here is what that many blocks put out."""
    return f"blocks.{layer - 1}.hook_resid_post" if layer else "blocks.0.hook_resid_pre"


def layer_of_hook(hook: str) -> int:
    """
    Raises:
        UserError: it isn't the residual stream between blocks.
    """
    found = re.fullmatch(r"blocks\.(\d+)\.hook_resid_(pre|post)", hook)
    if not found:
        raise UserError(
            f"a dictionary of '{hook}' can't be used: toprope reads the residual stream between "
            "blocks, blocks.N.hook_resid_post or hook_resid_pre"
        )
    return int(found[1]) + (found[2] == "post")


def _metadata(dictionary: Dictionary, model_name: str | None) -> dict[str, Any]:
    settings, origin = dictionary.settings, dictionary.origin
    found: dict[str, Any] = {
        "sae_lens_version": VERSION,
        "sae_lens_training_version": None,
        "model_from_pretrained_kwargs": {},  # as it is: SAELens loads models without processing
        "training_architecture": TRAINED_AS[settings.kind],
        "toprope": {
            "active": settings.active,
            "origin": origin.model_dump() if origin else None,
        },
    }
    if name := model_name or (origin.model.removeprefix("hf:") if origin else None):
        found["model_name"] = name
    if origin:
        found["hook_name"] = hook_of_layer(origin.layer)
    return found


def _architecture(config: Mapping[str, Any]) -> Any:
    """Before version 6 a TopK was a standard one with another activation function."""
    activation = config.get("activation_fn") or config.get("activation_fn_str")
    return "topk" if activation == "topk" else config.get("architecture", "standard")


def _check_plain(config: Mapping[str, Any], path: Path) -> None:
    normalised = config.get("normalize_activations") or "none"
    if normalised != "none":
        raise UserError(
            f"'{path}': activations normalised by '{normalised}' aren't supported: fold the "
            "normalisation into the weights first (SAELens: fold_activation_norm_scaling_factor)"
        )
    shape = config.get("reshape_activations") or "none"
    if shape != "none":
        raise UserError(
            f"'{path}': activations reshaped by '{shape}' aren't supported: toprope reads the "
            "residual stream"
        )


def _weights(
    path: Path, architecture: str, D: int, F: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Encoder [F, D], its bias, decoder, its bias, thresholds."""
    weights = read_weights(path, "SAELens")
    scaling_F = weights.get("scaling_factor")
    if scaling_F is not None and bool((scaling_F == 1).all()):
        del weights["scaling_factor"]  # older versions kept one that does nothing
    shapes: dict[str, tuple[int, ...]] = {"W_enc": (D, F), "W_dec": (F, D), "b_dec": (D,)}
    if architecture == "gated":
        shapes |= {"b_gate": (F,), "b_mag": (F,), "r_mag": (F,)}
        found = taken(weights, shapes, path)
        encoder_DF, decoder_FD, bias_D, gate_F, mag_F, log_F = (one.double() for one in found)
        # On while w x + gate > 0, with value r w x + mag, r = exp(log) > 0: so over mag - r gate.
        grown_F = log_F.exp()
        return (encoder_DF * grown_F).T, mag_F, decoder_FD, bias_D, mag_F - grown_F * gate_F
    shapes["b_enc"] = (F,)
    if architecture == "jumprelu":
        shapes["threshold"] = (F,)
    found = taken(weights, shapes, path)
    encoder_DF, decoder_FD, bias_D, bias_F, *more = (one.double() for one in found)
    return encoder_DF.T, bias_F, decoder_FD, bias_D, more[0] if more else torch.zeros(F)


def _empty(
    config: Mapping[str, Any], architecture: str, D: int, F: int, path: Path
) -> TopK | JumpReLU:
    metadata = config.get("metadata") or config
    if not isinstance(metadata, dict):
        raise UserError(f"'{path}': metadata should be a JSON object, not {metadata!r}")
    own = metadata.get("toprope") or {}
    if not isinstance(own, dict):
        raise UserError(f"'{path}': metadata.toprope should be a JSON object, not {own!r}")
    origin = _origin(metadata, own, path)
    if architecture == "topk":
        holder = config if "k" in config else config.get("activation_fn_kwargs") or {}
        active = number(holder, "k", path)
        return TopK(TopKSettings(width=F, d_model=D, active=active), origin)
    active = number(own, "active", path) if "active" in own else min(F, 32)
    return JumpReLU(JumpReLUSettings(width=F, d_model=D, active=active), origin)


def _origin(metadata: Mapping[str, Any], own: Mapping[str, Any], path: Path) -> Origin | None:
    """What is known of where it comes from; a dictionary of our own says more."""
    try:
        if own.get("origin"):
            return Origin.model_validate(own["origin"])
    except ValidationError as error:
        raise UserError(f"'{path}': metadata.toprope: {error.errors()[0]['msg']}") from None
    hook = metadata.get("hook_name") or metadata.get("hook_point")
    if not hook:
        return None
    name = str(metadata.get("model_name") or "")
    return Origin(model=f"hf:{name}" if "/" in name else name, layer=layer_of_hook(str(hook)))

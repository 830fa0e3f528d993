"""Dictionaries in the format of EleutherAI's sparsify (eai-sparsify 1.x, github.com/EleutherAI/
sparsify), out and in: `cfg.json` and `sae.safetensors` in a folder that is named by the hookpoint.

A hookpoint is a module of the transformers model, and what is read is its output: `layers.12` is
the output of the block with index 12, which is layer 13 here. A transcoder goes from a module's
input to its output. TopK is the only rule of activation that both know. Standardisation is in the
weights (see `affine.py`), and `normalize_decoder` is false, so that sparsify leaves the decoder's
rows as they are.

The format doesn't say which model a dictionary belongs to; a training run's folder does, in the
`config.json` beside the hookpoints' folders.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from toprope.errors import UserError
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary, Origin
from toprope.techniques.interpretability.dictionaries.topk import TopK, TopKSettings
from toprope.techniques.interpretability.dictionaries.transcoder import (
    Transcoder,
    TranscoderSettings,
)
from toprope.techniques.interpretability.exchange.affine import Affine, Standardisation
from toprope.techniques.interpretability.exchange.files import (
    CONFIG,
    number,
    read_config,
    read_weights,
    taken,
    write,
)

WEIGHTS = "sae.safetensors"
RUN = "config.json"


def save_sparsify(dictionary: Dictionary, folder: Path, *, hookpoint: str | None = None) -> Path:
    """Writes the dictionary as sparsify's `SparseCoder.load_from_disk` reads it.

    Args:
        folder: of the run; `SparseCoder.load_many(folder, local=True)` finds all that are in it.
        hookpoint: the module; by default `layers.N`, which is right for Llama, Qwen, Gemma, Mistral
            and GPT-NeoX (GPT-2: `h.N`).

    Returns:
        The folder of the dictionary, `folder/hookpoint`.

    Raises:
        UserError: it isn't a TopK or a transcoder, no hookpoint is its place, or the folder can't
            be written.
    """
    if not isinstance(dictionary, TopK):
        raise UserError(
            f"sparsify's format has no thresholds, which a dictionary of kind "
            f"'{dictionary.settings.kind}' needs: export it in SAELens's format"
        )
    transcode = isinstance(dictionary, Transcoder)
    affine = Affine.of(dictionary)
    config = {
        "activation": "topk",
        "expansion_factor": max(1, dictionary.width // dictionary.d_model),
        "normalize_decoder": False,
        "num_latents": dictionary.width,
        "k": dictionary.settings.active,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": transcode,
        "d_in": dictionary.d_model,
    }
    weights = {
        "encoder.weight": affine.encoder_FD,
        "encoder.bias": affine.encoder_bias_F(subtracted=not transcode),
        "W_dec": affine.decoder_FD,
        "b_dec": affine.decoder_bias_D,
    }
    place = folder / (hookpoint or hookpoint_of(dictionary.origin))
    write(place, config, weights, WEIGHTS)
    return place


def load_sparsify(
    folder: Path,
    standardisation: Standardisation | None = None,
    *,
    written: Standardisation | None = None,
    model: str | None = None,
) -> Dictionary:
    """The TopK or transcoder that a hookpoint's folder holds, with its codes and reconstruction.

    Args:
        standardisation: of the capture that it will read; by default it reads raw activations.
        written: of what a transcoder writes; by default as what it reads.
        model: the name toprope knows the model by; by default the one in the run's config.json.

    Raises:
        UserError: the folder holds none, a damaged one, or one that toprope can't express.
    """
    path = folder / CONFIG
    config = read_config(folder, "sparsify")
    if "d_in" not in config or "k" not in config:
        raise UserError(f"'{path}' isn't sparsify's: it should say d_in and k")
    D, K = number(config, "d_in", path), number(config, "k", path)
    activation = config.get("activation", "topk")
    if activation != "topk":
        raise UserError(f"'{path}': activation '{activation}' isn't supported: only 'topk' is")
    if config.get("skip_connection"):
        raise UserError(f"'{path}': a skip connection isn't supported")
    transcode = bool(config.get("transcode"))
    F = _width(config, D, path)
    read = standardisation or Standardisation.none(D)
    written = written or read
    if len(read.mean_D) != D or len(written.mean_D) != D:
        raise UserError(
            f"the dictionary in '{folder}' reads {D} channels, and the standardisation has "
            f"{len(read.mean_D)}: take the capture of the dictionary's own model"
        )
    shapes = {"encoder.weight": (F, D), "encoder.bias": (F,), "W_dec": (F, D), "b_dec": (D,)}
    at = folder / WEIGHTS
    encoder_FD, bias_F, decoder_FD, bias_D = taken(read_weights(at, "sparsify"), shapes, at)
    origin = _origin(folder, model, transcode)
    dictionary = (
        Transcoder(TranscoderSettings(width=F, d_model=D, active=K), origin)
        if transcode
        else TopK(TopKSettings(width=F, d_model=D, active=K), origin)
    )
    affine = Affine.with_input_bias(
        encoder_FD, bias_F, decoder_FD, bias_D, subtracted=not transcode
    )
    affine.put_into(dictionary, read, written)
    return dictionary.eval()


def hookpoint_of(origin: Origin | None) -> str:
    """`layers.N` for a layer N + 1.

    Raises:
        UserError: the origin isn't known, is the embedding, or is a transcoder's that doesn't go
            from a block's input to its output.
    """
    if origin is None:
        raise UserError(
            "where this dictionary's activations come from isn't known: name the hookpoint, such "
            "as layers.12"
        )
    if origin.output_layer is not None:
        if origin.output_layer != origin.layer + 1:
            raise UserError(
                f"sparsify's transcoders go from a module's input to its output, and this one from "
                f"layer {origin.layer} to layer {origin.output_layer}: no module does; name the "
                "hookpoint to export it all the same"
            )
        return f"layers.{origin.layer}"
    if origin.layer == 0:
        raise UserError(
            "layer 0 is the embedding's output, which models name differently: name the hookpoint, "
            "such as embed_tokens"
        )
    return f"layers.{origin.layer - 1}"


def _width(config: dict[str, Any], D: int, path: Path) -> int:
    """Where num_latents is 0, the expansion factor says it."""
    if config.get("num_latents"):
        return number(config, "num_latents", path)
    return D * number(config, "expansion_factor", path)


def _origin(folder: Path, model: str | None, transcode: bool) -> Origin | None:
    """From the folder's name, which says the block, and the run's configuration.

    Raises:
        UserError: the name is of a part of a block.
    """
    hookpoint = folder.resolve().name
    block = re.fullmatch(r"(?:[a-z_]+\.)*(?:layers|h|blocks)\.(\d+)(\..+)?", hookpoint)
    if block and block[2]:
        raise UserError(
            f"a dictionary of '{hookpoint}' can't be used: toprope reads the residual stream "
            "between blocks, such as layers.12"
        )
    name = model or _model_of_run(folder.resolve().parent / RUN)
    if not name or not block:
        return None
    index = int(block[1])
    if transcode:
        return Origin(model=name, layer=index, output_layer=index + 1)
    return Origin(model=name, layer=index + 1)


def _model_of_run(path: Path) -> str | None:
    try:
        name = json.loads(path.read_text(encoding="utf-8"))["model"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a dictionary by itself: there need be no run around it
    return f"hf:{name}" if isinstance(name, str) and name.count("/") == 1 else None

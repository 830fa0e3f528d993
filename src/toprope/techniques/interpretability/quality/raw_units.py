"""A dictionary in a model's own units: what its latents and its constant part add to the residual
stream, and whether it fits the model at all."""

from __future__ import annotations

import torch
from torch import Tensor

from toprope.errors import UserError
from toprope.models.local import LocalModel
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary


def check_fit(model: LocalModel, dictionary: Dictionary) -> None:
    """
    Raises:
        UserError: the dictionary is of activations of another width than the model's.
    """
    if dictionary.d_model != model.d_model:
        raise UserError(
            f"a dictionary of {dictionary.d_model} channels doesn't fit model '{model.name}', "
            f"which has {model.d_model}: take the model that it was trained on"
        )


def check_reconstructs(dictionary: Dictionary) -> None:
    """
    Raises:
        UserError: a transcoder, which doesn't reconstruct what it reads.
    """
    if dictionary.settings.kind == "transcoder":
        raise UserError(
            "a transcoder predicts another layer than the one that it reads: give a dictionary of "
            "another kind here"
        )


def check_latent(dictionary: Dictionary, latent: int) -> None:
    """
    Raises:
        UserError: the dictionary has no such latent.
    """
    if not 0 <= latent < dictionary.width:
        raise UserError(
            f"there is no latent {latent}: the dictionary's are 0 to {dictionary.width - 1}"
        )


def directions(dictionary: Dictionary) -> Tensor:
    """[F, D]: what one unit of each latent adds to the model's own activations."""
    rows_FD = dictionary.decoder_FD.detach()
    return dictionary.restore(rows_FD) - dictionary.restore(torch.zeros_like(rows_FD[:1]))


def constant(dictionary: Dictionary) -> Tensor:
    """[D]: the model's own activation that no active latent stands for."""
    return dictionary.restore(dictionary.decoder_bias_D.detach())

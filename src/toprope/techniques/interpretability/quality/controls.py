"""A control that a dictionary is measured against: one whose decoder isn't trained.

Its directions are random and stay so; only the encoder learns. On several measures such
dictionaries score nearly as well as trained ones (Korznikov et al. 2026, arXiv 2602.14111). It
begins as every dictionary does, with an encoder alike to its decoder: an encoder that began
elsewhere would have to find the decoder first, and its scores would be too low to compare with.

Another control is a capture of a model with random weights: `toprope.models.random`.
"""

from __future__ import annotations

from typing import Any

from toprope.errors import UserError
from toprope.techniques.interpretability.dictionaries.dictionary import (
    Dictionary,
    DictionarySettings,
    make,
)


def frozen_decoder(settings: DictionarySettings | dict[str, Any]) -> Dictionary:
    """The dictionary that the settings make, with the same first weights, whose decoder training
    leaves as it is.

    Raises:
        UserError: the kind's decoder is made of data.
    """
    made = make(settings)
    if made.settings.kind == "archetypal":
        raise UserError(
            "an archetypal dictionary's decoder is made of data: there's no random one to freeze"
        )
    made.decoder_FD.requires_grad_(False)
    return made

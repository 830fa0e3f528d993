"""A dictionary's weights for a model's own activations, and back for standardised ones.

Other tools' dictionaries work on raw activations. The standardisation x = (raw - mean) / scale is
affine, so it goes into the weights:

    pre-activation f = <encoder_f / scale, raw - (bias_D * scale + mean)> + bias_f
    reconstruction   = sum of code_f * (decoder_f * scale) + (bias_D * scale + mean)

No pre-activation changes, nor their order, which TopK goes by, nor a threshold; so the codes are
the same to the rounding of float32, and the reconstruction is the raw one. A decoder row isn't of
unit norm then: to scale it back would scale the codes, and TopK would choose others. The sums are
done in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary
from toprope.techniques.interpretability.dictionaries.transcoder import Transcoder


@dataclass(frozen=True)
class Standardisation:
    """raw = mean + scale * x."""

    mean_D: Tensor
    scale_D: Tensor

    @classmethod
    def none(cls, d_model: int) -> Standardisation:
        return cls(torch.zeros(d_model), torch.ones(d_model))


@dataclass(frozen=True)
class Affine:
    """pre-activation = encoder @ x + offset; reconstruction = codes @ decoder + decoder_bias.

    All are float64, on the CPU.
    """

    encoder_FD: Tensor
    offset_F: Tensor
    decoder_FD: Tensor
    decoder_bias_D: Tensor

    @classmethod
    def of(cls, dictionary: Dictionary) -> Affine:
        """For the raw activations of the dictionary's model."""
        own = cls.with_input_bias(
            dictionary.encoder_FD,
            dictionary.encoder_bias_F,
            dictionary.decoder_FD,
            dictionary.decoder_bias_D,
            subtracted=not isinstance(dictionary, Transcoder),
        )
        read, written = standardisations(dictionary)
        mean_D, scale_D = _double(read.mean_D), _double(read.scale_D)
        encoder_FD = own.encoder_FD / scale_D
        mean_out_D, scale_out_D = _double(written.mean_D), _double(written.scale_D)
        return cls(
            encoder_FD,
            own.offset_F - encoder_FD @ mean_D,
            own.decoder_FD * scale_out_D,
            own.decoder_bias_D * scale_out_D + mean_out_D,
        )

    @classmethod
    def with_input_bias(
        cls,
        encoder_FD: Tensor,
        encoder_bias_F: Tensor,
        decoder_FD: Tensor,
        decoder_bias_D: Tensor,
        *,
        subtracted: bool,
    ) -> Affine:
        """From weights as they are usually kept.

        Args:
            subtracted: the encoder multiplies x - decoder_bias, not x.
        """
        encoder_FD, offset_F = _double(encoder_FD), _double(encoder_bias_F)
        decoder_bias_D = _double(decoder_bias_D)
        if subtracted:
            offset_F = offset_F - encoder_FD @ decoder_bias_D
        return cls(encoder_FD, offset_F, _double(decoder_FD), decoder_bias_D)

    def encoder_bias_F(self, *, subtracted: bool) -> Tensor:
        """The bias that goes with an encoder of x - decoder_bias, or of x."""
        if subtracted:
            return self.offset_F + self.encoder_FD @ self.decoder_bias_D
        return self.offset_F

    def standardised(self, read: Standardisation, written: Standardisation) -> Affine:
        """For standardised activations: the inverse of what `of` does."""
        mean_D, scale_D = _double(read.mean_D), _double(read.scale_D)
        mean_out_D, scale_out_D = _double(written.mean_D), _double(written.scale_D)
        return Affine(
            self.encoder_FD * scale_D,
            self.offset_F + self.encoder_FD @ mean_D,
            self.decoder_FD / scale_out_D,
            (self.decoder_bias_D - mean_out_D) / scale_out_D,
        )

    @torch.no_grad()
    def put_into(
        self, dictionary: Dictionary, read: Standardisation, written: Standardisation
    ) -> None:
        """Sets the dictionary's weights to these, which are for raw activations, and its
        standardisation; a transcoder's later layer has its own, `written`."""
        own = self.standardised(read, written)
        subtracted = not isinstance(dictionary, Transcoder)
        dictionary.encoder_FD.copy_(own.encoder_FD)
        dictionary.encoder_bias_F.copy_(own.encoder_bias_F(subtracted=subtracted))
        dictionary.decoder_FD.copy_(own.decoder_FD)
        dictionary.decoder_bias_D.copy_(own.decoder_bias_D)
        dictionary.mean_D.copy_(read.mean_D)
        dictionary.scale_D.copy_(read.scale_D)
        if isinstance(dictionary, Transcoder):
            dictionary.target_mean_D.copy_(written.mean_D)
            dictionary.target_scale_D.copy_(written.scale_D)


def standardisations(dictionary: Dictionary) -> tuple[Standardisation, Standardisation]:
    """Of what a dictionary reads, and of what it writes."""
    read = Standardisation(dictionary.mean_D, dictionary.scale_D)
    if isinstance(dictionary, Transcoder):
        return read, Standardisation(dictionary.target_mean_D, dictionary.target_scale_D)
    return read, read


def _double(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float64)

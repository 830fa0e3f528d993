"""Dictionaries to export, and what they do on raw activations."""

import torch

from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary, Origin, make
from toprope.techniques.interpretability.dictionaries.transcoder import Transcoder

D, F, K, B = 16, 64, 6, 128


class Case:
    """A dictionary with weights of every size, for activations far from mean 0 and scale 1.

    Attributes:
        raw_BD: such activations.
        codes_BF, raw_out_BD: what the dictionary makes of them.
    """

    def __init__(self, kind: str) -> None:
        rng = torch.Generator().manual_seed(1)
        origin = Origin(
            model="hf:owner/model", layer=3, output_layer=4 if kind == "transcoder" else None
        )
        self.dictionary = make({"kind": kind, "width": F, "d_model": D, "active": K}, origin)
        _set(self.dictionary, rng)
        x_BD = torch.randn(B, D, generator=rng)
        self.raw_BD = x_BD * self.dictionary.scale_D + self.dictionary.mean_D
        codes = self.dictionary.encode(self.dictionary.standardise(self.raw_BD))
        self.codes_BF = codes.dense()
        self.raw_out_BD = self.dictionary.restore(self.dictionary.decode(codes))
        assert self.codes_BF.count_nonzero() > B

    def check(self, codes_BF: torch.Tensor, raw_out_BD: torch.Tensor) -> None:
        """That another's codes and raw reconstruction are these."""
        torch.testing.assert_close(codes_BF, self.codes_BF, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(raw_out_BD, self.raw_out_BD, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def _set(dictionary: Dictionary, rng: torch.Generator) -> None:
    dictionary.encoder_FD.add_(0.3 * torch.randn(F, D, generator=rng))
    dictionary.encoder_bias_F.copy_(torch.randn(F, generator=rng))
    dictionary.decoder_bias_D.copy_(torch.randn(D, generator=rng))
    dictionary.mean_D.copy_(20 * torch.randn(D, generator=rng))
    dictionary.scale_D.copy_(torch.rand(D, generator=rng) * 9 + 0.1)
    if isinstance(dictionary, Transcoder):
        dictionary.target_mean_D.copy_(7 * torch.randn(D, generator=rng))
        dictionary.target_scale_D.copy_(torch.rand(D, generator=rng) + 0.5)
    for name, tensor in dictionary.state_dict().items():
        if name == "threshold":
            tensor.fill_(1.3)
        if name == "log_threshold_F":
            tensor.copy_((torch.rand(F, generator=rng) + 0.8).log())

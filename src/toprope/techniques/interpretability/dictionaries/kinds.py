"""The kinds of dictionaries by name: their settings and their class."""

from __future__ import annotations

from typing import Any

from toprope.techniques.interpretability.dictionaries.archetypal import (
    ArchetypalSettings,
    ArchetypalTopK,
)
from toprope.techniques.interpretability.dictionaries.batch_topk import (
    BatchTopK,
    BatchTopKSettings,
)
from toprope.techniques.interpretability.dictionaries.dictionary import DictionarySettings
from toprope.techniques.interpretability.dictionaries.jumprelu import JumpReLU, JumpReLUSettings
from toprope.techniques.interpretability.dictionaries.matryoshka import (
    MatryoshkaBatchTopK,
    MatryoshkaSettings,
)
from toprope.techniques.interpretability.dictionaries.topk import TopK, TopKSettings
from toprope.techniques.interpretability.dictionaries.transcoder import (
    Transcoder,
    TranscoderSettings,
)

# A kind's class takes the settings beside it.
KINDS: dict[str, tuple[type[DictionarySettings], Any]] = {
    "topk": (TopKSettings, TopK),
    "batch_topk": (BatchTopKSettings, BatchTopK),
    "matryoshka": (MatryoshkaSettings, MatryoshkaBatchTopK),
    "jumprelu": (JumpReLUSettings, JumpReLU),
    "transcoder": (TranscoderSettings, Transcoder),
    "archetypal": (ArchetypalSettings, ArchetypalTopK),
}

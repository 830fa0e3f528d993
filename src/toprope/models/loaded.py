"""The models that this process has loaded: whoever asks for the same weights gets the same ones.

A run and the evaluations that it starts, or two evaluations of one model, would else hold the
weights twice. A model lives for as long as somebody has it: nothing is kept for its own sake.
"""

import threading
from pathlib import Path
from weakref import WeakValueDictionary

import torch

from toprope.models.local import LocalModel
from toprope.models.placement import placement
from toprope.models.weights import resolve
from toprope.progress import Progress

_models: WeakValueDictionary[tuple[Path, str, torch.dtype], LocalModel] = WeakValueDictionary()
_loading = threading.Lock()


def shared(
    name: str,
    *,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    progress: Progress | None = None,
) -> LocalModel:
    """`LocalModel.load`, unless the process has the model, on this device and in this precision.

    Raises:
        UserError: the name is unknown or its weights can't be had.
    """
    device, dtype = placement(device, dtype)
    with _loading:
        key = (resolve(name, progress=progress).resolve(), device, dtype)
        model = _models.get(key)
        if model is None:
            model = LocalModel.load(name, device=device, dtype=dtype, progress=progress)
            _models[key] = model
    return model

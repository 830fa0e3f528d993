"""A network in a folder: its weights, and beside them its settings, which are written last."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from torch import nn

from toprope.errors import UserError
from toprope.files import write_tensors, write_text

Net = TypeVar("Net", bound=nn.Module)


def save(net: nn.Module, settings: BaseModel, folder: Path, what: str) -> None:
    """Writes WHAT.safetensors and WHAT.json.

    Raises:
        OSError: they can't be written.
    """
    write_tensors(folder / f"{what}.safetensors", net.state_dict())
    write_text(folder / f"{what}.json", settings.model_dump_json(indent=1) + "\n")


def load(make: Callable[[Any], Net], folder: Path, what: str, verb: str = "is") -> Net:
    """The network that `save` wrote, ready to be asked.

    Args:
        make: from the settings, as JSON gives them.
        verb: of the net's name in an error.

    Raises:
        UserError: the folder holds none, or a damaged one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights = f"{what}.safetensors"
    try:
        net = make(json.loads((folder / f"{what}.json").read_text(encoding="utf-8")))
        net.load_state_dict(load_file(folder / weights))
    except FileNotFoundError as error:
        name = Path(error.filename or weights).name
        raise UserError(f"no {what} in '{folder}': {name} is missing") from None
    except (ValueError, ValidationError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the {what} in '{folder}' {verb} damaged: {reason[:300]}") from None
    return net.eval()

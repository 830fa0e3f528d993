"""Reading and writing a folder of another tool: a JSON configuration, and weights in
safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from toprope.errors import UserError
from toprope.files import write_tensors, write_text

CONFIG = "cfg.json"


def read_config(folder: Path, tool: str) -> dict[str, Any]:
    """
    Raises:
        UserError: there is none, or it isn't a JSON object.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"no {tool} dictionary in '{folder}': {CONFIG} is missing; give the folder that has it"
        ) from None
    except NotADirectoryError:
        raise UserError(f"'{folder}' is a file: give the folder that has {CONFIG}") from None
    except OSError as error:
        raise UserError(f"can't read '{path}': {error.strerror}") from None
    except ValueError:
        raise UserError(f"'{path}' is damaged: it isn't JSON; fetch it again") from None
    if not isinstance(config, dict):
        raise UserError(f"'{path}' isn't a {tool} configuration: it should be a JSON object")
    return config


def read_weights(path: Path, tool: str) -> dict[str, Tensor]:
    """
    Raises:
        UserError: there is no such file, or it isn't whole.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(
            f"no {tool} dictionary in '{path.parent}': {path.name} is missing"
        ) from None
    except OSError as error:
        raise UserError(f"can't read '{path}': {error.strerror}") from None
    except SafetensorError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"'{path}' is damaged: {reason}; fetch it again") from None


def taken(
    weights: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], path: Path
) -> list[Tensor]:
    """The tensors of those names, which have to have those shapes and be numbers throughout.

    Raises:
        UserError: one is missing or of another shape, has a NaN or an infinity, or there are more.
    """
    found = []
    for name, shape in shapes.items():
        if name not in weights:
            raise UserError(f"'{path}' has no tensor '{name}': it has {', '.join(sorted(weights))}")
        tensor = weights[name]
        if tuple(tensor.shape) != shape:
            raise UserError(
                f"'{path}': '{name}' is {list(tensor.shape)}, and by {CONFIG} it should be "
                f"{list(shape)}"
            )
        if not tensor.isfinite().all():
            raise UserError(f"'{path}' is damaged: '{name}' has numbers that aren't finite")
        found.append(tensor)
    if more := sorted(set(weights) - set(shapes)):
        raise UserError(f"'{path}' has tensors that this kind of dictionary lacks: {more}")
    return found


def number(config: Mapping[str, Any], key: str, path: Path) -> int:
    """A whole number above zero.

    Raises:
        UserError: it isn't there, or is something else.
    """
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"'{path}': {key} should be a whole number above zero, not {value!r}")
    return value


def write(folder: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor], to: str) -> None:
    """Each file whole or not at all; the configuration comes last.

    Raises:
        UserError: the folder can't be written.
    """
    try:
        write_tensors(folder / to, {name: tensor.float() for name, tensor in weights.items()})
        write_text(folder / CONFIG, json.dumps(config, indent=1) + "\n")
    except OSError as error:
        raise UserError(f"can't write '{folder}': {error.strerror}") from error

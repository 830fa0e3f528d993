"""Checkpoints of a training: tensors as safetensors, a file a dictionary, and the counters as JSON.

The counters' file is written last and names the step whose tensors belong to it, so that a kill at
any moment leaves the last whole checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from toprope.errors import UserError
from toprope.files import write_tensors, write_text

STATE = "training.json"


@dataclass(frozen=True)
class State:
    """How far a training has come."""

    step: int
    tokens: int


class Checkpoint:
    """The checkpoint in a folder, of which there is at most one.

    Args:
        description: JSON that tells one training from another.
    """

    def __init__(self, folder: Path, description: Mapping[str, object]) -> None:
        self.folder = folder
        self.description = dict(description)
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, tensors: Mapping[str, Mapping[str, Tensor]], step: int, tokens: int) -> None:
        """Writes the tensors of each dictionary, by name, in place of the last checkpoint.

        Raises:
            OSError: the disk doesn't take them; the last checkpoint stays.
        """
        for name, of in tensors.items():
            write_tensors(self._path(name, step), of)
        state = {"step": step, "tokens": tokens, "of": self.description}
        write_text(self.folder / STATE, json.dumps(state, indent=1) + "\n")
        current = {self._path(name, step) for name in tensors}
        # Those of which a kill left a part are hidden.
        for path in self.folder.glob("*checkpoint-*"):
            if path not in current:
                path.unlink()

    def restore(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> State | None:
        """Copies the checkpoint, if there is one, into the tensors of each dictionary.

        Raises:
            UserError: it belongs to another training, or is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.folder / STATE
        if not path.exists():
            return None
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            if state["of"] != json.loads(json.dumps(self.description)):
                raise UserError(
                    f"'{self.folder}' holds a training with other settings: give another folder, "
                    "or delete this one"
                )
            for name, of in tensors.items():
                found = load_file(self._path(name, state["step"]))
                for key, value in of.items():
                    value.copy_(found[key])
            return State(state["step"], state["tokens"])
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"the checkpoint in '{self.folder}' is damaged ({reason[:200]}): delete the folder "
                "to begin again"
            ) from None

    def _path(self, name: str, step: int) -> Path:
        # A name may hold what a file's may not.
        key = hashlib.sha256(name.encode()).hexdigest()[:16]
        return self.folder / f"checkpoint-{step}-{key}.safetensors"

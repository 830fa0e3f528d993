"""PyRIT's converters (Microsoft, MIT licence) as attacks: those that turn a text into a text
without a model. They come with the optional extra: pip install 'toprope[pyrit]'.

A converter draws from Python's global random numbers; it is seeded for each request, and what was
there is put back.
"""

import inspect
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from toprope.errors import UserError
from toprope.techniques.redteam.attempts import Attempt, Case, user

MODULES = ("pyrit.converter", "pyrit.prompt_converter")
"""Where the converters are: since PyRIT 1.1, and before."""


@dataclass(frozen=True)
class Converted:
    """One converter, by its class."""

    name: str
    converter: Any
    family: str = "pyrit"
    needs_attacker: bool = False
    needs_insides: bool = False

    async def search(self, case: Case) -> AsyncGenerator[Attempt, None]:
        state = random.getstate()
        random.seed(int(case.rng.integers(2**31)))
        try:
            result = await self.converter.convert_async(
                prompt=case.behaviour.request, input_type="text"
            )
        except Exception:  # a text that this converter can't take: nothing to try
            return
        finally:
            random.setstate(state)
        if result.output_text.strip():
            yield await case.attempt(user(result.output_text))


def converters() -> list[Converted]:
    """Every converter that can be made without settings, reads a text and writes a text.

    Raises:
        UserError: PyRIT isn't installed.
    """
    module = _module()
    found = []
    for name in sorted(getattr(module, "__all__", dir(module))):
        kind = getattr(module, name, None)
        if not inspect.isclass(kind) or not name.endswith("Converter") or name in NEED_A_FILE:
            continue
        try:
            converter = kind()
        except Exception:  # it needs settings, a model, a key or another package
            continue
        types = (getattr(kind, "SUPPORTED_INPUT_TYPES", ("text",)), _outputs(kind))
        if all("text" in some for some in types):
            found.append(Converted(name.removesuffix("Converter"), converter))
    if not found:
        raise UserError("PyRIT has no converters that run without a model: is it a newer version?")
    return found


NEED_A_FILE = {"PDFConverter", "WordDocConverter", "QRCodeConverter"}
"""They write files into PyRIT's own memory."""


def _outputs(kind: Any) -> Any:
    return getattr(kind, "SUPPORTED_OUTPUT_TYPES", ("text",))


def _module() -> Any:
    for name in MODULES:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise UserError("the attack 'pyrit' needs PyRIT: pip install 'toprope[pyrit]'")

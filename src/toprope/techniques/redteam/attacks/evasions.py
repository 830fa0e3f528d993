"""Evasions: attacks on a target that has a filter: the request in pieces that it puts together
(reconstruction), and answers in a form that the filter may not know (output encoding); the two
kinds that were left against the first constitutional classifiers (Cunningham et al. 2026, arXiv
2601.04603).
"""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from importlib.resources import files

import yaml

from toprope.techniques.redteam.attempts import Attempt, Case, user

SLOT = "{request}"
PIECE = 3
"""Words in a piece."""


@dataclass(frozen=True)
class Evasion:
    """One of them.

    Attributes:
        form: how the request is written, a name of `FORMS`.
        text: with the request where `SLOT` is.
    """

    family: str
    name: str
    form: str
    text: str
    needs_attacker: bool = False
    needs_insides: bool = False

    def framed(self, request: str) -> str:
        return self.text.replace(SLOT, FORMS[self.form](request))

    async def search(self, case: Case) -> AsyncGenerator[Attempt, None]:
        yield await case.attempt(user(self.framed(case.behaviour.request)))


def built_in() -> dict[str, list[Evasion]]:
    """Family -> its members."""
    text = files("toprope.techniques.redteam.attacks").joinpath("evasions.yaml").read_text("utf-8")
    content = yaml.safe_load(text)
    return {
        family: [Evasion(family, **one) for one in members] for family, members in content.items()
    }


def _pieces(request: str) -> str:
    words = request.split()
    parts = [" ".join(words[at : at + PIECE]) for at in range(0, len(words), PIECE)]
    lines = [f"part_{i} = {part!r}" for i, part in enumerate(parts, 1)]
    names = ", ".join(f"part_{i}" for i in range(1, len(parts) + 1))
    return "\n".join([*lines, f"parts = [{names}]"])


def _lines(request: str) -> str:
    return "\n".join(request.split())


FORMS: dict[str, Callable[[str], str]] = {"whole": str, "pieces": _pieces, "lines": _lines}

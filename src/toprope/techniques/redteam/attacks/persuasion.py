"""Persuasion (Zeng et al. 2024, arXiv 2401.06373): the request rewritten by a technique of
persuasion. The techniques are data: a few come along, and a file may bring the paper's forty.
"""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import yaml

from toprope.data.files import read_bytes
from toprope.errors import UserError
from toprope.techniques.redteam.attacks.writing import prompt, written
from toprope.techniques.redteam.attempts import Attempt, Case, user

FIELDS = ("ss_technique", "ss_definition", "ss_example")
"""The columns of the paper's own file."""


@dataclass(frozen=True)
class Persuasion:
    name: str
    definition: str
    example: str
    family: str = "persuasion"
    needs_attacker: bool = True
    needs_insides: bool = False

    async def search(self, case: Case) -> AsyncGenerator[Attempt, None]:
        assert case.attacker is not None
        asked = prompt(
            "persuade",
            technique=self.name,
            definition=self.definition,
            example=self.example,
            objective=case.behaviour.request,
        )
        seed = int(case.rng.integers(2**31))
        message = await written(case.attacker, user(asked), "prompt", seed=seed)
        if message:
            yield await case.attempt(user(message))


def built_in() -> list[Persuasion]:
    path = files("toprope.techniques.redteam.attacks").joinpath("techniques.yaml")
    return [Persuasion(**one) for one in yaml.safe_load(path.read_text(encoding="utf-8"))]


def from_file(path: str, *, root: Path) -> list[Persuasion]:
    """Techniques of a JSON-lines file with the columns of the paper's.

    Raises:
        UserError: no such file, or a line that isn't as described.
    """
    found = []
    content = read_bytes(path, root=root).decode("utf-8", errors="replace")
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name, definition, example = (str(row[field]) for field in FIELDS)
            found.append(Persuasion(name, definition, example))
        except (json.JSONDecodeError, KeyError, TypeError):
            raise UserError(
                f"{path} line {number}: expected a JSON object with {', '.join(FIELDS)}"
            ) from None
    if not found:
        raise UserError(f"{path}: no techniques in it")
    return found

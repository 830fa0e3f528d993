"""Templates: fixed framings of a request, as data (Wei et al. 2023, arXiv 2307.02483; Shen et al.
2023, arXiv 2308.03825, for those found in the wild).

A file of `templates/` is a family: its templates are turns of a conversation, with `{behaviour}`
where the request goes. Only the last turn is an attempt; the target answers those before it.
"""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import yaml

from toprope.data.files import read_bytes
from toprope.errors import UserError
from toprope.techniques.redteam.attempts import Attempt, Case

SLOT = "{behaviour}"
PLACEHOLDERS = ("[INSERT PROMPT HERE]", "[INSERT PROMPT]", "[INSERT YOUR PROMPT HERE]", "[PROMPT]")
"""What templates found in the wild have for the slot."""


@dataclass(frozen=True)
class Templated:
    """A template.

    Attributes:
        turns: what the user says, in order.
    """

    family: str
    name: str
    turns: tuple[str, ...]
    needs_attacker: bool = False
    needs_insides: bool = False

    async def search(self, case: Case) -> AsyncGenerator[Attempt, None]:
        messages: list[dict[str, str]] = []
        for turn in self.turns[:-1]:
            messages.append({"role": "user", "content": _filled(turn, case)})
            reply = await case.ask(messages)
            if reply.is_lost:
                yield case.lost(messages, reply)
                return
            messages.append({"role": "assistant", "content": reply.text or "OK."})
        messages.append({"role": "user", "content": _filled(self.turns[-1], case)})
        yield await case.attempt(messages)


def built_in() -> dict[str, list[Templated]]:
    """Family -> its templates."""
    found = {}
    folder = files("toprope.techniques.redteam.attacks").joinpath("templates")
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if not path.name.endswith(".yaml"):
            continue
        family = path.name.removesuffix(".yaml")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        found[family] = [
            Templated(family, one["name"], tuple(one.get("turns") or [one["text"]]))
            for one in content["templates"]
        ]
    return found


def from_file(path: str, *, root: Path) -> list[Templated]:
    """Templates of a user's file: a JSON list of texts or one text a line, `.gz` allowed.

    A text without a place for the request gets it at its end.

    Raises:
        UserError: no such file, or not a list of texts.
    """
    content = read_bytes(path, root=root).decode("utf-8", errors="replace")
    if Path(path).name.removesuffix(".gz").endswith(".json"):
        try:
            texts = json.loads(content)
        except json.JSONDecodeError as error:
            raise UserError(f"{path} line {error.lineno}: not JSON: {error.msg}") from None
    else:
        texts = [line for line in content.split("\n") if line.strip()]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{path}: expected a JSON list of texts, or a text a line")
    if not texts:
        raise UserError(f"{path}: no templates in it")
    return [
        Templated("in_the_wild", f"{Path(path).name.split('.')[0]}-{i:04d}", (_with_slot(text),))
        for i, text in enumerate(texts, 1)
    ]


def _with_slot(text: str) -> str:
    for placeholder in PLACEHOLDERS:
        text = text.replace(placeholder, SLOT)
    return text if SLOT in text else f"{text}\n\n{SLOT}"


def _filled(turn: str, case: Case) -> str:
    return turn.replace(SLOT, case.behaviour.request)

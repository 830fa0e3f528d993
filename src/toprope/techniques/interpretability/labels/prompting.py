"""Prompts as data, in `prompts/`: Markdown files with `{{name}}` slots; and reading of answers."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from toprope.data import prompts

_HERE = "toprope.techniques.interpretability.labels"


@cache
def prompt_text(name: str) -> str:
    """A prompt as it is, its slots open."""
    return prompts.prompt_text(_HERE, f"prompts/{name}")


def prompt(name: str, **values: object) -> str:
    """A prompt with each slot as its value."""
    return prompts.filled(prompt_text(name), **values)


def user(text: str) -> list[dict[str, str]]:
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


def one_line(text: str) -> str:
    """A window as it stands in a prompt: line breaks are shown, and don't break the list."""
    return text.replace("\r", "").replace("\n", "↵").strip(" ")


def plain(token: str) -> str:
    """A token as a label names it: "the" and " The" are one."""
    return one_line(token).strip().lower()


@cache
def _refusals() -> tuple[str, ...]:
    path = files(_HERE).joinpath("prompts", "refusals.txt")
    return tuple(line for line in path.read_text(encoding="utf-8").split("\n") if line)


def refuses(answer: str) -> bool:
    """Whether an answer begins as refusals do. A label may hold such words further on."""
    return answer.lower().replace("\u2019", "'").lstrip(" \n\"'*").startswith(_refusals())

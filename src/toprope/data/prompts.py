"""Prompts as data: a Markdown file beside the code that uses it, with `{{name}}` slots."""

import re
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def prompt_text(package: str, name: str) -> str:
    """A prompt as it is, its slots open: NAME.md of a package."""
    return files(package).joinpath(f"{name}.md").read_text(encoding="utf-8").strip()


def filled(text: str, **values: Any) -> str:
    """The text with each slot as its value; what a value holds isn't filled again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda slot: str(values[slot[1]]), text)

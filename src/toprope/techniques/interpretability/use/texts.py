"""Texts of a file, a set of which is held against another."""

from __future__ import annotations

import json
from pathlib import Path

from toprope.errors import UserError


def read_texts(path: Path) -> list[str]:
    """A text a line; of a .jsonl file, each line's `text` or `prompt`.

    Raises:
        UserError: no such file, a line without a text, or none at all.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't read the texts in '{path}': {error}") from None
    if path.suffix == ".jsonl":
        texts = [_text(path, i, line) for i, line in enumerate(lines, 1) if line.strip()]
    else:
        texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise UserError(f"{path} holds no text: give one a line, or JSON lines with 'text'")
    return texts


def _text(path: Path, number: int, line: str) -> str:
    try:
        record = json.loads(line)
        text = record["text"] if "text" in record else record["prompt"]
    except (ValueError, KeyError, TypeError):
        text = None
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{path}, line {number}: no text; it needs 'text' or 'prompt'")
    return text

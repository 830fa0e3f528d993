"""Prompts of a garak report (JSON lines, NVIDIA/garak).

An attempt has `entry_type` "attempt" and a `prompt`: since garak 0.11 a message with a `text`, or a
conversation of `turns`; before that a plain text.
"""

import json
from pathlib import Path
from typing import Any

from toprope.data.lines import lines_of
from toprope.errors import UserError


def prompts(path: Path) -> list[str]:
    """The last user's message of every attempt of a garak report, each once, in order.

    Raises:
        UserError: no such file, a line that isn't JSON, or no attempt in it.
    """
    found: dict[str, None] = {}
    for where, line in lines_of(path):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{where}: not JSON: {error.msg}") from None
        is_attempt = isinstance(row, dict) and row.get("entry_type") == "attempt"
        if is_attempt and (text := _last_text(row.get("prompt"))):
            found[text] = None
    if not found:
        raise UserError(f"{path}: no attempt with a prompt in it; is it garak's report.jsonl?")
    return list(found)


def _last_text(prompt: Any) -> str:
    """Of a plain text, a message, or a conversation."""
    if isinstance(prompt, str):
        return prompt
    if not isinstance(prompt, dict):
        return ""
    if isinstance(prompt.get("turns"), list):
        said = [turn for turn in prompt["turns"] if turn.get("role") == "user"]
        return _last_text(said[-1].get("content")) if said else ""
    text = prompt.get("text")
    return text if isinstance(text, str) else ""

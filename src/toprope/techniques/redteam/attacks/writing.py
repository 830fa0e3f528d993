"""What attacks that a model writes have in common: its prompts as data, and reading its answers."""

import json
import re
from typing import Any

from toprope.data.prompts import filled, prompt_text
from toprope.models.chat import Chat
from toprope.techniques.redteam.attempts import Messages

ATTACKER_TOKENS = 320


def prompt(name: str, **values: Any) -> str:
    """A prompt of `prompts/`, its `{{name}}` slots filled."""
    text = prompt_text("toprope.techniques.redteam.attacks", f"prompts/{name}")
    return filled(text, **values)


async def written(attacker: Chat, messages: Messages, field: str, *, seed: int) -> str:
    """The field of the JSON object that the attacker was asked for; "" where it wrote none.

    A cut-off or badly quoted object is read as far as it goes: small models close few of theirs.
    """
    reply = await attacker.ask(messages, max_tokens=ATTACKER_TOKENS, temperature=1.0, seed=seed)
    return field_of(reply.text, field)


def field_of(text: str, field: str) -> str:
    """The text of one field of a JSON object somewhere in a text, or ""."""
    start = text.find("{")
    while start >= 0:
        try:
            found, _ = json.JSONDecoder(strict=False).raw_decode(text[start:])
        except json.JSONDecodeError:
            pass
        else:
            if isinstance(found, dict) and isinstance(found.get(field), str):
                return found[field].strip()
        start = text.find("{", start + 1)
    loose = re.search(rf'"{field}"\s*:\s*"((?:[^"\\]|\\.)*)', text, re.DOTALL)
    return loose[1].replace('\\"', '"').replace("\\n", "\n").strip() if loose else ""

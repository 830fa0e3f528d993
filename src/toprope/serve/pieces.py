"""What is read of an upstream's stream: text, the finish, and the tokens' number.

Reasoning, tool calls, log-probabilities and fields of its own stay behind, since no guard reads
them. What can't be read in full breaks the answer off: no UTF-8, no JSON, other types than the
format has, several choices.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toprope.serve.problems import ProxyError

DONE = b"[DONE]"
FINISHES = ("stop", "length", "content_filter")
TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")


@dataclass(frozen=True)
class Piece:
    """What came of an answer at once: the text of one event, or of several when they came
    together. The last piece has the finish."""

    text: str = ""
    finish: str | None = None
    usage: Mapping[str, int] | None = None


def garbage(what: str) -> ProxyError:
    return ProxyError("garbage", f"the upstream's answer can't be passed on: {what}", 502)


def pieces_of(lines: Sequence[bytes]) -> tuple[list[Piece], bool]:
    """The pieces that events hold, and whether the last event is among them.

    Raises:
        ProxyError: an event can't be read, or says that the answer has broken off.
    """
    events = [said for line in lines if (said := _said(line))]
    return [_piece(said) for said in events if said != DONE], DONE in events


def _said(line: bytes) -> bytes:
    """What an event's line says; empty for comments, and for fields that a chat doesn't use."""
    return line[5:].strip() if line.startswith(b"data:") else b""


def _piece(said: bytes) -> Piece:
    try:
        chunk = json.loads(said.decode("utf-8"))
        if chunk.get("error"):
            raise ProxyError("broken", "the upstream broke off with an error", 502)
        choices = chunk.get("choices") or []
        if len(choices) > 1 or any(choice.get("index", 0) != 0 for choice in choices):
            raise ValueError("several choices")
        choice = choices[0] if choices else {}
        text, finish = (choice.get("delta") or {}).get("content"), choice.get("finish_reason")
        if finish is not None and finish not in FINISHES:
            raise ValueError("a finish that is none of an answer of text")
        return Piece(text_of(text or ""), finish, _usage(chunk.get("usage")))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise garbage("an event can't be read") from None


def text_of(value: Any) -> str:
    """
    Raises:
        TypeError, ValueError: it's none, or has half of a character.
    """
    if not isinstance(value, str):
        raise TypeError("no text")
    value.encode("utf-8")  # half of a character in an escape
    return value


def _usage(found: Any) -> dict[str, int] | None:
    """Numbers alone; what else an upstream counts isn't passed on."""
    if not isinstance(found, dict) or not all(type(found.get(name)) is int for name in TOKENS):
        return None
    return {name: found[name] for name in TOKENS}

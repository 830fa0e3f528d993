"""The wire format of OpenAI's chat completions, as far as servers here speak it: errors, whole
answers, and streams of server-sent events.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

DONE = "data: [DONE]\n\n"
"""The last event of a stream."""

MOST_BYTES = 4_000_000
"""Of a request's body."""


class BadRequestError(Exception):
    """What is wrong with a request, for whoever sent it."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def error(message: str, status: int) -> JSONResponse:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return JSONResponse({"error": {"message": message, "type": kind, "code": status}}, status)


async def body(request: Request, most: int = MOST_BYTES) -> dict[str, Any]:
    """A request's JSON object.

    Raises:
        BadRequestError: too large, no UTF-8, or no JSON object; or the sender broke off.
    """
    read = bytearray()
    try:
        async for piece in request.stream():
            read += piece
            if len(read) > most:
                raise BadRequestError(f"the body is over {most:,} bytes", 413)
    except ClientDisconnect:
        raise BadRequestError("the request broke off") from None
    try:
        found = json.loads(read.decode("utf-8"))
        json.dumps(found, ensure_ascii=False).encode("utf-8")  # half of a character in an escape
    except (ValueError, RecursionError):
        raise BadRequestError("the body is no JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise BadRequestError("the body is no JSON object")
    return found


def messages_of(asked: Mapping[str, Any]) -> list[dict[str, str]]:
    """The conversation, as roles and texts; a message of several pieces of text is one.

    Raises:
        BadRequestError: there is none, or it isn't of text alone.
    """
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("`messages` must be a list of at least one message")
    return [_message(one, i) for i, one in enumerate(messages)]


def _message(message: Any, i: int) -> dict[str, str]:
    where = f"messages[{i}]"
    if not isinstance(message, dict):
        raise BadRequestError(f"{where} is no object")
    role, content = message.get("role"), message.get("content")
    if role == "developer":
        role = "system"
    if role not in ("system", "user", "assistant"):
        raise BadRequestError(f"{where}: the role must be system, user or assistant")
    if isinstance(content, list):
        content = "".join(_text(piece, where) for piece in content)
    if not isinstance(content, str):
        raise BadRequestError(f"{where}: the content must be text")
    return {"role": role, "content": content}


def _text(piece: Any, where: str) -> str:
    if not isinstance(piece, dict) or not isinstance(piece.get("text"), str):
        raise BadRequestError(f"{where}: only text is read here")
    return piece["text"]


def new_id() -> str:
    """Of an answer."""
    return f"chatcmpl-{secrets.token_hex(12)}"


def model_list(names: Iterable[str]) -> JSONResponse:
    models = [{"id": name, "object": "model", "created": 0} for name in names]
    return JSONResponse({"object": "list", "data": models})


@dataclass(frozen=True)
class Answer:
    """One answer on its way out, whole or in pieces."""

    model: str
    id: str = field(default_factory=new_id)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, finish: str, *, prompt_tokens: int, tokens: int) -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        return {
            **self._about("chat.completion"),
            "choices": [
                {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
            ],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": tokens,
                "total_tokens": prompt_tokens + tokens,
            },
        }

    def piece(self, text: str = "", finish: str | None = None, *, first: bool = False) -> str:
        """An event of a stream."""
        delta: dict[str, str] = {"role": "assistant", "content": ""} if first else {}
        if text:
            delta["content"] = text
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return event({**self._about("chat.completion.chunk"), "choices": [choice]})

    def _about(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def event(content: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(content)}\n\n"


def number(
    asked: Mapping[str, Any], name: str, default: float, *, low: float, high: float
) -> float:
    """A number of a request.

    Raises:
        BadRequestError: it's none, or out of bounds.
    """
    value = asked.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadRequestError(f"`{name}` must be a number from {low:g} to {high:g}")
    return value

"""What a caller asks of a proxy, and what of it goes on to the upstream.

The upstream gets what the guard has read, and settings from a list: text that the guard doesn't
read has no other way to the model, nor has the answer one in fields that it doesn't read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toprope.serve.openai import BadRequestError, messages_of, number

BOUNDS: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "max_tokens": (1, 1e9),
    "max_completion_tokens": (1, 1e9),
    "seed": (-(2**63), 2**63),
}
"""The settings that are numbers."""

READ = {"messages", "model", "n", "response_format", "stop", "stream", "stream_options", "user"}


@dataclass(frozen=True)
class Asked:
    """A call.

    Attributes:
        messages: the conversation, the answer's beginning by the caller included.
        streams: whether the answer is wanted in pieces.
        counts: whether the pieces are to end with the tokens' number.
        upstream: the body for the upstream, which is always asked for a stream: so a flag ends
            the generation, too.
    """

    model: str
    messages: list[dict[str, str]]
    streams: bool
    counts: bool
    upstream: Mapping[str, Any]


def asked_of(body: Mapping[str, Any], most_characters: int) -> Asked:
    """
    Raises:
        BadRequestError: it's malformed, too long, or asks for what a guard can't read.
    """
    for name, value in body.items():
        if name not in READ and name not in BOUNDS and value not in (None, False, [], {}):
            raise BadRequestError(f"`{name[:50]}` isn't passed on by this guard")
    if body.get("n") not in (None, 1):
        raise BadRequestError("only one choice is passed on by this guard: `n` must be 1")
    messages = messages_of(body)
    if sum(len(one["role"]) + len(one["content"]) for one in messages) > most_characters:
        raise BadRequestError(f"the conversation is over {most_characters:,} characters")
    model, options = body.get("model"), body.get("stream_options") or {}
    if not isinstance(model, str) or not model:
        raise BadRequestError("`model` must name one")
    if not isinstance(options, dict):
        raise BadRequestError("`stream_options` must be an object")
    return Asked(
        model=model,
        messages=messages,
        streams=_flag(body, "stream"),
        counts=_flag(options, "include_usage"),
        upstream={
            "model": model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            **_settings(body),
        },
    )


def _settings(body: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (low, high) in BOUNDS.items():
        if body.get(name) is not None:
            number(body, name, low, low=low, high=high)
            found[name] = body[name]
    stop = body.get("stop")
    if stop is not None:
        if not all(isinstance(one, str) for one in (stop if isinstance(stop, list) else [stop])):
            raise BadRequestError("`stop` must be a text or a list of texts")
        found["stop"] = stop
    if (user := body.get("user")) is not None:
        if not isinstance(user, str):
            raise BadRequestError("`user` must be a text")
        found["user"] = user
    if (form := body.get("response_format")) is not None:
        # A schema's names and descriptions are a prompt that the guard wouldn't read.
        if form not in ({"type": "text"}, {"type": "json_object"}):
            raise BadRequestError("`response_format` must be of type text or json_object")
        found["response_format"] = form
    return found


def _flag(asked: Mapping[str, Any], name: str) -> bool:
    value = asked.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequestError(f"`{name}` must be true or false")
    return bool(value)

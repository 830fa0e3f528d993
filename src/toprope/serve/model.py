"""A local model behind an OpenAI-compatible address, for programs that talk to nothing else.

Calls that come together are answered in one batch (`BatchQueue`). Text in, text out: no tools, no
images, one choice.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request as Http
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from toprope.errors import UserError
from toprope.models.generation import Completion, Request
from toprope.models.local import LocalModel
from toprope.models.queue import BatchQueue
from toprope.serve.leaving import unless_gone
from toprope.serve.openai import (
    DONE,
    Answer,
    BadRequestError,
    body,
    error,
    messages_of,
    model_list,
    number,
)

MAX_TOKENS = 512
"""Of an answer for which none were named."""

GONE = 499
"""The status, which nobody sees, of a call whose caller has gone (nginx's number)."""

FINISH = {"end": "stop", "stop": "stop", "length": "length", "flagged": "content_filter"}


def application(model: LocalModel) -> Starlette:
    """`/v1/chat/completions`, streaming and not; `/v1/models`; `/health`."""
    queue = BatchQueue.of(model)

    async def chat(http: Http) -> Response:
        try:
            asked = await body(http)
            if (named := asked.get("model", model.name)) != model.name:
                raise BadRequestError(f"no model '{named}' here, only '{model.name}'", 404)
            request = _request(asked, model)
        except BadRequestError as problem:
            return error(str(problem), problem.status)
        if asked.get("stream"):
            return StreamingResponse(_pieces(queue, request), media_type="text/event-stream")
        found: list[Completion] = []

        async def answering() -> None:
            found.extend(await queue.complete([request]))

        # Nothing is generated for nobody.
        if not await unless_gone(http.receive, answering()):
            return Response(status_code=GONE)
        return JSONResponse(
            Answer(model.name).whole(
                found[0].text,
                FINISH[found[0].stopped],
                prompt_tokens=found[0].prompt_tokens,
                tokens=len(found[0].tokens),
            )
        )

    async def models(_: Http) -> Response:
        return model_list([model.name])

    async def health(_: Http) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/models", models),
            Route("/health", health),
        ]
    )


def _request(asked: dict[str, Any], model: LocalModel) -> Request:
    """
    Raises:
        BadRequestError: it asks for what a local model doesn't do, or more than it can read.
    """
    for name in ("tools", "functions", "logprobs"):
        if asked.get(name):
            raise BadRequestError(f"`{name}` isn't supported here")
    if number(asked, "n", 1, low=1, high=1e9) != 1:
        raise BadRequestError("only one choice is made here: `n` must be 1")
    messages = messages_of(asked)
    prefill = messages.pop()["content"] if messages[-1]["role"] == "assistant" else ""
    if not messages:
        raise BadRequestError("there must be a message before the answer's beginning")
    try:
        request = model.request(messages, prefill=prefill)  # pyright: ignore[reportArgumentType]
    except UserError as problem:
        raise BadRequestError(str(problem)) from None
    room = model.context - len(request.tokens)
    if room <= 0:
        raise BadRequestError(
            f"the prompt has {len(request.tokens)} tokens, and the model reads {model.context}"
        )
    stop = asked.get("stop") or []
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or not all(isinstance(one, str) and one for one in stop):
        raise BadRequestError("`stop` must be a text or a list of texts")
    most = number(asked, "max_tokens", MAX_TOKENS, low=1, high=1e9)
    most = number(asked, "max_completion_tokens", most, low=1, high=1e9)
    seed = number(asked, "seed", secrets.randbits(31), low=0, high=2**63)
    return replace(
        request,
        max_tokens=min(int(most), room),
        temperature=number(asked, "temperature", 1.0, low=0, high=2),
        top_p=number(asked, "top_p", 1.0, low=0, high=1),
        seed=int(seed),
        stop=tuple(stop),
    )


async def _pieces(queue: BatchQueue, request: Request) -> AsyncIterator[str]:
    """An answer as events, each with what is new since the one before."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[str | None] = asyncio.Queue()

    def listener(text: str) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody reads any more
            loop.call_soon_threadsafe(heard.put_nowait, text)

    asked = replace(request, listener=listener)
    whole = asyncio.ensure_future(queue.complete([asked]))
    whole.add_done_callback(lambda _: heard.put_nowait(None))
    answer, sent = Answer(queue.model.name), 0
    try:
        yield answer.piece(first=True)
        while (text := await heard.get()) is not None:
            ready = len(text) - _held_back(text, request.stop)
            if ready > sent:
                yield answer.piece(text[sent:ready])
                sent = ready
        found: Completion = (await whole)[0]
        yield answer.piece(found.text[sent:], FINISH[found.stopped])
        yield DONE
    finally:
        whole.cancel()


def _held_back(text: str, stop: tuple[str, ...]) -> int:
    """How many of the last characters may still change: half of a character, or the beginning of
    a stop string."""
    clean = text.rstrip("\ufffd")
    held = 0
    for one in stop:
        begun = (size for size in range(len(one) - 1, 0, -1) if clean.endswith(one[:size]))
        held = max(held, next(begun, 0))
    return len(text) - len(clean) + held

"""A proxy that guards a model behind any OpenAI-compatible address: a watch reads the conversation
before the upstream is asked, and each piece of the answer before the caller gets it.

A flag ends the exchange, and the generation with it. The caller gets the same refusal at whichever
stage: in place of a whole answer, or as the last piece of a stream. It is sent `refusal_seconds`
after the call at the earliest, so that a flag at the prompt takes as long as one soon after. What
that can't hide: a stream's pieces that were let through stay with the caller, and a flag that comes
later than `refusal_seconds` comes later; whoever times refusals can tell those from a flag at the
prompt.

It fails closed: where the watch fails, or the upstream's answer can't be read in full, the caller
gets an error; a stream that has begun ends with an error and without [DONE]. With `fail_open`,
where the watch itself fails, the rest of that exchange goes on unguarded, counted and logged.

Nothing here logs or counts what was said: an exception's message may quote it, so that only its
kind and place are logged.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from toprope.serve.exchange import Chat, Settings
from toprope.serve.limits import check_token
from toprope.serve.metrics import MEDIA_TYPE
from toprope.serve.openai import error, model_list
from toprope.serve.problems import LOGGER, ProxyError
from toprope.serve.upstream import Patience, Upstream
from toprope.serve.watch import Flag, Watch, Watcher

__all__ = ["Flag", "Patience", "Settings", "Upstream", "Watch", "Watcher", "application"]

HEALTH_SECONDS = 3.0
"""How long it's remembered whether the upstream answers."""


def application(
    upstream: Upstream,
    watcher: Watcher,
    settings: Settings | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Starlette:
    """`/v1/chat/completions`, `/v1/models`, `/metrics`; `/health`, which needs no token.

    Args:
        clock: by which callers are locked out.
    """
    settings = settings or Settings()
    if settings.fail_open:
        logging.getLogger(LOGGER).warning(
            "fails open: where the guard itself fails, answers go on unguarded"
        )
    chat = Chat(upstream, watcher, settings, clock)

    async def models(http: Request) -> Response:
        check_token(http, settings.token)
        return model_list(await upstream.models())

    async def metrics(http: Request) -> Response:
        check_token(http, settings.token)
        text = chat.metrics.text(open_exchanges=chat.slots.taken, fails_open=settings.fail_open)
        return PlainTextResponse(text, media_type=MEDIA_TYPE)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await upstream.close()

    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/models", models),
            Route("/metrics", metrics),
            Route("/health", _health(upstream)),
        ],
        exception_handlers={ProxyError: _problem, HTTPException: _no_such_thing},
        lifespan=lifespan,
    )


def _health(upstream: Upstream) -> Callable[[Request], Awaitable[Response]]:
    asking, until, is_well = asyncio.Lock(), 0.0, False

    async def health(_: Request) -> Response:
        nonlocal until, is_well
        async with asking:
            if time.monotonic() >= until:
                try:
                    await upstream.models()
                    is_well = True
                except ProxyError:
                    is_well = False
                until = time.monotonic() + HEALTH_SECONDS
        if is_well:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "the upstream doesn't answer"}, 503)

    return health


async def _problem(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, ProxyError)
    return problem.response()


async def _no_such_thing(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    return error(problem.detail, problem.status_code)

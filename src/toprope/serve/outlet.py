"""The two ways in which an answer goes to its caller: whole, or as a stream of events.

Both write everything afresh, from text that has been let through, and both say a refusal in one
shape, whatever had been let through: the refusal's text, the finish "content_filter", no count of
tokens (which would tell how far the upstream had come). That finish is the format's own for an
answer that a filter has stopped, so that programs can tell it from a model's own refusal, which
"stop" wouldn't let them.

Neither sends its last word before `end`: until then the caller may be watched for leaving.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from toprope.serve.openai import DONE, Answer, event
from toprope.serve.problems import ProxyError
from toprope.serve.upstream import Piece

FILTERED = "content_filter"

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would collect the events
]


@dataclass(frozen=True)
class Wire:
    """The connection to a caller, as ASGI has it."""

    scope: Scope
    receive: Receive
    send: Send

    async def respond(self, response: Response) -> None:
        await response(self.scope, self.receive, self.send)


class Whole:
    """An answer in one piece."""

    def __init__(self, wire: Wire, answer: Answer) -> None:
        self._wire, self._answer = wire, answer
        self._texts: list[str] = []
        self._finish = ""
        self._usage: Mapping[str, int] | None = None

    async def add(self, piece: Piece) -> None:
        self._texts.append(piece.text)
        if piece.finish:
            self._finish, self._usage = piece.finish, piece.usage

    async def refuse(self, refusal: str) -> None:
        """In place of all that was added."""
        self._texts, self._finish, self._usage = [refusal], FILTERED, None

    async def end(self) -> None:
        whole = self._answer.whole("".join(self._texts), self._finish, prompt_tokens=0, tokens=0)
        await self._wire.respond(JSONResponse(whole | {"usage": self._usage}))

    async def fail(self, problem: ProxyError) -> None:
        await self._wire.respond(problem.response())


class Stream:
    """An answer in pieces; the response begins with the first.

    Args:
        counts: whether it ends with the tokens' number, if that is known.
    """

    def __init__(self, wire: Wire, answer: Answer, *, counts: bool) -> None:
        self._wire, self._answer, self._counts = wire, answer, counts
        self._has_begun = False

    async def add(self, piece: Piece) -> None:
        events = self._answer.piece(piece.text) if piece.text else ""
        if piece.finish:
            events += self._answer.piece(finish=piece.finish)
            if self._counts and piece.usage:
                events += self._count(piece.usage)
        await self._write(events)

    async def refuse(self, refusal: str) -> None:
        """After all that was added, on lines of its own."""
        break_ = self._answer.piece("\n\n") if self._has_begun else ""
        await self._write(
            break_ + self._answer.piece(refusal) + self._answer.piece(finish=FILTERED)
        )

    async def end(self) -> None:
        await self._close(DONE)

    async def fail(self, problem: ProxyError) -> None:
        """Without the last event, so that nobody takes for whole what isn't."""
        if not self._has_begun:
            await self._wire.respond(problem.response())
            return
        await self._close(problem.event())

    async def _write(self, events: str) -> None:
        if not self._has_begun:
            self._has_begun = True
            await self._wire.send(
                {"type": "http.response.start", "status": 200, "headers": HEADERS}
            )
            events = self._answer.piece(first=True) + events
        await self._body(events, more=True)

    async def _close(self, events: str) -> None:
        await self._body(events, more=False)

    async def _body(self, events: str, *, more: bool) -> None:
        await self._wire.send(
            {"type": "http.response.body", "body": events.encode(), "more_body": more}
        )

    def _count(self, usage: Mapping[str, int]) -> str:
        about = self._answer
        return event(
            {
                "id": about.id,
                "object": "chat.completion.chunk",
                "created": about.created,
                "model": about.model,
                "choices": [],
                "usage": usage,
            }
        )

"""What the guard's proxy is tested between: an upstream that does each bad thing, a watch that
stops at marked words, and calls by hand."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from toprope.serve.guard import Flag, Patience, Settings, Upstream, Watch, application

from .servers import served

WORDS = ("One", " two", " three", " four")
SECRET = "xylophone"  # stands for what was said: no log or metric may have it
PATIENCE = Patience(connect=1, first=0.6, between=0.5, models=0.5)


def chunk(text: Any = None, finish: Any = None, **more: Any) -> bytes:
    """An event of the upstream's stream; `more` goes into the delta."""
    delta = ({} if text is None else {"content": text}) | more
    return data({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def data(content: Any) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
END = chunk(finish="stop") + DONE
USAGE = data(
    {
        "choices": [],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 4,
            "total_tokens": 7,
            "notes": SECRET,
        },
    }
)
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def answer(*pieces: bytes | float) -> list[bytes | float]:
    """What the upstream sends; a number is a pause."""
    return [STREAM, *pieces]


def answered(status: str, body: Any, *headers: str) -> list[bytes | float]:
    head = "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *headers])
    return [head.encode() + b"\r\n\r\n" + json.dumps(body).encode()]


def spaced(words: Sequence[str]) -> list[bytes | float]:
    return [part for word in words for part in (chunk(word), 0.01)]


ANSWERS: dict[str, list[bytes | float]] = {
    "words": answer(chunk("", role="assistant"), *spaced(WORDS), chunk(finish="stop"), USAGE, DONE),
    "uncounted": answer(*spaced(WORDS), END),
    "undone": answer(*spaced(WORDS), chunk(finish="length")),
    "bomb": answer(*spaced(("Mix", " the", " BOMB", " with", " more")), 30, END),
    "fuse": answer(*spaced(("Light", " the", " FUSE")), END),
    "bomb at once": answer(chunk("BOMB"), 30, END),
    "late bomb": answer(*spaced(("All", " LATE")), END),
    "crash": answer(*spaced(("All", " CRASH", " well")), END),
    "endless": answer(*spaced(["on and "] * 200), END),
    "flood": answer(*[chunk("é" * 10_000)] * 300, END),  # 18 MB, more than sockets buffer
    "extras": answer(
        chunk("Hello", role="assistant", reasoning_content=SECRET, refusal=SECRET),
        chunk(tool_calls=[{"function": {"name": SECRET, "arguments": SECRET}}]),
        data(
            {
                "id": SECRET,
                "system_fingerprint": SECRET,
                "choices": [
                    {
                        "index": 0,
                        "delta": {"content": " there"},
                        "logprobs": {"content": [{"token": SECRET}]},
                        "extra": SECRET,
                    }
                ],
            }
        ),
        b": a comment\n\nevent: x\nid: y\n\n",
        END,
    ),
    # What can't be passed on, each after a word that can.
    "dies": answer(chunk("One"), 0.05),
    "dies in a chunk": [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"%x\r\n" % len(chunk("One")) + chunk("One") + b"\r\n",
        0.05,
        b"ffff\r\ndata: {",
    ],
    "stalls": answer(chunk("One"), 30),
    "bad json": answer(chunk("One"), 0.05, b'data: {"choices": [\n\n', END),
    "bad utf-8": answer(chunk("One"), 0.05, chunk("?").replace(b"?", b"\xff"), END),
    "half a character": answer(chunk("One"), 0.05, chunk("\ud83d"), END),
    "no text": answer(chunk("One"), 0.05, chunk({"text": "two"}), END),
    "a list": answer(chunk("One"), 0.05, data(["two"]), END),
    "several choices": answer(
        chunk("One"), 0.05, data({"choices": [{"index": 1, "delta": {"content": "two"}}]}), END
    ),
    "calls a tool": answer(chunk("One"), 0.05, chunk(finish="tool_calls"), DONE),
    "long line": answer(chunk("One"), 0.05, b"data: " + b"x" * 2_000_000),
    "an error": answer(chunk("One"), 0.05, data({"error": {"message": SECRET}}), END),
    "no finish": answer(chunk("One"), 0.05, DONE),
    # Before any word.
    "silent": [30],
    "hangs up": [],
    "no http": [b"\x00\x01\x02\x03\r\n\r\n"],
    "whole": answered("200 OK", {"choices": [{"message": {"content": "One"}}]}),
    "packed": [STREAM[:-2] + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b"],
    "500": answered("500 Internal Server Error", {"error": {"message": SECRET}}),
    "302": answered("302 Found", {}, "Location: /elsewhere"),
    "429": answered("429 Too Many Requests", {"error": {"message": "slowly"}}, "Retry-After: 17"),
    "404": answered("404 Not Found", {"error": {"message": "no such model " + "x" * 400}}),
    "422": answered("422 Unprocessable Entity", {"error": SECRET}),
    "401": answered("401 Unauthorized", {"error": {"message": "not sk-upstream"}}),
}


class StandIn:
    """An upstream that answers as the model's name says, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.left = threading.Event()  # a caller broke off

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        self.keys.append(fields.get("authorization", ""))
        if head.startswith("get /v1/models "):
            parts = answered("200 OK", {"data": [{"id": "words", "notes": SECRET}]})
        else:
            assert head.startswith("post /v1/chat/completions ")
            self.asked.append(json.loads(body))
            parts = ANSWERS[self.asked[-1]["model"]]
        sending = asyncio.ensure_future(self._send(writer, parts))
        leaving = asyncio.ensure_future(reader.read())
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not sending.done() or sending.exception():
            self.left.set()
        sending.cancel()
        leaving.cancel()
        writer.close()

    async def _send(self, writer: asyncio.StreamWriter, parts: Sequence[bytes | float]) -> None:
        for part in parts:
            if isinstance(part, bytes):
                writer.write(part)
                await writer.drain()
            else:
                await asyncio.sleep(part)


class Marked:
    """A watch that stops, fails or hangs at marked words, and nearly stops at one; `read` is all
    that it has read."""

    def __init__(self, messages: Sequence[Mapping[str, str]]) -> None:
        self.said = " ".join(one["content"] for one in messages)
        self.read = ""

    async def prompt(self) -> Flag | None:
        return await self._judge(self.said, "input")

    async def answer(self, text: str) -> Flag | None:
        self.read += text
        return await self._judge(self.read, "probe")

    async def end(self) -> Flag | None:
        return Flag("whole", 0.8) if "LATE" in self.read else None

    def is_near(self, share: float) -> bool:
        return share <= 0.95 and "FUSE" in self.said + self.read

    async def _judge(self, text: str, stage: str) -> Flag | None:
        if "CRASH" in text:
            raise ValueError(f"can't read {self.said} {text}")
        if "HANG" in text:
            await asyncio.sleep(30)
        return Flag(stage, 0.9) if "BOMB" in text else None


@contextmanager
def guard(
    upstream: str,
    watcher: Callable[[Sequence[Mapping[str, str]]], Watch] = Marked,
    clock: Callable[[], float] = time.monotonic,
    **settings: Any,
) -> Iterator[httpx.Client]:
    chosen = Settings(**{"refusal_seconds": 0.0, "most_flags": 1000} | settings)
    app = application(Upstream(upstream, "sk-upstream", PATIENCE), watcher, chosen, clock=clock)
    with served(app) as address, httpx.Client(base_url=address, timeout=20) as client:
        yield client


def call(client: httpx.Client, model: str, say: str = "hello", **more: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": say}]} | more
    return client.post("/v1/chat/completions", json=body)


def events(response: httpx.Response) -> list[dict[str, Any] | str]:
    found = [line[6:] for line in response.text.split("\n") if line.startswith("data: ")]
    return [one if one == "[DONE]" else json.loads(one) for one in found]


def text_of(response: httpx.Response) -> str:
    deltas = [
        choice["delta"] for one in events(response) if one != "[DONE]" for choice in choices(one)
    ]
    return "".join(delta.get("content", "") for delta in deltas)


def choices(one: Any) -> list[dict[str, Any]]:
    return one.get("choices", [])


def whole_of(response: httpx.Response) -> str:
    return response.json()["choices"][0]["message"]["content"]


def message_of(response: httpx.Response) -> str:
    return response.json()["error"]["message"]


def shape(found: Any) -> Any:
    """An answer without what is every answer's own."""
    if not isinstance(found, dict):
        return found
    return {name: value for name, value in found.items() if name not in ("id", "created", "model")}


@contextmanager
def raw(
    client: httpx.Client, model: str, promised: int | None = None, sent: bytes | None = None
) -> Iterator[socket.socket]:
    """A streaming call by hand; its answer isn't read."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "x"}]}
    sent = sent or json.dumps(body).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: "
    with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as found:
        found.sendall(f"{head}{promised or len(sent)}\r\n\r\n".encode() + sent)
        yield found

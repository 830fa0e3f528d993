"""What the guard's proxy adds to each streamed token, and whether it loses or spoils any.

Three processes: an upstream that streams answers at a fixed pace, the proxy, and callers. Each
token carries the time at which the upstream sent it (all processes of a machine share the clock),
so that its delay is known on arrival, straight from the upstream as through the proxy. Rounds of
the two alternate. Each answer's words are known to its caller, and its last token is the hash of
all before it: an answer that differs is wrong, one that doesn't come to its end is lost.

    python benchmarks/guard_proxy.py --streams 50 --seconds 300

The aims: a median of at most 1 ms added; with 50 streams, in 300 s, none wrong and none lost.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import click
import numpy as np

from toprope.models.local import LocalModel
from toprope.serve import guarding
from toprope.serve.guard import Flag, Settings, Upstream, Watcher, application
from toprope.serve.run import listening
from toprope.techniques.safeguards.guard import load_guard

WORDS = ("amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "haven", "iris", "jade")
LONGEST_ANSWER_SECONDS = 60


@click.command()
@click.option("--streams", default=50, show_default=True, help="At once.")
@click.option("--seconds", default=300, show_default=True, help="Of each arm.")
@click.option("--round", "per_round", default=30, show_default=True, help="Seconds of a round.")
@click.option("--tokens", default=100, show_default=True, help="Of an answer.")
@click.option("--pace", default=20.0, show_default=True, help="Milliseconds between tokens.")
@click.option(
    "--guard", "name", default="none", show_default=True, help="A guard's folder; none: all passes."
)
def main(streams: int, seconds: int, per_round: int, tokens: int, pace: float, name: str) -> None:
    """Measures the proxy beside its upstream, and prints a Markdown table."""
    with (
        process(serve_upstream, tokens, pace / 1000) as upstream,
        process(serve_proxy, upstream, name, streams) as proxy,
    ):
        arms = {"bare": Heard(), "proxy": Heard()}
        ports = {"bare": upstream, "proxy": proxy}
        for i in range(max(1, seconds // per_round)):
            for arm in ("bare", "proxy") if i % 2 == 0 else ("proxy", "bare"):
                asyncio.run(callers(ports[arm], streams, per_round, tokens, arms[arm]))
            click.echo(f"round {i + 1}: {arms['proxy'].answers} through the proxy", err=True)
    click.echo(as_markdown(arms))


def watcher(name: str) -> Watcher:
    """The guard that the proxy has. Real ones are loaded here, by name."""
    if name == "none":
        return lambda _: Passes()
    guard = load_guard(Path(name))
    models = {stage.model: LocalModel.load(stage.model) for stage in guard.about.stages}
    return guarding.watcher(guard, guard.readers(models))


class Passes:
    """A watch that lets everything through."""

    async def prompt(self) -> Flag | None:
        return None

    async def answer(self, text: str) -> Flag | None:
        return None

    async def end(self) -> Flag | None:
        return None

    def is_near(self, share: float) -> bool:
        return False


# The upstream


def serve_upstream(listens: socket.socket, tokens: int, pace: float) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
                key = json.loads(await reader.readexactly(size))["messages"][0]["content"]
                await stream(writer, key, tokens, pace)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, sock=listens)
        await server.serve_forever()

    asyncio.run(serve())


async def stream(writer: asyncio.StreamWriter, key: str, tokens: int, pace: float) -> None:
    """An answer whose words follow from the key, as chunked server-sent events."""
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    digest, due = sha256(), time.monotonic()
    for word in words(key, tokens - 1):
        text = f"{word} {time.monotonic_ns()} "
        digest.update(text.encode())
        write_event(writer, event_of({"content": text}))
        await writer.drain()
        due += pace
        await asyncio.sleep(due - time.monotonic())
    write_event(writer, event_of({"content": digest.hexdigest()}))
    write_event(writer, event_of({}, "stop"))
    write_event(writer, b"data: [DONE]\n\n")
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def words(key: str, count: int) -> list[str]:
    return random.Random(key).choices(WORDS, k=count)


def event_of(delta: Mapping[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "stand-in"}
    return b"data: " + json.dumps(chunk | {"choices": [choice]}).encode() + b"\n\n"


def write_event(writer: asyncio.StreamWriter, event: bytes) -> None:
    writer.write(b"%x\r\n%s\r\n" % (len(event), event))


# The proxy


def serve_proxy(listens: socket.socket, upstream: int, name: str, streams: int) -> None:
    import uvicorn

    app = application(
        Upstream(f"http://127.0.0.1:{upstream}/v1"),
        watcher(name),
        Settings(most_exchanges=2 * streams),
    )
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listens])


@contextmanager
def process(work, *arguments: object) -> Iterator[int]:
    """A process of its own that serves; its port."""
    with listening("127.0.0.1", 0) as listens:
        port = listens.getsockname()[1]
        context = multiprocessing.get_context("fork")
        serving = context.Process(target=work, args=(listens, *arguments), daemon=True)
        serving.start()
        try:
            yield port
        finally:
            serving.kill()
            serving.join()


# The callers


@dataclass
class Heard:
    """What came of one arm's answers.

    Attributes:
        delays: of each token, in seconds.
    """

    answers: int = 0
    wrong: int = 0
    lost: int = 0
    delays: list[float] = field(default_factory=list)
    reasons: set[str] = field(default_factory=set)


async def callers(port: int, streams: int, seconds: float, tokens: int, heard: Heard) -> None:
    """So many at once, each with one answer after another."""
    until = time.monotonic() + seconds

    async def caller() -> None:
        await asyncio.sleep(random.random())  # so that they don't all speak at the same instant
        while time.monotonic() < until:
            await call(port, tokens, heard)

    await asyncio.gather(*(caller() for _ in range(streams)))


async def call(port: int, tokens: int, heard: Heard) -> None:
    key = os.urandom(8).hex()
    heard.answers += 1
    try:
        async with asyncio.timeout(LONGEST_ANSWER_SECONDS):
            text, delays = await answer(port, key)
    except (OSError, TimeoutError, ValueError, EOFError) as problem:
        heard.lost += 1
        heard.reasons.add(repr(problem))
        return
    heard.delays += delays
    body, _, digest = text.rpartition(" ")
    is_whole = sha256(f"{body} ".encode()).hexdigest() == digest
    heard.wrong += not (is_whole and body.split()[::2] == words(key, tokens - 1))


async def answer(port: int, key: str) -> tuple[str, list[float]]:
    """The whole text, and the delay of each token that says when it was sent.

    Raises:
        ValueError, EOFError: it isn't one that came to its end.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        body = {
            "model": "stand-in",
            "stream": True,
            "messages": [{"role": "user", "content": key}],
        }
        sent = json.dumps(body).encode()
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
            % (len(sent), sent)
        )
        if not (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200"):
            raise ValueError("not 200")
        return await tokens_of(reader)
    finally:
        writer.close()


async def tokens_of(reader: asyncio.StreamReader) -> tuple[str, list[float]]:
    texts, delays, finish = [], [], None
    while True:
        # Before an event stands, at times, the size of a chunk: no event spans two of them.
        event = (await reader.readuntil(b"\n\n")).partition(b"data: ")[2]
        now = time.monotonic_ns()
        if event == b"[DONE]\n\n":
            if finish != "stop":
                raise ValueError("no finish")
            return "".join(texts), delays
        choice = json.loads(event)["choices"][0]
        finish = choice["finish_reason"]
        if text := choice["delta"].get("content"):
            texts.append(text)
            # Of several tokens that came in one piece, each has its own delay; the hash has none.
            delays += [(now - int(sent)) / 1e9 for sent in text.split()[1::2]]


def as_markdown(arms: Mapping[str, Heard]) -> str:
    lines = [
        "| arm | answers | wrong | lost | tokens | median ms | 95% ms | 99% ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, heard in arms.items():
        at = " | ".join(f"{one:.2f}" for one in quantiles(heard.delays))
        counts = f"{heard.answers} | {heard.wrong} | {heard.lost} | {len(heard.delays)}"
        lines.append(f"| {name} | {counts} | {at} |")
    bare, proxy = (quantiles(arms[name].delays) for name in ("bare", "proxy"))
    added = [after - before for before, after in zip(bare, proxy, strict=True)]
    lines.append(f"\nadded: median {added[0]:.2f} ms, 95% {added[1]:.2f} ms, 99% {added[2]:.2f} ms")
    reasons = sorted(arms["proxy"].reasons | arms["bare"].reasons)
    return "\n".join([*lines, *(f"lost: {one}" for one in reasons)])


def quantiles(delays: Sequence[float]) -> list[float]:
    """Median, 95% and 99%, in milliseconds; no numbers where all was lost."""
    return [float(one) * 1000 for one in np.quantile(delays or [np.nan], (0.5, 0.95, 0.99))]


if __name__ == "__main__":
    main()

"""A local model behind an OpenAI-compatible address, asked by the official client and by hand."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import openai
import pytest

from toprope.models.local import LocalModel
from toprope.serve.model import _held_back, application

from .servers import served

SAY = [{"role": "user", "content": "A weaker partner"}]


@pytest.fixture
def tiny(tiny_folder) -> LocalModel:
    return LocalModel.load(str(tiny_folder), device="cpu")


@pytest.fixture
def address(tiny) -> Iterator[str]:
    with served(application(tiny)) as found:
        yield found


@pytest.fixture
def client(address) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as found:
        yield found


def test_answers_are_those_of_the_model_whole_and_in_pieces(client, tiny):
    expected = tiny.generate([SAY], max_tokens=12)[0]
    settings = {"model": tiny.name, "messages": SAY, "max_tokens": 12, "temperature": 0}
    whole = client.chat.completions.create(**settings)
    assert whole.choices[0].message.content == expected.text
    assert whole.usage.completion_tokens == len(expected.tokens)
    pieces = list(client.chat.completions.create(**settings, stream=True))
    assert "".join(one.choices[0].delta.content or "" for one in pieces) == expected.text
    assert len(pieces) > 3
    assert pieces[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_a_seed_a_prefill_and_a_stop_string_count(client, tiny):
    messages = [*SAY, {"role": "assistant", "content": "keeps"}]
    settings = {"model": tiny.name, "max_tokens": 10, "temperature": 1, "seed": 4}
    expected = tiny.generate([SAY], prefill="keeps", max_tokens=10, temperature=1, seed=4)[0]
    found = client.chat.completions.create(messages=messages, **settings)
    assert found.choices[0].message.content == expected.text
    stop = expected.text[4:6]
    for stream in (False, True):
        cut = client.chat.completions.create(
            messages=messages, **settings, stop=stop, stream=stream
        )
        texts = (
            [one.choices[0].delta.content or "" for one in cut]
            if stream
            else [cut.choices[0].message.content]
        )
        assert "".join(texts) == expected.text[: expected.text.index(stop)]


def test_the_model_is_told_where_an_answer_that_was_begun_begins(client, tiny, monkeypatch):
    """What a watch of its states reads from."""
    seen = []
    complete = LocalModel.complete

    def noted(self, requests, **settings):
        seen.extend(requests)
        return complete(self, requests, **settings)

    monkeypatch.setattr(LocalModel, "complete", noted)
    messages = [*SAY, {"role": "assistant", "content": "keeps a"}]
    client.chat.completions.create(messages=messages, model=tiny.name, max_tokens=1)
    assert seen[0].tokens == tiny.tokens(SAY, prefill="keeps a")
    assert seen[0].answer_at == len(tiny.tokens(SAY))


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "no JSON"),
        (b'"\xff"', 400, "UTF-8"),
        (b"[]", 400, "no JSON object"),
        (b"{}", 400, "`messages`"),
        (b'{"messages": [{"role": "tool", "content": "x"}]}', 400, "role"),
        (b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', 400, "text"),
        (b'{"messages": [{"role": "assistant", "content": "x"}]}', 400, "before"),
        (b'{"messages": [{"role": "user", "content": "\\ud83d"}]}', 400, "UTF-8"),
        (b'{"messages": [{"role": "user", "content": "x"}], "tools": [1]}', 400, "`tools`"),
        (b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": "9"}', 400, "number"),
        (b'{"messages": [{"role": "user", "content": "x"}], "model": "other"}', 404, "other"),
        (b'{"messages": [{"role": "user", "content": "%s"}]}' % (b"a " * 900), 400, "tokens"),
        (b" " * 4_000_001, 413, "bytes"),
    ],
)
def test_bad_requests_are_told_what_is_wrong(address, body, status, said):
    found = httpx.post(f"{address}/v1/chat/completions", content=body)
    assert found.status_code == status
    assert said in found.json()["error"]["message"]


def test_calls_that_come_together_are_one_batch(address, tiny):
    sizes = []
    handle = tiny.module.register_forward_pre_hook(
        lambda _m, _a, inputs: sizes.append(len(inputs["input_ids"])), with_kwargs=True
    )

    async def together() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none") as client:
            calls = [
                client.chat.completions.create(
                    model=tiny.name,
                    messages=SAY,  # pyright: ignore[reportArgumentType]
                    max_tokens=4,
                    temperature=0,
                )
                for _ in range(8)
            ]
            return [one.choices[0].message.content or "" for one in await asyncio.gather(*calls)]

    assert len(set(asyncio.run(together()))) == 1
    handle.remove()
    assert max(sizes) > 1


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_generated_for_a_caller_who_has_gone(address, tiny, stream):
    passes = [0]

    def slow(*_: object) -> None:
        passes[0] += 1
        time.sleep(0.02)

    handle = tiny.module.register_forward_pre_hook(slow)
    asked = {"messages": SAY, "max_tokens": 400, "temperature": 1, "seed": 1, "stream": stream}
    with (
        suppress(httpx.ReadTimeout),
        httpx.Client(timeout=0.4) as client,
        client.stream("POST", f"{address}/v1/chat/completions", json=asked) as answer,
    ):
        next(answer.iter_raw())  # and leaves with a piece, or without any
    time.sleep(0.5)
    after = passes[0]
    time.sleep(0.5)
    handle.remove()
    assert passes[0] == after < 200


def test_models_and_health(address, client, tiny):
    assert [one.id for one in client.models.list()] == [tiny.name]
    assert httpx.get(f"{address}/health").json() == {"status": "ok"}


def test_what_may_still_change_is_held_back():
    assert _held_back("caf\ufffd", ()) == 1
    assert _held_back("one two EN", ("END",)) == 2
    assert _held_back("one two EN", ("two",)) == 0
    assert _held_back("a\n\ufffd", ("\n用",)) == 2

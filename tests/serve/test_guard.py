"""The guard's proxy between real servers: what its callers, its upstream and whoever runs it may
rely on."""

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import openai
import pytest

from toprope.errors import UserError
from toprope.serve.guard import Settings, Upstream, Watch
from toprope.serve.limits import Callers
from toprope.serve.problems import ProxyError

from .guard_stand_ins import (
    ANSWERS,
    SECRET,
    WORDS,
    Marked,
    StandIn,
    call,
    choices,
    events,
    guard,
    message_of,
    raw,
    shape,
    text_of,
    whole_of,
)

REFUSAL = Settings().refusal

BROKEN = [name for name, parts in ANSWERS.items() if 0.05 in parts or name == "stalls"]
"""Answers that break off after a word."""

Guarded = Callable[..., httpx.Client]


@pytest.fixture(scope="module")
def standing() -> Iterator[tuple[StandIn, str]]:
    stand_in, loop = StandIn(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    start = asyncio.start_server(stand_in.answer, "127.0.0.1", 0)
    server = asyncio.run_coroutine_threadsafe(start, loop).result()
    yield stand_in, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


@pytest.fixture
def stand_in(standing) -> StandIn:
    standing[0].asked.clear()
    standing[0].keys.clear()
    standing[0].left.clear()
    return standing[0]


@pytest.fixture(scope="module")
def shared(standing) -> Iterator[httpx.Client]:
    with guard(standing[1]) as client:
        yield client


@pytest.fixture
def guarded(standing) -> Iterator[Guarded]:
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(guard(standing[1], **settings))


# Answers


def test_the_official_client_gets_the_upstreams_answer_whole_and_in_pieces(shared, stand_in):
    with openai.OpenAI(base_url=f"{shared.base_url}/v1", api_key="none", max_retries=0) as client:
        say: Any = [{"role": "user", "content": "hello"}]
        whole = client.chat.completions.create(model="words", messages=say)
        assert whole.choices[0].message.content == "".join(WORDS)
        assert whole.choices[0].finish_reason == "stop"
        assert whole.usage is not None
        assert whole.usage.total_tokens == 7
        options: Any = {"include_usage": True}
        pieces = list(
            client.chat.completions.create(
                model="words", messages=say, stream=True, stream_options=options
            )
        )
        texts = [one.choices[0].delta.content for one in pieces if one.choices]
        assert [text for text in texts if text] == list(WORDS)
        assert pieces[-1].usage is not None
        assert pieces[-1].usage.total_tokens == 7
        assert pieces[-2].choices[0].finish_reason == "stop"
        assert [one.id for one in client.models.list()] == ["words"]


def test_pieces_are_passed_on_as_they_come(shared):
    body = {"model": "endless", "messages": [{"role": "user", "content": "x"}], "stream": True}
    began = time.monotonic()
    with shared.stream("POST", "/v1/chat/completions", json=body) as response:
        for line in response.iter_lines():
            if "on and" in line:
                break
    assert time.monotonic() - began < 1  # the whole takes 2 s


@pytest.mark.parametrize("name", ["uncounted", "undone"])
def test_an_upstream_may_leave_out_the_count_and_the_last_event(shared, name):
    whole = call(shared, name)
    assert whole_of(whole) == "".join(WORDS)
    assert whole.json()["usage"] is None
    options = {"include_usage": True}
    assert events(call(shared, name, stream=True, stream_options=options))[-1] == "[DONE]"


def test_the_upstream_gets_what_the_guard_has_read_and_settings_from_a_list(guarded, stand_in):
    read: list[Sequence[Mapping[str, str]]] = []

    def watcher(messages: Sequence[Mapping[str, str]]) -> Watch:
        read.append(messages)
        return Marked(messages)

    client = guarded(watcher=watcher, token="t0ken")
    client.headers["Authorization"] = "Bearer t0ken"
    settings = {
        "temperature": 0.5,
        "max_tokens": 9,
        "stop": ["\n"],
        "seed": 4,
        "user": "u",
        "response_format": {"type": "json_object"},
    }
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"text": "kind"}]},
        {"role": "user", "content": "hello", "name": SECRET},
        {"role": "assistant", "content": "Sure, ", "tool_calls": [SECRET], "prefix": True},
    ]
    empty = {"tools": [], "logprobs": False, "n": 1, "top_k": None}
    assert call(client, "words", messages=messages, **settings, **empty).status_code == 200
    seen = [
        {"role": "system", "content": "Be kind"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Sure, "},
    ]
    assert read == [seen]
    streams = {"stream": True, "stream_options": {"include_usage": True}}
    assert stand_in.asked == [{"model": "words", "messages": seen} | streams | settings]
    assert stand_in.keys == ["bearer sk-upstream"]


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_guard_does_not_read_is_not_passed_on(shared, stream):
    found = call(shared, "extras", stream=stream)
    assert (text_of if stream else whole_of)(found) == "Hello there"
    assert SECRET not in found.text
    for name in ("reasoning", "tool_calls", '"refusal"', "system_fingerprint"):
        assert name not in found.text


# Refusals


def test_a_flag_at_the_prompt_never_asks_the_upstream(shared, stand_in):
    assert whole_of(call(shared, "words", "BOMB")) == REFUSAL
    prefill = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "BOMB:"}]
    assert whole_of(call(shared, "words", messages=prefill)) == REFUSAL
    assert stand_in.asked == []


def test_text_from_the_flag_on_never_reaches_the_caller_and_ends_the_generation(shared, stand_in):
    found = call(shared, "bomb", stream=True)
    assert text_of(found) == f"Mix the\n\n{REFUSAL}"
    assert "BOMB" not in found.text
    assert stand_in.left.wait(2)


@pytest.mark.parametrize("name", ["bomb", "late bomb"])
def test_a_whole_answer_that_is_flagged_is_the_refusal_and_nothing_else(shared, name):
    found = call(shared, name)
    assert whole_of(found) == REFUSAL
    assert "Mix" not in found.text


def test_a_flag_at_the_end_takes_the_place_of_the_finish(shared):
    found = call(shared, "late bomb", stream=True)
    finishes = [c["finish_reason"] for one in events(found)[:-1] for c in choices(one)]
    assert [one for one in finishes if one] == ["content_filter"]


@pytest.mark.parametrize("stream", [False, True])
def test_refusals_of_every_stage_are_alike_in_shape_and_time(guarded, stream):
    client = guarded(refusal_seconds=0.4)
    options = {"stream_options": {"include_usage": True}} if stream else {}
    found, took = [], []
    for model, say in (("words", "BOMB"), ("bomb at once", "hello"), ("bomb", "hello")):
        began = time.monotonic()
        response = call(client, model, say, stream=stream, **options)
        took.append(time.monotonic() - began)
        assert response.status_code == 200
        found.append([*map(shape, events(response) if stream else [response.json()])])
    assert found[0] == found[1]
    # After text that was let through, a stream's refusal is the same from its text on.
    assert found[2][-3:] == found[0][-3:]
    assert all(0.4 <= one < 0.7 for one in took)


# What can go wrong


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_cannot_be_read_in_full_is_an_error_and_never_looks_whole(shared, name):
    whole = call(shared, name)
    assert whole.status_code == (504 if name == "stalls" else 502)
    assert "One" not in whole.text
    stream = call(shared, name, stream=True)
    assert text_of(stream) == "One"
    last = events(stream)[-1]
    assert isinstance(last, dict)
    assert last["error"]["code"] == whole.status_code
    assert "[DONE]" not in stream.text
    assert '"finish_reason": "' not in stream.text
    assert SECRET not in stream.text + whole.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("silent", 504, "in time"),
        ("hangs up", 502, "reached"),
        ("no http", 502, "reached"),
        ("whole", 502, "broke off"),
        ("packed", 502, "compressed"),
        ("500", 502, "failed"),
        ("302", 502, "failed"),
        ("429", 429, "slowly"),
        ("404", 404, "no such model"),
        ("422", 422, "refuses the call"),
        ("401", 502, "key"),
    ],
)
def test_an_upstream_that_gives_no_answer_is_an_error_with_a_status(
    shared, name, status, said, stream
):
    found = call(shared, name, stream=stream)
    assert found.status_code == status
    assert said in message_of(found)
    assert found.headers.get("retry-after") == ("17" if name == "429" else None)
    assert len(message_of(found)) <= 300
    assert SECRET not in found.text
    assert "sk-upstream" not in found.text


def test_an_upstream_that_is_not_there_is_an_error_and_bad_health():
    with guard("http://127.0.0.1:1/v1") as client:
        assert call(client, "words").status_code == 502
        assert client.get("/v1/models").status_code == 502
        assert client.get("/health").status_code == 503


def test_an_upstream_that_is_no_url_is_the_users_error():
    with pytest.raises(UserError, match="no URL"):
        Upstream("localhost:8000")


@pytest.mark.parametrize("word", ["CRASH", "HANG"])
def test_where_the_guard_fails_nothing_is_let_through(guarded, stand_in, word):
    client = guarded(watch_seconds=0.2)
    found = call(client, "words", word)
    assert found.status_code == 503
    assert stand_in.asked == []


def test_where_the_guard_fails_in_a_stream_it_ends_there_with_an_error(shared):
    assert call(shared, "crash").status_code == 503
    stream = call(shared, "crash", stream=True)
    assert text_of(stream) == "All"
    assert "[DONE]" not in stream.text
    last = events(stream)[-1]
    assert isinstance(last, dict)
    assert last["error"]["code"] == 503


def test_where_the_guard_fails_open_the_answer_goes_on_and_that_is_told(guarded, caplog):
    with caplog.at_level(logging.INFO, "toprope.guard"):
        client = guarded(fail_open=True)
        assert "fails open" in caplog.text
        assert text_of(call(client, "crash", stream=True)) == "All CRASH well"
        assert whole_of(call(client, "words", f"CRASH {SECRET}")) == "".join(WORDS)
        assert whole_of(call(client, "bomb")) == REFUSAL  # it still guards where it can
        assert call(client, "dies").status_code == 502  # and is closed for the upstream's faults
    metrics = client.get("/metrics").text
    assert "toprope_guard_unguarded_total 2" in metrics
    assert "toprope_guard_fails_open 1" in metrics
    assert caplog.text.count("the guard failed at the") == 2
    assert "ValueError at guard_stand_ins.py" in caplog.text
    assert SECRET not in caplog.text
    assert "CRASH" not in caplog.text


# Callers


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "no JSON"),
        (b'{"messages": "\xff"}', 400, "UTF-8"),
        (b"[]", 400, "no JSON object"),
        (b"{}", 400, "`messages`"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', 400, "`model`"),
        (b" " * 20_001, 413, "20,000 bytes"),
    ],
)
def test_bad_bodies_are_told_what_is_wrong(guarded, stand_in, body, status, said):
    client = guarded(most_bytes=20_000)
    found = client.post("/v1/chat/completions", content=body)
    assert (found.status_code, said in message_of(found)) == (status, True)
    assert stand_in.asked == []


@pytest.mark.parametrize(
    "asked",
    [
        {"n": 2},
        {"tools": [{"type": "function"}]},
        {"functions": [{}]},
        {"logprobs": True},
        {"top_logprobs": 3},
        {"prediction": {"content": "x"}},
        {"temperature": "hot"},
        {"max_tokens": 0},
        {"stop": [1]},
        {"user": 1},
        {"stream": "yes"},
        {"stream_options": True},
        {"response_format": {"type": "json_schema", "json_schema": {"description": "x"}}},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "user", "content": "x" * 400_001}]},
    ],
)
def test_what_a_guard_cannot_read_or_pass_on_is_refused(shared, stand_in, asked):
    found = call(shared, "words", **asked)
    assert found.status_code == 400
    assert message_of(found)
    assert stand_in.asked == []


def test_a_token_is_needed_for_everything_but_health(guarded, stand_in):
    client = guarded(token="t0ken")
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic t0ken"}):
        client.headers.pop("Authorization", None)
        client.headers.update(headers)
        assert call(client, "words").status_code == 401
        assert client.get("/v1/models").status_code == 401
        assert client.get("/metrics").status_code == 401
    assert stand_in.asked == []
    assert client.get("/health").json() == {"status": "ok"}
    client.headers["Authorization"] = "Bearer t0ken"
    assert call(client, "words").status_code == 200
    assert client.get("/metrics").status_code == 200


def test_a_caller_of_many_flags_is_locked_out_for_a_while_and_others_are_not(guarded, caplog):
    now = [0.0]
    client = guarded(
        most_flags=2, window_seconds=60, lockout_seconds=30, caller_header="X-Who",
        clock=lambda: now[0],
    )  # fmt: skip
    mallory, alice = {"X-Who": "forged, 10.0.0.7"}, {"X-Who": "10.0.0.8"}

    def ask(say: str, headers: dict[str, str]) -> httpx.Response:
        body = {"model": "words", "messages": [{"role": "user", "content": say}]}
        return client.post("/v1/chat/completions", json=body, headers=headers)

    for _ in range(2):
        assert ask("BOMB", mallory).status_code == 200
    mallory["X-Who"] = "forged again, 10.0.0.7"
    locked = ask("hello", mallory)
    assert (locked.status_code, locked.headers["retry-after"]) == (429, "30")
    assert "try again in 30 s" in message_of(locked)
    assert ask("hello", alice).status_code == 200
    now[0] = 29
    assert ask("hello", mallory).headers["retry-after"] == "1"
    now[0] = 30
    assert ask("hello", mallory).status_code == 200
    assert "'10.0.0.7' is locked out" in caplog.text


def test_a_caller_of_many_near_flags_is_locked_out_too(guarded, caplog):
    """Four of them are one flag; what was flagged is no near-flag besides."""
    client = guarded(most_flags=2, caller_header="X-Who")
    client.headers["X-Who"] = "10.0.0.7"
    for _ in range(2):
        assert whole_of(call(client, "words", "FUSE")) == "".join(WORDS)
        assert text_of(call(client, "fuse", stream=True)) == "Light the FUSE"
    assert whole_of(call(client, "fuse", "BOMB FUSE")) == REFUSAL
    locked = call(client, "words")
    assert locked.status_code == 429
    assert "refused or came near it" in message_of(locked)
    client.headers["X-Who"] = "10.0.0.8"
    assert call(client, "words").status_code == 200
    assert "'10.0.0.7' is locked out" in caplog.text
    metrics = client.get("/metrics").text
    assert "toprope_guard_near_flags_total 4\n" in metrics
    assert "toprope_guard_lockouts_total 1\n" in metrics


def test_a_caller_who_leaves_before_the_end_was_near_all_the_same(guarded, stand_in):
    client = guarded(most_flags=1)
    for _ in range(4):
        with raw(client, "fuse") as connection:
            while b"FUSE" not in connection.recv(10_000):
                pass
    until = time.monotonic() + 2
    while call(client, "words").status_code != 429:
        assert time.monotonic() < until


def test_how_near_is_near_is_a_setting(guarded):
    client = guarded(most_flags=1, near_share=0.99)
    for _ in range(6):
        assert call(client, "words", "FUSE").status_code == 200
    assert "\ntoprope_guard_near_flags_total" not in client.get("/metrics").text


def test_flags_that_are_older_than_the_window_do_not_count():
    now = [0.0]
    callers = Callers(2, window=60, lockout=30, clock=lambda: now[0])
    assert not callers.flag("a")
    now[0] = 61
    assert not callers.flag("a")
    callers.check("a")
    now[0] = 61.5
    assert not any(callers.near("a") for _ in range(3))
    now[0] = 62
    assert callers.flag("a")
    with pytest.raises(ProxyError):
        callers.check("a")


def test_calls_beyond_the_limit_are_told_to_come_back(guarded):
    client = guarded(most_exchanges=1)
    body = {"model": "endless", "messages": [{"role": "user", "content": "x"}], "stream": True}
    with client.stream("POST", "/v1/chat/completions", json=body) as first:
        pieces = first.iter_raw()  # as long as it is held, so is the connection
        next(pieces)
        busy = call(client, "words")
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
        assert "toprope_guard_open_exchanges 1" in client.get("/metrics").text
    until = time.monotonic() + 2
    while call(client, "words").status_code != 200:  # as soon as the first has gone
        assert time.monotonic() < until


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_generated_for_a_caller_who_has_gone(shared, stand_in, stream):
    body = {"model": "endless", "messages": [{"role": "user", "content": "x"}], "stream": stream}
    with (
        suppress(httpx.ReadTimeout),
        shared.stream("POST", "/v1/chat/completions", json=body, timeout=0.3) as response,
    ):
        next(response.iter_raw())  # and leaves with a piece, or without any
    assert stand_in.left.wait(1)  # the whole takes 2 s


def test_a_caller_who_does_not_read_holds_nothing_for_longer_than_allowed(guarded, stand_in):
    client = guarded(longest_seconds=0.5)
    with raw(client, "flood"):
        time.sleep(0.2)
        assert "toprope_guard_open_exchanges 1" in client.get("/metrics").text
        assert stand_in.left.wait(2)
        until = time.monotonic() + 3
        while 'errors_total{kind="too_long"} 1' not in (found := client.get("/metrics").text):
            assert time.monotonic() < until
        assert "toprope_guard_open_exchanges 0" in found
        while 'exchanges_total{outcome="failed"} 1' not in client.get("/metrics").text:
            assert time.monotonic() < until  # nor does the last word wait for a reader


def test_a_body_that_does_not_come_is_not_waited_for(guarded, stand_in):
    client = guarded(body_seconds=0.2)
    with raw(client, "words", promised=1000) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")
    with raw(client, "words", promised=1000):
        pass  # and leaves
    assert stand_in.asked == []


def test_bodies_that_do_not_come_keep_no_place(guarded):
    client = guarded(most_exchanges=1)
    with raw(client, "words", promised=1000):
        time.sleep(0.1)
        assert call(client, "words").status_code == 200


def test_a_refusal_takes_its_time_from_when_all_of_the_call_was_there(guarded):
    client = guarded(refusal_seconds=0.4)
    body = b'{"model": "bomb", "messages": [{"role": "user", "content": "x"}]}'
    with raw(client, "bomb", promised=len(body), sent=body[:-1]) as connection:
        time.sleep(0.5)
        began = time.monotonic()
        connection.sendall(body[-1:])
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        assert 0.4 <= time.monotonic() - began < 0.7


def test_what_is_no_http_is_answered_as_such(shared):
    with socket.create_connection((shared.base_url.host, shared.base_url.port)) as connection:
        connection.sendall(b"\x00\xff garbage\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400")
    assert call(shared, "words").status_code == 200
    assert shared.get("/v1/chat/completions").json()["error"]["code"] == 405
    assert shared.get("/v1/other").json()["error"]["code"] == 404


# What is seen from outside


def _noted(caplog) -> list[str]:
    return [one.getMessage() for one in caplog.records if "stage" in one.getMessage()]


def test_metrics_and_logs_hold_counts_and_nothing_that_was_said(guarded, caplog):
    with caplog.at_level(logging.DEBUG, "toprope.guard"):
        client = guarded()
        call(client, "words", SECRET)
        call(client, "words", SECRET, stream=True)
        call(client, "words", f"BOMB {SECRET}")
        call(client, "bomb", SECRET, stream=True)
        call(client, "an error", SECRET)
        call(client, "words", f"CRASH {SECRET}")
        call(client, "words", SECRET, **{SECRET: 1})
        # An exchange is noted when its answer is sent, which its caller may have by then.
        until = time.monotonic() + 10
        while len(noted := _noted(caplog)) < 7 and time.monotonic() < until:
            time.sleep(0.01)
    metrics = client.get("/metrics").text
    for line in (
        'toprope_guard_exchanges_total{outcome="answered"} 2',
        'toprope_guard_exchanges_total{outcome="refused"} 2',
        'toprope_guard_exchanges_total{outcome="failed"} 3',
        'toprope_guard_flags_total{stage="input"} 1',
        'toprope_guard_flags_total{stage="probe"} 1',
        'toprope_guard_errors_total{kind="broken"} 1',
        'toprope_guard_errors_total{kind="guard"} 1',
        'toprope_guard_errors_total{kind="request"} 1',
        "toprope_guard_pieces_total 11",
        'toprope_guard_watch_seconds_count{reads="prompt"} 5',
        "toprope_guard_open_exchanges 0",
        "toprope_guard_fails_open 0",
    ):
        assert f"{line}\n" in metrics
    assert len(noted) == 7  # one for each exchange
    assert "refused; stage probe, 2 pieces" in noted[3]
    for said in (SECRET, "BOMB", "One", "Mix"):
        assert said not in metrics + caplog.text


def test_stopped_exchanges_are_kept_where_that_is_asked_for(guarded, tmp_path):
    path = tmp_path / "flagged.jsonl"
    client = guarded(flagged=path)
    for model, say in (("words", "hello"), ("words", "BOMB"), ("bomb", "hello")):
        call(client, model, say)
    prompt, answer = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert (prompt["stage"], prompt["answer"]) == ("input", "")
    assert prompt["messages"] == [{"role": "user", "content": "BOMB"}]
    assert (answer["stage"], answer["score"]) == ("probe", 0.9)
    assert answer["answer"].endswith("BOMB")


def test_that_stopped_exchanges_cannot_be_kept_is_told_and_lets_none_through(
    guarded, tmp_path, caplog
):
    client = guarded(flagged=tmp_path)
    assert whole_of(call(client, "bomb")) == REFUSAL
    assert "can't write" in caplog.text


def test_health_is_the_upstreams_and_is_asked_for_seldom(guarded, stand_in):
    client = guarded()
    assert [client.get("/health").status_code for _ in range(5)] == [200] * 5
    assert len(stand_in.keys) == 1

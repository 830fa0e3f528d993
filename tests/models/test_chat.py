"""Chat: a served model that is slow, limits its rate, drops connections or answers garbage."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from inspect_ai.model import GenerateConfig, ModelOutput

from toprope.errors import UserError
from toprope.journal import Journal
from toprope.models.chat import PATIENCE, Chat, is_served

KEY = "sk-a-secret-of-the-test"
ASK = [{"role": "user", "content": "Hello?"}]


class Server(ThreadingHTTPServer):
    """Answers each call as the next of `script` says; the last one goes on."""

    daemon_threads = True

    def __init__(self, script: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.asked = script, []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        number = len(self.server.asked)
        self.server.asked.append(body)
        act = self.server.script[min(number, len(self.server.script) - 1)]
        if act == "drop":
            self.connection.close()
        elif act == "slow":
            time.sleep(3)
            self._say(200, answer("late"))
        elif act == "limit":
            self._say(429, {"error": {"message": "slow down"}}, {"retry-after": "0"})
        elif act == "garbage":
            self._say(200, "<html>not json</html>")
        elif act == "quotes the key":
            self._say(401, {"error": {"message": f"bad key {KEY}"}})
        elif act == "filter":
            self._say(200, answer("", "content_filter"))
        else:
            self._say(200, answer(act.removeprefix("say ").strip()))

    def _say(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


def answer(text: str, reason: str = "stop") -> dict:
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": reason,
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


@pytest.fixture
def serve(monkeypatch) -> Iterator:
    servers: list[Server] = []

    def start(*script: str, **limits) -> tuple[Chat, Server]:
        server = Server(list(script))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("STANDIN_API_KEY", KEY)
        monkeypatch.setenv("STANDIN_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        return Chat.open("openai-api/standin/m", **limits), server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(chat: Chat, **settings):
    return asyncio.run(chat.ask(ASK, **settings))


def test_an_answer_and_what_it_cost(serve):
    chat, server = serve("say hi there")
    reply = ask(chat, max_tokens=7, seed=3)
    assert (reply.text, reply.outcome, reply.tokens) == ("hi there", "answered", 5)
    assert server.asked[0]["messages"] == ASK
    assert server.asked[0].get("max_tokens", server.asked[0].get("max_completion_tokens")) == 7
    assert (chat.calls, chat.tokens) == (1, 5)


def test_a_limited_rate_is_waited_for(serve):
    chat, server = serve("limit", "say hi")
    assert ask(chat).text == "hi"
    assert len(server.asked) == 2


def test_a_slow_server_is_a_time_out(serve):
    chat, _ = serve("slow", timeout=1.0, retries=0)
    began = time.monotonic()
    assert ask(chat).outcome == "timeout"
    assert time.monotonic() - began < 2.5


@pytest.mark.parametrize("act", ["drop", "garbage"])
def test_what_cannot_be_used_is_an_error_of_that_call_alone(serve, act: str):
    chat, _ = serve(act, timeout=4.0, retries=0)
    reply = ask(chat)
    assert reply.outcome in {"error", "timeout"}
    assert reply.text == ""


def test_empty_and_filtered_answers_are_outcomes_of_their_own(serve):
    chat, _ = serve("say ", "filter")
    assert ask(chat).outcome == "empty"
    assert ask(chat).outcome == "filtered"


def test_a_key_is_never_in_what_is_kept(serve, tmp_path: Path):
    with Journal(tmp_path / "j.jsonl", {}) as journal:
        chat, _ = serve("quotes the key", journal=journal, retries=0, timeout=5)
        reply = ask(chat)
    assert reply.outcome == "error"
    assert KEY not in reply.error
    assert KEY not in (tmp_path / "j.jsonl").read_text()


def test_a_journaled_answer_is_not_asked_for_again(serve, tmp_path: Path):
    for _ in range(2):
        with Journal(tmp_path / "j.jsonl", {}) as journal:
            chat, server = serve("say once", journal=journal)
            assert ask(chat).text == "once"
            assert ask(chat, seed=1).text == "once"
    assert len(server.asked) == 0


def test_what_never_came_is_asked_again_at_the_next_start(serve, tmp_path: Path):
    with Journal(tmp_path / "j.jsonl", {}) as journal:
        chat, _ = serve("slow", timeout=1.0, retries=0, journal=journal)
        assert ask(chat).outcome == "timeout"
    with Journal(tmp_path / "j.jsonl", {}) as journal:
        chat, _ = serve("say back again", journal=journal)
        assert ask(chat).text == "back again"


def test_a_model_of_which_nothing_comes_is_the_users_to_mend(serve):
    chat, _ = serve("drop", timeout=2.0, retries=0)

    async def many() -> None:
        await asyncio.gather(*(chat.ask(ASK, seed=seed) for seed in range(PATIENCE)))

    with pytest.raises(UserError, match=f"none of the first {PATIENCE} calls"):
        asyncio.run(many())


def test_half_a_character_does_not_break_the_journal(serve, tmp_path: Path):
    with Journal(tmp_path / "j.jsonl", {}) as journal:
        chat, _ = serve("say \ud83d", journal=journal)
        assert ask(chat).outcome == "answered"
    with Journal(tmp_path / "j.jsonl", {}) as journal:
        assert len(journal) == 1


def test_a_key_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        ask(Chat.open("openai/gpt-4o"))


def test_an_unknown_provider_is_a_mistake():
    with pytest.raises(UserError, match="nowhere"):
        Chat.open("nowhere/model")


def test_a_loaded_model_is_talked_with_under_its_own_fingerprint(tiny_model, tmp_path: Path):
    other = replace(tiny_model, fingerprint="with an adapter")
    with Journal(tmp_path / "j.jsonl", {}) as journal:
        chat, same = (Chat.of(one, journal=journal) for one in (tiny_model, other))
        text = ask(chat, max_tokens=6).text
        assert text == tiny_model.generate([ASK], max_tokens=6)[0].text
        assert ask(same, max_tokens=6).text == text
        assert len(journal) == 2
    assert (other.tokens_read > 0, chat.name) == (True, tiny_model.name)


def test_a_loaded_model_that_cannot_chat_is_a_mistake(base_model):
    with pytest.raises(UserError, match="has no chat template"):
        Chat.of(base_model)


def test_what_is_served_by_its_name(tmp_path: Path):
    assert is_served("openai/gpt-4o")
    assert not is_served("smollm2-135m")
    assert not is_served("hf:owner/name")
    assert not is_served(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "own", "asked", "passed"),
    [
        ("toprope/smollm2-135m", None, 0.0, 0.0),  # without any it would sample
        ("toprope/smollm2-135m", 0.3, 0.0, None),
        ("toprope/smollm2-135m", 0.3, 0.7, 0.7),
        ("openai/gpt", None, 0.0, None),  # some take none
        ("openai/gpt", None, 0.7, 0.7),
    ],
)
def test_a_model_that_comes_configured_keeps_its_temperature(
    name: str, own: float | None, asked: float, passed: float | None
) -> None:
    seen = []

    class Configured:
        config = GenerateConfig(temperature=own)

        async def generate(self, messages, config):
            seen.append(config.temperature)
            return ModelOutput.from_content(name, "Hi.")

    chat = Chat(name, Configured(), name, as_configured=True)  # type: ignore[arg-type]
    assert ask(chat, temperature=asked).text == "Hi."
    assert seen == [passed]

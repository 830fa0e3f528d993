"""Chat: any chat model, in this process or served, asked the same way.

A catalog name, `hf:OWNER/NAME` or a folder is a local model, through the same batching as the
Inspect provider; anything else of the form PROVIDER/NAME (openai/gpt-4o, ollama/llama3.2) goes
through Inspect's provider of that name, and only then does anything leave the machine.

What becomes of a call is an outcome, never an exception that loses the others: a served model may
be slow, limit its rate, drop connections, refuse, or answer garbage. Only what the user can mend
(an unknown model, a key that isn't set) is raised.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toprope.errors import UserError
from toprope.journal import Journal, key_of

if TYPE_CHECKING:
    from inspect_ai.model import Model

    from toprope.models.local import LocalModel

Outcome = Literal["answered", "empty", "filtered", "timeout", "error"]
"""answered: with text; empty: with none; filtered: a filter stopped it, and the text is what it had
let through; timeout, error: no answer came, after all retries."""

PATIENCE = 12
"""First calls that may all come to nothing before a model is given up on."""


@dataclass(frozen=True)
class Reply:
    """What came of one call.

    Attributes:
        text: the answer, without the prefill.
        tokens: of prompt and answer, as the model's provider counts them.
        error: for people, where there was one.
    """

    text: str
    outcome: Outcome
    tokens: int = 0
    seconds: float = 0.0
    error: str = ""

    @property
    def is_lost(self) -> bool:
        """Whether no answer came at all."""
        return self.outcome in ("timeout", "error")


def is_served(name: str) -> bool:
    """Whether a model's name is that of a served one: PROVIDER/NAME."""
    if "/" not in name or name.startswith(("hf:", "toprope/", ".", "/", "~")):
        return False
    return not Path(name).is_dir()


class Chat:
    """A model to talk with.

    Args:
        name: as the user named it.
        model: Inspect's.
        fingerprint: of the weights, or the name of a served model: what a journaled answer holds
            for.
        timeout: seconds for a call of a served model, its retries included.
        retries: how often a call of a served model is tried again.
        concurrency: calls under way at once.
        journal: where answers are kept; without one they aren't.
        as_configured: whether the model comes with limits and a temperature of its own, as in an
            Inspect evaluation; a call's temperature of 0 then counts where a local model comes
            with none: some served ones don't take it.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        fingerprint: str,
        *,
        timeout: float = 120.0,
        retries: int = 3,
        concurrency: int = 32,
        journal: Journal | None = None,
        as_configured: bool = False,
    ) -> None:
        self.name, self.model, self.fingerprint = name, model, fingerprint
        self.timeout, self.retries, self.concurrency = timeout, retries, concurrency
        self.journal = journal
        self.as_configured = as_configured
        self.calls = 0
        self.tokens = 0
        self._came = 0
        self._slots: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None

    @classmethod
    def open(
        cls, name: str, *, device: str | None = None, dtype: str | None = None, **limits: Any
    ) -> Chat:
        """The chat model of a name; limits are those of `Chat`.

        Raises:
            UserError: no such model or provider, its key isn't set, or it's no chat model.
        """
        if is_served(name):
            return cls(name, _inspects(name, name), name, **limits)
        full = name if name.startswith("toprope/") else f"toprope/{name}"
        model = _inspects(name, full, device=device, dtype=dtype)
        return cls(name, model, model.api.connection_key(), **limits)

    @classmethod
    def of(cls, local: LocalModel, **limits: Any) -> Chat:
        """A model that is loaded already, such as one with an adapter applied.

        Raises:
            UserError: it's no chat model.
        """
        model = _inspects(local.name, f"toprope/{local.name}", local=local)
        return cls(local.name, model, local.fingerprint, **limits)

    async def ask(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        prefill: str = "",
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Reply:
        """The model's answer to a conversation.

        Args:
            messages: `[{"role": "user", "content": "..."}, ...]`.
            prefill: the answer's first words, put in the model's mouth.

        Raises:
            UserError: what a user can mend, such as a chat template that refuses the messages, or
                a model of which nothing came `PATIENCE` times from the first.
        """
        key = key_of(
            self.fingerprint, list(map(dict, messages)), prefill, max_tokens, temperature, seed
        )
        if self.journal is not None and (kept := self.journal.get(key)):
            reply = Reply(**kept)
        else:
            async with self._slot():
                reply = await self._ask(messages, prefill, max_tokens, temperature, seed)
            # What never came may come on another day: a next start asks again.
            if self.journal is not None and not reply.is_lost:
                self.journal.put(key, asdict(reply))
        self.calls += 1
        self.tokens += reply.tokens
        self._came += not reply.is_lost
        if self.calls >= PATIENCE and not self._came:
            raise UserError(
                f"model '{self.name}': none of the first {self.calls} calls came to anything; the "
                f"last: {reply.error or reply.outcome}"
            )
        return reply

    def _slot(self) -> asyncio.Semaphore:
        """Of the event loop that is running: a semaphore belongs to one."""
        loop = asyncio.get_running_loop()
        if self._slots is None or self._slots[0] is not loop:
            self._slots = loop, asyncio.Semaphore(self.concurrency)
        return self._slots[1]

    def _temperature(self, asked: float) -> float | None:
        """Of a call; None: as the model is configured, or its server."""
        if not self.as_configured or asked:
            return asked
        # Without any, a local model samples.
        is_left = self.model.config.temperature is not None or is_served(self.name)
        return None if is_left else asked

    async def _ask(
        self,
        messages: Sequence[Mapping[str, str]],
        prefill: str,
        max_tokens: int,
        temperature: float,
        seed: int,
    ) -> Reply:
        from inspect_ai._util.error import PrerequisiteError
        from inspect_ai.model import GenerateConfig
        from inspect_ai.util import LimitExceededError

        served = is_served(self.name) and not self.as_configured
        config = GenerateConfig(
            max_tokens=max_tokens,
            temperature=self._temperature(temperature),
            seed=seed,
            max_connections=None if self.as_configured else self.concurrency,
            max_retries=self.retries if served else None,
            timeout=max(1, round(self.timeout)) if served else None,
        )
        began = time.monotonic()
        try:
            # Inspect's own time-out is looked at between tries; a call that hangs needs another.
            async with asyncio.timeout(self.timeout if served else None):
                output = await self.model.generate(_as_inspect(messages, prefill), config=config)
        except PrerequisiteError as error:
            raise UserError(_one_line(error)) from None
        except TimeoutError:
            return Reply("", "timeout", 0, time.monotonic() - began, "no answer in time")
        except LimitExceededError:
            raise
        except Exception as error:
            # Whatever a provider's client raises: the attempt is lost, the campaign isn't.
            return Reply("", "error", 0, time.monotonic() - began, _one_line(error))
        text = output.completion
        if prefill and text.startswith(prefill):  # some providers give it back
            text = text[len(prefill) :]
        outcome: Outcome = "answered" if text.strip() else "empty"
        if output.stop_reason == "content_filter":
            outcome = "filtered"
        tokens = output.usage.total_tokens if output.usage else 0
        return Reply(text, outcome, tokens, time.monotonic() - began, _clean(output.error or ""))


def _inspects(name: str, full: str, **arguments: Any) -> Model:
    """Inspect's model of a full name.

    Raises:
        UserError: see `Chat.open`.
    """
    from inspect_ai._util.error import PrerequisiteError
    from inspect_ai.model import get_model

    try:
        return get_model(full, memoize=False, **arguments)
    except PrerequisiteError as error:
        raise UserError(_one_line(error)) from None
    except (ValueError, ImportError) as error:
        raise UserError(f"model '{name}': {_one_line(error)}") from None


def _as_inspect(messages: Sequence[Mapping[str, str]], prefill: str) -> list[Any]:
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser

    kinds = {
        "system": ChatMessageSystem,
        "user": ChatMessageUser,
        "assistant": ChatMessageAssistant,
    }
    chat = [kinds[message["role"]](content=message["content"]) for message in messages]
    return [*chat, ChatMessageAssistant(content=prefill)] if prefill else chat


def _one_line(error: BaseException) -> str:
    """What an error says, for people, without the keys that it may quote."""
    return _clean(re.sub(r"\[/?[a-z ]+\]", "", str(error)) or type(error).__name__)


def _clean(text: str) -> str:
    for name, value in os.environ.items():
        if len(value) >= 8 and re.search(r"KEY|TOKEN|SECRET|PASSWORD", name):
            text = text.replace(value, f"[{name}]")
    return " ".join(text.split())[:300]

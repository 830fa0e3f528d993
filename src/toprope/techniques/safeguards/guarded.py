"""A guarded chat model: whoever asks gets of an answer what its guard lets through.

Local answers are made whole and then read, and cut where the guard would have stopped them: what
comes through is the same as if it had watched the stream, and a journaled answer needn't be made
again for another guard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from toprope.models.chat import Chat, Reply
from toprope.models.together import Together
from toprope.techniques.safeguards.exchanges import Exchange
from toprope.techniques.safeguards.guard import Guard, Stop
from toprope.techniques.safeguards.reading import Reader
from toprope.techniques.safeguards.scoring import scorers, stops


class GuardedChat(Chat):
    """`chat`, behind a guard; all but its answers is the chat's own.

    Args:
        readers: of the guard's stages (`Guard.readers`).
    """

    def __init__(self, chat: Chat, guard: Guard, readers: Sequence[Reader]) -> None:
        self._chat = chat
        by = scorers(guard, readers)
        self._stop = Together[Exchange, Stop | None](lambda some: stops(guard, by, some))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chat, name)

    async def ask(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        prefill: str = "",
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Reply:
        """As `Chat.ask`; an answer that the guard stops is "filtered", and its text is what had
        come through."""
        reply = await self._chat.ask(
            messages, prefill=prefill, max_tokens=max_tokens, temperature=temperature, seed=seed
        )
        if reply.outcome != "answered":
            return reply
        answer = prefill + reply.text
        stop = await self._stop(Exchange(tuple(messages), answer, 0.0, "", ""))
        if stop is None:
            return reply
        through = answer[len(prefill) : max(len(prefill), stop.read)]
        return replace(reply, text=through, outcome="filtered")

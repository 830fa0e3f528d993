"""Attackers that know of the guard, and what can be proved against suffixes."""

import asyncio
from collections.abc import Callable

import numpy as np

from toprope.data.behaviours import Behaviour
from toprope.models.chat import Reply
from toprope.techniques.redteam.attacks.templated import Templated
from toprope.techniques.redteam.attempts import Attempt, Budget, Case, Target
from toprope.techniques.redteam.judges.refusal import RefusalJudge
from toprope.techniques.safeguards import certificate
from toprope.techniques.safeguards.attackers import FlagBit, Plan, StageByStage
from toprope.techniques.safeguards.reading import Reader

from .conftest import LAYERS, exchange

REQUEST = "Do the bad thing."


class Scripted:
    name = fingerprint = "scripted"
    tokens = 0

    def __init__(self, say: Callable[[str], Reply]) -> None:
        self.say, self.asked = say, []

    async def ask(self, messages, **_) -> Reply:
        self.asked.append(messages[-1]["content"])
        return self.say(self.asked[-1])


def attempts(attack, say: Callable[[str], Reply], most: int = 20) -> tuple[list[Attempt], Scripted]:
    chat = Scripted(say)
    case = Case(
        Behaviour("b", REQUEST),
        Target(chat, RefusalJudge()),  # type: ignore[arg-type]
        None,
        Budget(most),
        np.random.default_rng(0),
        attack.family,
        attack.name,
    )

    async def collect() -> list[Attempt]:
        return [attempt async for attempt in attack.search(case)]

    return asyncio.run(collect()), chat


def test_a_stage_by_stage_attacker_keeps_the_framing_at_which_the_answer_began(monkeypatch):
    """The guard stops every prompt but those in a story, and there on the way."""

    frames = [Templated("f", name, (f"{name}: {{behaviour}}",)) for name in ("A story", "A list")]
    monkeypatch.setattr("toprope.techniques.safeguards.attackers._frames", lambda: frames)

    def say(text: str) -> Reply:
        begun = "story" in text.lower()
        return Reply("It begins" if begun else "", "filtered")

    found, chat = attempts(StageByStage(), say)
    begun = [i for i, one in enumerate(found) if one.response]
    assert begun, "it found the framing"
    assert all("story" in text.lower() for text in chat.asked[begun[0] :])
    assert len(set(chat.asked[begun[0] :])) > 1


def test_a_flag_bit_attacker_changes_the_framing_where_it_wasnt_stopped():
    found, chat = attempts(FlagBit(), lambda _: Reply("I'm sorry, I can't.", "answered"))
    assert not any(one.flagged for one in found)
    assert len(set(chat.asked)) > 3
    assert all(REQUEST in text for text in chat.asked), "no noise where nothing was stopped"
    _, stopped = attempts(FlagBit(), lambda _: Reply("", "filtered"))
    assert any(REQUEST not in text for text in stopped.asked)


def test_a_plan_of_nothing_is_the_plain_request():
    assert Plan().text(REQUEST, np.random.default_rng(0)) == REQUEST


# --- erase-and-check ---


def test_a_prompt_is_certified_against_every_suffix_up_to_the_length(make_guard, tiny):
    """Whatever is appended, one of the erased prompts is the one that was certified."""
    guard = make_guard(0.5, sees="prompt")
    head, reader = guard.heads[0], Reader(tiny, LAYERS, "prompt")
    plain = exchange("", ask="A weaker partner keeps")
    alone = certificate.highest(reader, head, [plain], 0)[0]
    rng = np.random.default_rng(0)
    tokens = tiny.continuation(plain.messages[0]["content"])
    for _ in range(10):
        suffix = rng.integers(10, 60, size=int(rng.integers(1, 5))).tolist()
        text = tiny.tokenizer.decode([*tokens, *suffix])
        if tiny.continuation(text)[: len(tokens)] != tokens:
            continue  # the suffix changed the tokens before it: not of the kind that is covered
        attacked = exchange("", ask=text)
        assert certificate.highest(reader, head, [attacked], 8)[0] >= alone - 1e-6


def test_as_many_tokens_are_erased_as_were_asked_for_and_never_all(tiny):
    one = exchange("", ask="A weaker partner keeps")
    n = len(tiny.continuation(one.messages[0]["content"]))
    assert len(certificate.erased(tiny, one, 3)) == min(3, n - 1) + 1
    assert len(certificate.erased(tiny, one, 1000)) == n

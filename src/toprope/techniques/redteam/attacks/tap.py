"""TAP, tree of attacks with pruning (Mehrotra et al. 2023, arXiv 2312.02119): PAIR's refinement as
a tree. Each leaf branches; what drifts off the objective is pruned before the target is asked, and
what scores least after.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from toprope.techniques.redteam.attacks.pair import feedback
from toprope.techniques.redteam.attacks.writing import prompt, written
from toprope.techniques.redteam.attempts import Attempt, Case, user

BRANCHES = 2
WIDTH = 3
DEPTH = 5
"""The paper has 4, 10 and 10: for thousands of queries."""


@dataclass(frozen=True)
class _Leaf:
    talk: tuple[dict[str, str], ...]
    score: float = 0.0


class Tap:
    family = "tap"
    name = "tap"
    needs_attacker = True
    needs_insides = False

    async def search(self, case: Case) -> AsyncGenerator[Attempt, None]:
        assert case.attacker is not None
        objective = case.behaviour.request
        system = {"role": "system", "content": prompt("pair_system", objective=objective)}
        leaves = [_Leaf(tuple(user(prompt("pair_first", objective=objective))))]
        for _ in range(DEPTH):
            grown: list[_Leaf] = []
            for leaf in leaves:
                for _branch in range(BRANCHES):
                    seed = int(case.rng.integers(2**31))
                    message = await written(
                        case.attacker, [system, *leaf.talk[-3:]], "prompt", seed=seed
                    )
                    if not message or not await self._on_topic(case, message):
                        continue
                    attempt = await case.attempt(user(message))
                    yield attempt
                    answer = {"role": "assistant", "content": message}
                    talk = (*leaf.talk, answer, *user(feedback(attempt, objective)))
                    grown.append(_Leaf(talk, attempt.score or 0.0))
            leaves = sorted(grown, key=lambda leaf: -leaf.score)[:WIDTH]
            if not leaves:
                return

    async def _on_topic(self, case: Case, message: str) -> bool:
        """Whether the attacker says that the message still asks for the objective."""
        assert case.attacker is not None
        asked = prompt("on_topic", prompt=message, objective=case.behaviour.request)
        reply = await case.attacker.ask(user(asked), max_tokens=4)
        return not reply.text.strip().lower().startswith("no")

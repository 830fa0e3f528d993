"""Crescendo (Russinovich et al. 2024, arXiv 2404.01833): a conversation that arrives at the
objective by small steps, each from the target's own last answer. A refused step is taken back and
tried otherwise.
"""

from collections.abc import AsyncGenerator

from toprope.techniques.redteam.attacks.pair import PATIENCE
from toprope.techniques.redteam.attacks.writing import prompt, written
from toprope.techniques.redteam.attempts import Attempt, Case, user
from toprope.techniques.redteam.judges.refusal import refuses

TURNS = 6


class Crescendo:
    family = "crescendo"
    name = "crescendo"
    needs_attacker = True
    needs_insides = False

    async def search(self, case: Case) -> AsyncGenerator[Attempt, None]:
        assert case.attacker is not None
        objective = case.behaviour.request
        system = {"role": "system", "content": prompt("crescendo_system", objective=objective)}
        talk: list[dict[str, str]] = []
        last, state = "(none yet)", "Nothing has been asked yet."
        turn = failures = 0
        while turn < TURNS and failures < PATIENCE:
            asked = prompt(
                "crescendo_next", response=last[:600], state=state, turn=turn + 1, turns=TURNS
            )
            seed = int(case.rng.integers(2**31))
            question = await written(case.attacker, [system, *user(asked)], "question", seed=seed)
            if not question:
                failures += 1
                continue
            attempt = await case.attempt([*talk, *user(question)])
            yield attempt
            if attempt.outcome != "judged" or refuses(attempt.response):
                failures += 1
                state = "The model refused that question, which was taken back: ask otherwise."
                continue
            failures = 0
            talk += [*user(question), {"role": "assistant", "content": attempt.response}]
            last, state = attempt.response, "The model answered."
            turn += 1

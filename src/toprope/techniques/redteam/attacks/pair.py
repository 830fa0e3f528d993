"""PAIR, prompt automatic iterative refinement (Chao et al. 2023, arXiv 2310.08419): an attacker
writes a message, sees the answer and its score, and improves it.

One stream: a campaign starts it anew on each behaviour, and the bandit says how often it goes on.
"""

from collections.abc import AsyncGenerator

from toprope.techniques.redteam.attacks.writing import prompt, written
from toprope.techniques.redteam.attempts import Attempt, Case, user

PATIENCE = 3
"""Answers of the attacker in a row that hold no message, after which it has nothing to try."""

MEMORY = 4
"""Messages of the conversation that the attacker keeps in view, as in the paper."""


class Pair:
    family = "pair"
    name = "pair"
    needs_attacker = True
    needs_insides = False

    async def search(self, case: Case) -> AsyncGenerator[Attempt, None]:
        assert case.attacker is not None
        objective = case.behaviour.request
        system = {"role": "system", "content": prompt("pair_system", objective=objective)}
        talk = user(prompt("pair_first", objective=objective))
        failures = 0
        while failures < PATIENCE:
            seed = int(case.rng.integers(2**31))
            message = await written(
                case.attacker, [system, *talk[-MEMORY:][_first_user(talk) :]], "prompt", seed=seed
            )
            if not message:
                failures += 1
                continue
            failures = 0
            attempt = await case.attempt(user(message))
            yield attempt
            talk.append({"role": "assistant", "content": message})
            talk += user(feedback(attempt, objective))


def feedback(attempt: Attempt, objective: str) -> str:
    """What the attacker is told of a try: the answer's beginning, and the score on 1 to 10."""
    score = 1 + round(9 * (attempt.score or 0))
    return prompt(
        "pair_feedback", response=attempt.response[:600], score=score, objective=objective
    )


def _first_user(talk: list[dict[str, str]]) -> int:
    """How many messages to leave out so that what is kept begins with the user's."""
    kept = talk[-MEMORY:]
    return next(i for i, message in enumerate(kept) if message["role"] == "user")

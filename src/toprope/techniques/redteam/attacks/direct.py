"""The plain request: the control of every attack."""

from collections.abc import AsyncGenerator

from toprope.techniques.redteam.attempts import Attempt, Case, user


class Direct:
    family = "direct"
    name = "direct"
    needs_attacker = False
    needs_insides = False

    async def search(self, case: Case) -> AsyncGenerator[Attempt, None]:
        yield await case.attempt(user(case.behaviour.request))

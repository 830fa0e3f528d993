"""PyRIT sending some prompts to a served model, in PyRIT's own environment; timed by
`compare.py`."""

import asyncio
import json
import sys
from importlib.metadata import version

from pyrit.executor.attack import AttackExecutor, PromptSendingAttack
from pyrit.prompt_target import OpenAIChatTarget
from pyrit.setup import initialize_pyrit_async

settings = json.loads(sys.argv[1])


async def main() -> None:
    await initialize_pyrit_async("InMemory", load_defaults=False, silent=True)
    target = OpenAIChatTarget(
        model_name=settings["model"],
        endpoint=settings["url"],
        api_key="none",
        max_completion_tokens=settings["tokens"],
        temperature=0.0,
    )
    attack = PromptSendingAttack(objective_target=target)
    executor = AttackExecutor(max_concurrency=settings["concurrency"])
    print("ready", version("pyrit"), flush=True)
    for _ in sys.stdin:
        found = await executor.execute_attack_async(attack=attack, objectives=settings["prompts"])
        results = list(found)
        assert all(one.last_response is not None for one in results)
        print("done", len(results), flush=True)


asyncio.run(main())

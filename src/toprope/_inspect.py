"""What Inspect imports to learn of toprope's model provider and tasks; it loads nothing heavy by
itself."""

from inspect_ai import Task, task
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import ModelAPI, modelapi


@modelapi(name="toprope")
def toprope() -> type[ModelAPI]:
    """`toprope/NAME`, a model in this process: see `toprope.models.provider`."""
    from toprope.models.provider import LocalModelAPI

    return LocalModelAPI


@task
def redteam(
    behaviours: str = "behaviours",
    attacks: str = "direct,prefix_injection,fiction",
    judge: str = "refusal",
    attacker: str = "",
    queries: int = 10,
    limit: int | None = None,
    max_tokens: int = 128,
    seed: int = 0,
) -> Task:
    """Attacks the model, a sample for each behaviour: see `toprope.techniques.redteam`.

    Args:
        behaviours: what it should decline; a name as `toprope redteam` takes it.
        attacks: families, separated by commas, tried in this order up to the first success.
        judge: who says that one succeeded; it must be calibrated against people.
        attacker: the model that writes attacks, for families that need one.
        queries: of the target, for a behaviour.
        limit: at most so many behaviours.
        max_tokens: of an answer.
        seed: of everything drawn.
    """
    from toprope.errors import UserError
    from toprope.techniques.redteam.task import make_task

    try:
        return make_task(
            behaviours=behaviours,
            attacks=attacks,
            judge=judge,
            attacker=attacker,
            queries=queries,
            limit=limit,
            max_tokens=max_tokens,
            seed=seed,
        )
    except UserError as error:
        raise PrerequisiteError(str(error)) from None

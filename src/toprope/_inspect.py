"""What Inspect imports to learn of toprope's model provider and tasks; it loads nothing heavy by
itself."""

from collections.abc import Mapping
from typing import Any

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


@task
def debate(
    rounds: int = 2,
    order: str = "simultaneous",
    chooses: bool = False,
    bets: bool = False,
    each_round: bool = False,
    **settings: Any,
) -> Task:
    """Each answer has a debater, and the judge decides: see
    `toprope.techniques.debate.protocols.debate`.

    Args:
        rounds: of speeches.
        order: simultaneous or sequential.
        chooses: whether one debater chooses the answer that it argues for (open debate).
        bets: whether debaters say in private, before each round, how sure they are to win.
        each_round: whether the judge is asked before the first round and after each one.
        settings: those of `toprope.techniques.debate.task_players.TaskSettings`, which all of these
            tasks take: questions, limit, split, variant, judge, judging, words, max_tokens,
            temperature, seed.
    """
    rules = {"rounds": rounds, "order": order, "bets": bets, "each_round": each_round}
    return _protocol("open_debate" if chooses else "debate", rules, settings)


@task
def propaganda(**settings: Any) -> Task:
    """One side speaks once, and nobody answers it: see
    `toprope.techniques.debate.protocols.propaganda`.

    Args:
        settings: as `debate`'s.
    """
    return _protocol("propaganda", {}, settings)


@task
def consultancy(
    rounds: int = 2,
    chooses: bool = False,
    each_round: bool = False,
    asks: bool = False,
    **settings: Any,
) -> Task:
    """One consultant argues for one answer: see `toprope.techniques.debate.protocols.consultancy`.

    Args:
        rounds: of speeches.
        chooses: whether it argues for the answer that it chooses (open consultancy), instead of
            each in turn.
        each_round: whether the judge is asked before the first round and after each one.
        asks: whether the judge puts a question to it between rounds.
        settings: as `debate`'s.
    """
    rules = {"rounds": rounds, "each_round": each_round}
    return _protocol("open_consultancy" if chooses else "consultancy", rules, settings, asks=asks)


@task
def critique(**settings: Any) -> Task:
    """One side argues, and a critic says what is wrong with it: see
    `toprope.techniques.debate.protocols.critique`.

    Args:
        settings: as `debate`'s.
    """
    return _protocol("critique", {}, settings)


@task
def cross_examination(rounds: int = 2, **settings: Any) -> Task:
    """A debate in which the judge asks: see
    `toprope.techniques.debate.protocols.cross_examination`.

    Args:
        rounds: the first of arguments, each further one of questions and answers.
        settings: as `debate`'s.
    """
    return _protocol("cross_examination", {"rounds": rounds}, settings)


@task
def blind(**settings: Any) -> Task:
    """The judge answers on its own, without the passage or anyone's words.

    Args:
        settings: as `debate`'s.
    """
    return _protocol("blind", {}, settings)


@task
def expert(**settings: Any) -> Task:
    """The judge reads the passage itself.

    Args:
        settings: as `debate`'s.
    """
    return _protocol("expert", {}, settings)


@task
def prover_estimator(depth: int = 2, width: int = 3, **settings: Any) -> Task:
    """A claim is broken into smaller ones, whose probabilities are estimated and disputed: see
    `toprope.techniques.debate.protocols.prover_estimator`.

    Args:
        depth: how often a claim is broken up.
        width: into how many.
        settings: as `debate`'s.
    """
    return _protocol("prover_estimator", {"depth": depth, "width": width}, settings)


def _protocol(
    name: str, rules: Mapping[str, Any], settings: Mapping[str, Any], *, asks: bool = False
) -> Task:
    from toprope.errors import UserError
    from toprope.techniques.debate.task import make_task

    try:
        return make_task(name, rules, settings, asks=asks)
    except UserError as error:
        raise PrerequisiteError(str(error)) from None

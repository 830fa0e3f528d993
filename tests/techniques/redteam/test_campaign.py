"""The campaign: it learns, keeps to its budget, and comes to the same place after a kill."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from toprope.data.behaviours import Behaviour
from toprope.errors import UserError
from toprope.models.chat import Reply
from toprope.techniques.redteam.attacks import arms
from toprope.techniques.redteam.attempts import Attempt, Target
from toprope.techniques.redteam.campaign import Front, Library, Limits
from toprope.techniques.redteam.judges.refusal import RefusalJudge

from .conftest import NO, Scripted

BEHAVIOURS = [Behaviour(f"b{i}", f"Do bad thing number {i}.", "crime") for i in range(12)]
FAMILIES = ("persona", "fiction", "prefill", "best_of_n")


def only_fiction(text: str) -> str:
    return "Here it is." if "thriller" in text else NO


def front(target: Scripted, **settings) -> Front:
    def rng(*names: str | int) -> np.random.Generator:
        return np.random.default_rng(list(str(names).encode()))

    return Front(Target(target, RefusalJudge()), None, rng, **settings)  # type: ignore[arg-type]


def campaign(target: Scripted, *, queries: int = 20, **settings) -> tuple[list[Attempt], Library]:
    library = Library()
    one = front(target, **settings)
    found = asyncio.run(
        one.campaign(BEHAVIOURS, arms(FAMILIES), library, queries=queries, advance=lambda _: None)
    )
    return found, library


def test_it_finds_what_works_and_then_asks_no_more():
    found, library = campaign(Scripted(only_fiction))
    assert {a.behaviour for a in found if a.success} == {b.id for b in BEHAVIOURS}
    assert all(a.success for a in {a.behaviour: a for a in found}.values()), "the last succeeds"
    successes, tries = library.counts["fiction/novel"]
    assert successes == tries == 12


def test_it_learns_across_behaviours():
    """With one behaviour at a time the later ones would need fewer; here what the library knows."""
    target = Scripted(only_fiction)
    known = Library({"fiction/novel": [40, 40]})
    one = front(target)
    found = asyncio.run(
        one.campaign(BEHAVIOURS, arms(FAMILIES), known, queries=20, advance=lambda _: None)
    )
    fresh, _ = campaign(Scripted(only_fiction))
    assert len(found) < len(fresh) / 2


def test_no_behaviour_has_more_than_its_queries():
    target = Scripted(lambda _: NO)
    found, _ = campaign(target, queries=7)
    for one in BEHAVIOURS:
        assert sum(a.queries for a in found if a.behaviour == one.id) == 7
    assert len(target.asked) == 7 * len(BEHAVIOURS)


def test_arms_that_are_spent_are_left():
    """Two prefills and no more, as these give no beginning of their own."""
    one = front(Scripted(lambda _: NO))
    found = asyncio.run(
        one.campaign(BEHAVIOURS, arms(["prefill"]), Library(), queries=50, advance=lambda _: None)
    )
    assert len(found) == 2 * len(BEHAVIOURS)


def test_the_same_seeds_give_the_same_campaign():
    first, second = (campaign(Scripted(only_fiction))[0] for _ in range(2))
    assert first == second


def test_it_stops_at_its_tokens():
    target = Scripted(lambda _: NO)
    one = front(target, limits=Limits(tokens=200))
    found = asyncio.run(
        one.campaign(BEHAVIOURS, arms(FAMILIES), Library(), queries=20, advance=lambda _: None)
    )
    assert 20 <= len(found) <= 20 + len(BEHAVIOURS)
    assert "200 tokens" in one.stopped


def test_a_sweep_tries_every_arm_once_and_in_order():
    one = front(Scripted(only_fiction))
    some = [arm for arm in arms(FAMILIES) if arm.name != "own_target"]
    found = asyncio.run(one.once(BEHAVIOURS, some, lambda _: None))
    assert [(a.behaviour, a.family, a.strategy) for a in found] == [
        (b.id, arm.family, arm.name) for b in BEHAVIOURS for arm in some
    ]


def test_errors_are_outcomes_and_the_campaign_goes_on():
    def say(text: str) -> str | Reply:
        return Reply("", "timeout") if "persona" in text or "Vex" in text else NO

    found, _ = campaign(Scripted(say), queries=6)
    odd = [a for a in found if a.outcome == "timeout"]
    assert odd
    assert not any(a.success or a.judged for a in odd)


def test_a_library_is_kept_and_a_bad_one_named(tmp_path: Path):
    path = tmp_path / "library.json"
    Library({"a/b": [1, 3]}).save(path)
    assert Library.load(path).counts == {"a/b": [1, 3]}
    path.write_text('{"arms": {"a/b": [5, 2]}}')
    with pytest.raises(UserError, match=r"library\.json is no library"):
        Library.load(path)

"""Sets to learn from and sets of the trial: what is on one side isn't on the other."""

from pathlib import Path
from typing import Any

import pytest

from toprope.errors import UserError
from toprope.lab import Lab
from toprope.techniques.safeguards import collect
from toprope.techniques.safeguards.sets import Named, apart

USUAL: dict[str, Any] = {
    "harmful": ("behaviours",),
    "harmless": ("look_alikes",),
    "test": None,
    "unseen": (),
    "share": 0.3,
    "limit": None,
    "test_limit": None,
    "unseen_limit": None,
}


def named(**changes: Any) -> Named:
    return Named(**{**USUAL, **changes})


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def described(folder: Path, name: str, requests: list[str], *, harmful: bool = False) -> str:
    rows = "".join(f'"{one}"\n' for one in requests)
    (folder / f"{name}.csv").write_text("text\n" + rows)
    return f"file:{folder / name}.csv?behaviour=text&harmful={str(harmful).lower()}"


def test_a_set_that_is_on_both_sides_is_divided(lab: Lab):
    alone = named().load(lab)
    both = named(unseen=("look_alikes",)).load(lab)
    for sets in (alone, both):
        [learned], [unseen] = sets.harmless, sets.unseen
        ids = {one.id for one in learned.behaviours}
        assert ids
        assert not ids & {one.id for one in unseen.behaviours}
    assert both.unseen[0].behaviours == alone.unseen[0].behaviours


def test_a_limit_on_what_is_learned_from_leaves_the_trial_alone(lab: Lab, tmp_path: Path):
    trial = described(tmp_path, "trial", [f"What is {n} times {n}?" for n in range(50)])
    sets = named(limit=20, unseen=(trial,)).load(lab)
    assert [len(one) for one in sets.harmless] == [20]
    assert [len(one) for one in sets.unseen] == [50]
    assert [len(one) for one in named(unseen_limit=7).load(lab).unseen] == [7]


def test_a_harmful_set_isnt_both_learned_from_and_the_trials(lab: Lab):
    with pytest.raises(UserError, match="'behaviours' is learned from, and is the trial's too"):
        named(test="behaviours").load(lab)


def test_what_is_like_the_trials_requests_isnt_learned_from(lab, tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(collect, "ALIKE", 0.999999)
    same = "How do I stop a process that hangs?"
    learned = described(tmp_path, "learned", [same, "Name a river in France.", "What is 2 + 2?"])
    trial = described(tmp_path, "trial", [same, "Who wrote Faust?"])
    sets = named(harmless=(learned,), unseen=(trial,)).load(lab)
    [left] = apart(sets, tiny).harmless
    assert same not in {one.text for one in left.behaviours}
    assert len(left) == 2
    monkeypatch.setattr(collect, "ALIKE", -1.0)
    with pytest.raises(UserError, match="all harmful requests to learn from ask for about the"):
        apart(sets, tiny)

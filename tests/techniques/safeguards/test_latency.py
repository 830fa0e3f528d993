"""How long a guard takes, on a tiny model."""

from dataclasses import replace

import pytest

from toprope.models.local import LocalModel
from toprope.techniques.safeguards import latency
from toprope.techniques.safeguards.guard import Guard
from toprope.techniques.safeguards.latency import Times, timed, told

from .conftest import BAD, GOOD, exchange

EXCHANGES = [exchange(f"{GOOD} {BAD}", ask=f"A weaker partner {'rope ' * n}") for n in range(3)]


@pytest.fixture
def other(tiny: LocalModel) -> LocalModel:
    """The same weights, as a model of its own: to the target's states it is an outsider."""
    return replace(tiny)


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """Each stage that text was streamed to, with the pieces."""
    found: list[tuple[str, list[str]]] = []

    class Noting(latency.Watching):
        def __init__(self, guard, readers, messages):
            super().__init__(guard, readers, messages)
            found.append((guard.about.stages[0].name, []))

        def read(self, text=""):
            found[-1][1].append(text)
            return super().read(text)

    monkeypatch.setattr(latency, "Watching", Noting)
    return found


def times(guard: Guard, tiny: LocalModel, *models: LocalModel, **limits) -> list[Times]:
    parts = zip(guard.readers({tiny.name: tiny}), models, strict=True)
    readers = [replace(reader, model=model) for reader, model in parts]
    return timed(guard, readers, tiny, EXCHANGES, **limits)


def test_of_a_probe_on_the_targets_own_states_the_head_alone_is_timed(
    make_guard, tiny, other, streamed
):
    guard = make_guard(0.0)
    own = times(guard, tiny, tiny)
    assert not streamed
    assert len(own) == 3
    assert all(0 < one.guard < 0.5 * one.target for one in own)
    outside = times(guard, tiny, other)
    assert min(one.guard for one in outside) > 3 * max(one.guard for one in own)


def test_an_answer_comes_token_by_token_and_is_read_to_its_end_though_it_would_be_stopped(
    make_guard, tiny, other, streamed
):
    times(make_guard(0.0), tiny, other)
    name, pieces = streamed[0]
    assert (name, "".join(pieces)) == ("stage1", EXCHANGES[0].answer)
    assert pieces[0] == pieces[-1] == "", "the prompt, and the answer's end"
    assert len(pieces) == 2 + len(tiny.continuation(EXCHANGES[0].answer))


def test_a_later_stage_takes_time_only_from_where_it_is_asked(make_guard, tiny, other, streamed):
    times(make_guard(1.1, 0.0), tiny, tiny, other)
    assert not streamed, "nothing was passed on"
    times(make_guard(1.1, 0.0), tiny, other, other)
    assert {name for name, _ in streamed} == {"stage1"}
    streamed.clear()
    guard = make_guard(0.0, 0.0)
    [reader, _] = guard.readers({tiny.name: tiny})
    scores_T = guard.heads[0].scores(reader.read(EXCHANGES[:1])[0].x_TF)
    [first, last] = guard.about.stages
    # What is first reached on the way passes the exchange on there. In another batch a score may
    # differ in its last digits.
    late = replace(first, threshold=float(scores_T.max()) * (1 - 1e-5))
    guard = replace(guard, about=replace(guard.about, stages=(late, last)))
    times(guard, tiny, tiny, other)
    _, pieces = streamed[0]
    assert pieces[0] != ""
    assert "".join(pieces) == EXCHANGES[0].answer


def test_what_is_timed_is_limited_in_number_and_in_time(make_guard, tiny):
    guard = make_guard(0.0)
    assert len(times(guard, tiny, tiny, most=1)) == 1
    assert len(times(guard, tiny, tiny, seconds=0)) == latency.FEWEST
    silent = timed(guard, guard.readers({tiny.name: tiny}), tiny, [exchange("")])
    assert silent == []


def test_times_are_told_in_milliseconds_a_token():
    text = told([Times(0.001, 0.1), Times(0.002, 0.1), Times(0.009, 0.3)])
    assert "over 3 answers" in text
    assert "the guard takes 2 ms a token, the target 100 ms" in text

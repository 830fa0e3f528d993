"""A trained guard before a served model, on a tiny one: the proxy stops what the guard stops."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import openai
import pytest

from toprope.models.local import LocalModel
from toprope.serve import guard as proxy
from toprope.serve import guarding
from toprope.serve.model import application
from toprope.techniques.safeguards.guard import Guard

from ..techniques.safeguards.conftest import exchange, make_guard, tiny  # noqa: F401
from .servers import served

SAY = list(exchange("").messages)
MOST = 12


@contextmanager
def behind(
    guard: Guard, model: LocalModel, *, most_flags: int = 1000, fail_open: bool = False
) -> Iterator[openai.OpenAI]:
    settings = proxy.Settings(
        refusal="No.", refusal_seconds=0.0, most_flags=most_flags, fail_open=fail_open
    )
    watcher = guarding.watcher(guard, guard.readers({model.name: model}))
    with (
        served(application(model)) as upstream,
        served(proxy.application(proxy.Upstream(f"{upstream}/v1"), watcher, settings)) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


def asked(client: openai.OpenAI, model: LocalModel) -> list[tuple[str | None, str | None]]:
    """The answer and its finish, whole and streamed."""
    more = {"model": model.name, "messages": SAY, "max_tokens": MOST, "temperature": 0}
    whole = client.chat.completions.create(**more).choices[0]
    pieces = [one.choices[0] for one in client.chat.completions.create(**more, stream=True)]
    streamed = "".join(one.delta.content or "" for one in pieces)
    return [(whole.message.content, whole.finish_reason), (streamed, pieces[-1].finish_reason)]


@pytest.mark.parametrize("layers", [(2, 4), (0,)])
def test_what_the_guard_passes_comes_through_as_it_is(make_guard, tiny, layers):  # noqa: F811
    bare = tiny.generate([SAY], max_tokens=MOST)[0].text
    with behind(make_guard(1.0, layers=layers), tiny) as client:
        assert [text for text, _ in asked(client, tiny)] == [bare, bare]


@pytest.mark.parametrize("thresholds", [(0.0,), (0.0, 0.0)])
def test_what_it_stops_at_the_prompt_is_refused(make_guard, tiny, thresholds):  # noqa: F811
    with behind(make_guard(*thresholds), tiny) as client:
        assert asked(client, tiny) == [("No.", "content_filter")] * 2


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([{"role": "user", "content": "word " * 3000}], "tokens at most"),
        ([{"role": "assistant", "content": "Sure"}], "can't read this conversation"),
    ],
)
@pytest.mark.parametrize("fail_open", [False, True])
def test_what_the_guard_cannot_read_is_the_callers_mistake(
    make_guard,  # noqa: F811
    tiny,  # noqa: F811
    messages,
    said,
    fail_open,
):
    with (
        behind(make_guard(1.0), tiny, fail_open=fail_open) as client,
        pytest.raises(openai.BadRequestError, match=said),
    ):
        client.chat.completions.create(model=tiny.name, messages=messages, max_tokens=1)


def test_an_attacker_who_stays_just_below_the_threshold_is_locked_out(make_guard, tiny):  # noqa: F811
    guard = make_guard(1.0)
    [reader] = guard.readers({tiny.name: tiny})
    bare = tiny.generate([SAY], max_tokens=MOST)[0].text
    [reading] = reader.read([exchange(bare)])
    [stage] = guard.about.stages
    just_above = float(guard.heads[0].highest(reading.x_TF)) * 1.05
    stages = (replace(stage, threshold=just_above),)
    guard = replace(guard, about=replace(guard.about, stages=stages))
    with behind(guard, tiny, most_flags=1) as client:
        for _ in range(2):
            assert [text for text, _ in asked(client, tiny)] == [bare, bare]
        with pytest.raises(openai.RateLimitError):
            asked(client, tiny)


def test_a_stream_is_stopped_where_the_guard_stops_the_whole(make_guard, tiny):  # noqa: F811
    guard = make_guard(0.5)
    bare = tiny.generate([SAY], max_tokens=MOST)[0].text
    [reader] = guard.readers({tiny.name: tiny})
    [reading] = reader.read([exchange(bare)])
    scores_T = guard.heads[0].scores(reading.x_TF)
    answer_T = reading.ends_T > 0
    at = np.nextafter(scores_T[~answer_T].max(), 2)
    if scores_T[answer_T].max() < at:
        pytest.skip("the answer never scores above its prompt")
    [stage] = guard.about.stages
    guard = replace(guard, about=replace(guard.about, stages=(replace(stage, threshold=at),)))
    stop = guard.stop([reading])
    assert stop is not None
    with behind(guard, tiny) as client:
        [(whole, _), (streamed, finish)] = asked(client, tiny)
    assert whole == "No."
    assert finish == "content_filter"
    # The piece at which it's stopped isn't sent: a proxy reads before it sends.
    through = (streamed or "").removesuffix("No.").rstrip()
    assert bare.startswith(through)
    assert len(through) < stop.read

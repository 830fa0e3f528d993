"""A guard that is kept and checked, its stages, a chat behind it, and a stream that it watches."""

import asyncio
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.models.chat import Chat, Reply
from toprope.models.local import LocalModel
from toprope.techniques.safeguards import wrapping
from toprope.techniques.safeguards.guard import Guard, load_guard
from toprope.techniques.safeguards.guarded import GuardedChat
from toprope.techniques.safeguards.reading import LARGEST
from toprope.techniques.safeguards.scoring import scorers, stops
from toprope.techniques.safeguards.streaming import Monitor
from toprope.techniques.safeguards.watching import Watching
from toprope.techniques.safeguards.wrapping import wrap

from .conftest import BAD, GOOD, exchange


def read(model: LocalModel, guard: Guard, one):
    return [reader.read([one])[0] for reader in guard.readers({model.name: model})]


def test_a_guard_is_kept_and_stops_what_it_stopped(make_guard, tiny, tmp_path: Path):
    guard = make_guard(0.5)
    guard.save(tmp_path)
    found = load_guard(tmp_path)
    assert found.about == guard.about
    assert found.fingerprint == guard.fingerprint
    bad, good = (read(tiny, guard, exchange(text)) for text in (BAD, GOOD))
    stop = found.stop(bad)
    assert stop is not None
    assert stop == guard.stop(bad)
    assert 0 <= stop.read <= len(BAD)
    assert found.stop(good) is None


def test_a_guard_is_another_when_its_threshold_or_weights_are(make_guard):
    guard = make_guard(0.5)
    other = replace(guard, heads=(replace(guard.heads[0], bias=1.0),))
    assert len({guard.fingerprint, other.fingerprint, make_guard(0.6).fingerprint}) == 3


def test_a_cascade_stops_where_its_last_stage_does_and_only_what_the_first_passes_on(
    make_guard, tiny
):
    bad = exchange(BAD)
    single = make_guard(0.5)
    alone = single.stop(read(tiny, single, bad))
    open_, shut = make_guard(0.0, 0.5), make_guard(1.0, 0.5)
    both = open_.stop(read(tiny, open_, bad))
    assert alone is not None
    assert both is not None
    assert both.read == alone.read
    assert shut.stop(read(tiny, shut, bad)) is None
    readers = open_.readers({tiny.name: tiny})
    assert stops(open_, scorers(open_, readers), [bad, exchange(GOOD)]) == [both, None]


def test_a_guard_of_other_weights_or_layers_is_refused(make_guard, tiny):
    guard = make_guard(0.5)
    [stage] = guard.about.stages

    def of(**changes) -> Guard:
        return replace(guard, about=replace(guard.about, stages=(replace(stage, **changes),)))

    with pytest.raises(UserError, match="has other weights"):
        of(weights="x").readers({tiny.name: tiny})
    with pytest.raises(UserError, match=r"reads layers 2, 9 .* has 4 layers of 32"):
        of(layers=(2, 9)).readers({tiny.name: tiny})


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def _write(text: str):
    return lambda folder: (folder / "guard.json").write_text(text)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda f: (f / "guard.json").unlink(), "guard.json is missing"),
        (lambda f: (f / "heads.safetensors").unlink(), "heads.safetensors is missing"),
        (lambda f: _cut(f / "guard.json"), "damaged"),
        (lambda f: _cut(f / "heads.safetensors"), "damaged"),
        (_write('{"format": 2, "target": "x"}'), "damaged"),
        (_write('{"target": "x"}'), "damaged"),
        (_write("[]"), "damaged"),
        (_write('{"format": 9, "new": 1}'), "format 9"),
    ],
)
def test_a_damaged_guard_is_told_in_a_line(make_guard, tmp_path, spoil, complaint):
    make_guard(0.5).save(tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=complaint) as caught:
        load_guard(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("broken", [{"bias": float("nan")}, {"scale_F": np.zeros(64)}])
def test_a_guard_that_could_never_stop_anything_is_damaged(make_guard, tmp_path, broken):
    guard = make_guard(0.5)
    replace(guard, heads=(replace(guard.heads[0], **broken),)).save(tmp_path)
    with pytest.raises(UserError, match="damaged"):
        load_guard(tmp_path)


@pytest.mark.parametrize(
    ("of_stages", "complaint"),
    [
        ({"layers": (-1, 2)}, "stage 'stage2': layers -1, 2"),
        ({"layers": (2, 2)}, "stage 'stage2': layers 2, 2"),
        ({"layers": ()}, "stage 'stage2': layers none"),
        ({"threshold": 0.0}, "stage 'stage2': 0.0 is no threshold"),
        ({"threshold": -0.5}, "stage 'stage2': -0.5 is no threshold"),
        ({"threshold": float(np.nextafter(1, 2))}, "stage 'stage2': 1.0000000000000002 is no"),
        ({"threshold": float("nan")}, "stage 'stage2': nan is no threshold"),
        ({"name": "stage1"}, "two stages of one name: stage1, stage1"),
        (None, "it has no stages"),
    ],
)
def test_a_guard_whose_stages_make_no_sense_is_damaged(make_guard, tmp_path, of_stages, complaint):
    guard = make_guard(1.0, 0.5)
    first, second = guard.about.stages
    stages = () if of_stages is None else (first, replace(second, **of_stages))
    replace(guard, about=replace(guard.about, stages=stages)).save(tmp_path)
    with pytest.raises(UserError, match=rf"is damaged \({complaint}.*\): train") as caught:
        load_guard(tmp_path)
    assert "\n" not in str(caught.value)


# --- a chat behind it ---


class Says(Chat):
    """Always gives the same answer."""

    text = ""

    async def _ask(self, *_: object) -> Reply:
        return Reply(self.text, "answered", tokens=5)


def saying(text: str) -> Says:
    chat = Says("says", None, "print", timeout=7.0, concurrency=3)  # type: ignore[arg-type]
    chat.text = text
    return chat


def behind(guard: Guard, tiny: LocalModel, text: str, prefill: str = "") -> Reply:
    chat = GuardedChat(saying(text), guard, guard.readers({tiny.name: tiny}))
    return asyncio.run(chat.ask(exchange("").messages, prefill=prefill))


def test_a_guarded_chat_is_the_chat_that_it_guards_but_for_its_answers(make_guard, tiny):
    bare = saying(GOOD)
    guard = make_guard(0.5)
    chat = GuardedChat(bare, guard, guard.readers({tiny.name: tiny}))
    asyncio.run(chat.ask(exchange("").messages))
    for name in ("name", "fingerprint", "timeout", "concurrency", "journal", "calls", "tokens"):
        assert getattr(chat, name) == getattr(bare, name)
    assert (chat.calls, chat.tokens, chat.timeout) == (1, 5, 7.0)


def test_a_stopped_answer_is_cut_where_the_guard_stops_it(make_guard, tiny):
    guard = make_guard(0.5)
    stop = guard.stop(read(tiny, guard, exchange(BAD)))
    reply = behind(guard, tiny, BAD)
    assert stop is not None
    assert (reply.outcome, reply.text) == ("filtered", BAD[: stop.read])
    assert behind(guard, tiny, GOOD) == Reply(GOOD, "answered", tokens=5)


def test_what_was_put_in_the_models_mouth_is_read_and_not_let_through_twice(make_guard, tiny):
    reply = behind(make_guard(0.5), tiny, BAD[20:], prefill=BAD[:20])
    assert reply.outcome == "filtered"
    assert BAD[20:].startswith(reply.text)
    everything = behind(make_guard(0.0), tiny, "x", prefill="y")
    assert (everything.outcome, everything.text) == ("filtered", "")


# --- a stream ---


def test_an_exchange_that_was_scored_isnt_read_again(make_guard, tiny):
    guard = make_guard(0.5)
    by = scorers(guard, guard.readers({tiny.name: tiny}))
    found = stops(guard, by, [exchange(BAD), exchange(GOOD)])
    read_so_far = tiny.tokens_read
    assert stops(guard, by, [exchange(GOOD), exchange(BAD)]) == found[::-1]
    assert tiny.tokens_read == read_so_far


@pytest.mark.parametrize("thresholds", [(0.5,), (0.0, 0.5), (0.3, 0.5), (1.0, 0.5)])
@pytest.mark.parametrize("text", [BAD, GOOD])
def test_a_watched_stream_is_stopped_where_the_whole_exchange_is(
    make_guard, tiny, thresholds, text
):
    guard = make_guard(*thresholds)
    stop = guard.stop(read(tiny, guard, exchange(text)))
    watching = Watching(guard, guard.readers({tiny.name: tiny}), exchange("").messages)
    prompt = list(exchange("").messages)
    tokens = tiny.tokens(prompt, prefill=text)[len(tiny.tokens(prompt)) :]
    pieces = [tiny.tokenizer.decode(tokens[:i]) for i in range(len(tokens) + 1)]
    flagged, through = watching.read(), 0
    for before, now in pairwise(pieces):
        if flagged is not None:
            break
        flagged, through = watching.read(now[len(before) :]), len(now)
    if stop is None:
        assert flagged is None
    else:
        assert flagged is not None
        assert flagged.stage == f"stage{len(thresholds)}"
        assert through == stop.read


def test_a_stream_that_was_begun_is_scored_as_the_whole_exchange_is(make_guard, tiny):
    guard = make_guard(1.0)
    [reader] = guard.readers({tiny.name: tiny})
    for begun in ("keeps a stronger climber on the ground safe", "\n\nno"):
        said = {"role": "assistant", "content": begun}
        watching = Watching(guard, [reader], [*exchange("").messages, said])
        watching.read()
        [whole] = reader.read([exchange(begun)])
        found = watching._stages[0].monitor.highest
        assert found == pytest.approx(guard.heads[0].highest(whole.x_TF), abs=0.01)


@pytest.mark.parametrize("bad", [float("nan"), 2 * LARGEST, float("inf")])
def test_states_that_cant_be_kept_are_watched_as_they_are_read(make_guard, tiny, monkeypatch, bad):
    """What is no number stops the exchange; what is too large counts as the largest."""
    guard = make_guard(0.9)
    [reader] = guard.readers({tiny.name: tiny})
    [whole] = reader.read([exchange("")])
    spoilt_TF = whole.x_TF.astype(np.float32)
    spoilt_TF[:, 5] = bad
    monkeypatch.setattr(
        "toprope.techniques.safeguards.growing.Following.read",
        lambda _, tokens: (len(tokens) - len(spoilt_TF), spoilt_TF),
    )
    watching = Watching(guard, [reader], exchange("").messages)
    flagged = watching.read()
    clipped_TF = spoilt_TF.clip(-LARGEST, LARGEST).astype(np.float16)
    expected = guard.heads[0].highest(clipped_TF)
    assert watching._stages[0].monitor.highest == expected
    if np.isnan(bad):
        assert flagged is not None
        assert flagged.score == 1


def test_near_is_what_has_come_to_a_share_of_the_last_threshold(make_guard, tiny):
    def watched(*thresholds: float) -> Watching:
        guard = make_guard(*thresholds)
        found = Watching(guard, guard.readers({tiny.name: tiny}), exchange("").messages)
        assert found.read(BAD) is None
        return found

    alone = watched(1.0)
    score = alone._stages[0].monitor.highest
    assert 0 < score < 1
    assert alone.is_near(score)
    assert not alone.is_near(score + 0.001)
    assert watched(0.0, 1.0).is_near(score)
    assert not watched(1.0, 1.0).is_near(0.0), "the last stage wasn't asked"


def test_an_input_stage_reads_the_prompt_alone(make_guard, tiny):
    guard = make_guard(0.9, sees="prompt")
    watching = Watching(guard, guard.readers({tiny.name: tiny}), exchange("").messages)
    first = watching.read()
    asked = tiny.tokens_read
    assert watching.read(BAD) == first
    assert tiny.tokens_read == asked


# --- the model's own states ---


def of_threshold(guard: Guard, at: float) -> Guard:
    [stage] = guard.about.stages
    return replace(guard, about=replace(guard.about, stages=(replace(stage, threshold=at),)))


def test_a_wrapped_model_ends_its_answer_where_the_guard_would_stop_the_whole(make_guard, tiny):
    guard = make_guard(0.5)
    prompts = [list(exchange("", ask=ask).messages) for ask in ("A weaker partner", "Paris")]
    bare = tiny.generate(prompts, max_tokens=12)
    one = exchange(bare[0].text)
    [reading] = read(tiny, guard, one)
    scores_T = guard.heads[0].scores(reading.x_TF)
    # A threshold that is first reached in the middle of the answer.
    at = float(np.sort(scores_T[-8:])[3])
    guard = of_threshold(guard, max(at, float(scores_T[:-8].max()) + 1e-6))
    stop = guard.stop([reading])
    found = wrap(tiny, guard).generate(prompts, max_tokens=12)
    if stop is None:
        assert found[0].text == bare[0].text
    else:
        assert found[0].stopped == "flagged"
        assert found[0].text == bare[0].text[: stop.read]
    assert tiny.generate(prompts, max_tokens=12) == bare, "the model itself is as it was"
    nothing = wrap(tiny, of_threshold(guard, 0.0)).generate(prompts, max_tokens=12)
    assert [(one.text, one.stopped) for one in nothing] == [("", "flagged")] * 2
    everything = wrap(tiny, of_threshold(guard, 1.0)).generate(prompts, max_tokens=12)
    assert [one.text for one in everything] == [one.text for one in bare]


class Noting(Monitor):
    """Keeps every score, of the newest monitor."""

    scores: ClassVar[list[float]] = []

    def __init__(self, head) -> None:
        super().__init__(head)
        self.scores.clear()

    def after(self, logit: float) -> float:
        self.scores.append(super().after(logit))
        return self.scores[-1]


@pytest.mark.parametrize("prefill", ["", "keeps a stronger climber safe on the", "\n\nno"])
def test_a_wrapped_model_scores_an_answer_as_the_whole_exchange_is_scored(
    make_guard, tiny, monkeypatch, prefill
):
    monkeypatch.setattr(wrapping, "Monitor", Noting)
    guard = make_guard(1.0)
    prompt = list(exchange("").messages)
    wrapped, begun = wrap(tiny, guard), tiny.tokens(prompt, prefill=prefill)
    for seed in range(50):
        [made] = wrapped.generate([prompt], prefill=prefill, max_tokens=4, temperature=1, seed=seed)
        answer = prefill + made.text
        # Of text that isn't tokenised as it was generated, both read different tokens.
        if tiny.tokens(prompt, prefill=answer) == begun + made.tokens:
            break
    else:
        pytest.fail("no answer has the tokens that it was generated as")
    [whole] = read(tiny, guard, exchange(answer))
    # The last token has been chosen, and not read.
    expected = guard.heads[0].scores(whole.x_TF)[:-1]
    assert Noting.scores == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_wrapped_model_whose_states_are_no_numbers_says_nothing(
    make_guard, tiny, monkeypatch, bad
):
    guard = make_guard(1.0)
    monkeypatch.setattr(
        "toprope.techniques.safeguards.streaming.StreamingHead.logits",
        lambda _, x_TF: np.full(len(x_TF), bad),
    )
    [found] = wrap(tiny, guard).generate([list(exchange("").messages)], max_tokens=4)
    assert (found.text, found.stopped) == ("", "flagged")


def test_a_wrapped_models_states_are_clipped_as_they_are_when_read(make_guard, tiny, monkeypatch):
    monkeypatch.setattr(wrapping, "Monitor", Noting)
    guard = make_guard(1.0)
    watch = wrapping._watch(guard)
    watch.read(np.full((20, 64), 3 * LARGEST, np.float32))
    expected = guard.heads[0].scores(np.full((20, 64), LARGEST, np.float16))
    assert Noting.scores == expected.tolist()


def test_a_wrapped_model_is_behind_its_guard_in_chats_too(make_guard, tiny):
    chat = Chat.of(wrap(tiny, make_guard(0.0)))
    reply = asyncio.run(chat.ask(exchange("").messages, max_tokens=4))
    assert (reply.outcome, reply.text) == ("filtered", "")
    bare = asyncio.run(Chat.of(tiny).ask(exchange("").messages, max_tokens=4))
    assert bare.outcome == "answered"


@pytest.mark.parametrize("more", [{"sees": "prompt"}, {"two": True}])
def test_a_guard_that_reads_something_else_isnt_wrapped(make_guard, tiny, more):
    guard = make_guard(0.5, 0.5) if "two" in more else make_guard(0.5, **more)
    with pytest.raises(UserError, match="toprope serve guard"):
        wrap(tiny, guard)

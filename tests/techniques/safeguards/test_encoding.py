"""What a sentence encoder reads of an exchange, whole and as it comes."""

import asyncio
import re
from dataclasses import replace

import numpy as np
import pytest

from toprope.models.embedding import embedded, of_length_one
from toprope.models.local import LocalModel
from toprope.serve.guarding import watcher
from toprope.techniques.safeguards import encoding
from toprope.techniques.safeguards.encoding import LONGEST, PART, SPAN, STRIDE
from toprope.techniques.safeguards.growing import growing
from toprope.techniques.safeguards.guard import About, Guard, Stage, load_guard
from toprope.techniques.safeguards.reading import Reader
from toprope.techniques.safeguards.streaming import WINDOW, fit
from toprope.techniques.safeguards.watching import Watching

from .conftest import BAD, GOOD, exchange

LONG = " ".join([BAD, GOOD] * 12)


@pytest.fixture
def reader(tiny_encoder: LocalModel) -> Reader:
    return Reader(tiny_encoder, (tiny_encoder.n_layers,))


@pytest.fixture
def make_guard(reader):
    """A guard that stops BAD answers at a threshold."""

    def make(threshold: float = 0.5) -> Guard:
        exchanges = [exchange(BAD, 1.0), exchange(GOOD), exchange("no")]
        features = [one.x_TF for one in reader.read(exchanges)]
        head = fit(features, np.array([1.0, 0, 0]), rng=np.random.default_rng(0))
        model = reader.model
        stage = Stage(
            "external", model.name, model.fingerprint, reader.layers, "exchange", threshold
        )
        return Guard(About("t", (stage,), 0.001, "hash"), (head,))

    return make


def pieces(text: str) -> list[str]:
    """Each word with what is before it."""
    return re.findall(r"\s*\S+", text)


def of(model: LocalModel, text: str) -> np.ndarray:
    return of_length_one(embedded(model, [text]))[0]


def test_a_position_is_the_prompt_beside_the_answers_last_words_so_far(reader):
    model, words = reader.model, LONG.split()
    [found] = reader.read([exchange(LONG)])
    n = len(words)
    assert n > SPAN + STRIDE
    ends = [len(" ".join(words[:t])) for t in range(1, n + 1)]
    assert found.x_TF.shape == (WINDOW + n + 1, reader.width)
    assert found.ends_T.tolist() == [0] * WINDOW + ends + [len(LONG)]
    prompt_D = of(model, "A weaker partner")
    for t in (-WINDOW, -1, 1, STRIDE, STRIDE + 1, SPAN + STRIDE, n, n + 1):
        last = n if t > n else STRIDE * (max(t, 0) // STRIDE)
        answer_D = np.zeros(model.d_model)
        if last:
            answer_D = of(model, " ".join(words[max(0, last - SPAN) : last]))
        row_F = found.x_TF[WINDOW + t - 1 if t > 0 else WINDOW + t]
        assert row_F == pytest.approx(np.concatenate([prompt_D, answer_D]), abs=2e-3)


def test_a_long_prompt_counts_by_the_mean_over_its_parts(reader):
    ask = " ".join(["A weaker partner on the ground"] * 80)
    messages = ({"role": "user", "content": ask}, {"role": "user", "content": GOOD})
    parts = encoding.parts(messages)
    assert len(parts) > 1
    assert max(len(part.split()) for part in parts) == PART
    assert [word for part in parts for word in part.split()] == f"{ask} {GOOD}".split()
    [found] = reader.read([replace(exchange(""), messages=messages)])
    expected_D = np.mean([of(reader.model, part) for part in parts], axis=0)
    assert found.x_TF[0, : reader.model.d_model] == pytest.approx(expected_D, abs=2e-3)
    assert not found.x_TF[:, reader.model.d_model :].any()


@pytest.mark.parametrize("by", [1, 3, 1000])
@pytest.mark.parametrize("answer", [LONG, BAD, "no", "", " \n", "x" * 250 + f" {BAD} " + "y" * 40])
def test_what_comes_piece_by_piece_is_what_the_whole_is(reader, answer, by):
    """Whatever the pieces, and whatever is in the way of words: nothing goes unread."""
    grows = growing(reader, exchange("").messages)
    found = [grows.read("")]
    assert len(found[0]) == WINDOW
    found += [grows.read(answer[:at]) for at in range(by, len(answer) + by, by)]
    found.append(grows.rest(answer))
    [whole] = reader.read([exchange(answer)])
    assert np.concatenate(found) == pytest.approx(whole.x_TF, abs=2e-3)


def test_what_has_no_spaces_is_read_in_parts():
    told, ends = encoding.texts("a" * (2 * LONGEST * STRIDE))
    assert told[-1].split() == ["a" * LONGEST] * (2 * STRIDE)
    assert ends == [LONGEST * n for n in range(1, 2 * STRIDE + 1)]


def test_the_tokens_that_are_counted_are_those_that_are_read(reader):
    for answer in (LONG, "no", ""):
        before = reader.model.tokens_read
        reader.read([exchange(answer)])
        assert reader.tokens(exchange(answer)) == reader.model.tokens_read - before > 0


def test_a_guard_of_an_encoder_is_kept_and_watches_as_it_scores(make_guard, reader, tmp_path):
    make_guard().save(tmp_path)
    guard = load_guard(tmp_path)
    readers = guard.readers({reader.model.name: reader.model})
    for text in (BAD, GOOD):
        stop = guard.stop(readers[0].read([exchange(text)]))
        watching = Watching(guard, readers, exchange("").messages)
        flagged, through = watching.read(), 0
        for piece in pieces(text):
            if flagged:
                break
            flagged, through = watching.read(piece), through + len(piece)
        if not flagged:
            watching.end()
            flagged = watching.read()
        assert (flagged is not None) == (stop is not None) == (text == BAD)
        if stop and stop.read < len(text):
            # The word that stops it counts when the next one has begun.
            assert through >= stop.read


def test_what_is_left_over_is_read_before_the_answer_ends(make_guard, reader):
    """So few tokens that the encoder was never asked while they came."""
    answer = BAD[:5]
    guard = make_guard()
    reading = reader.read([exchange(answer)])[0]
    highest = guard.heads[0].highest(reading.x_TF)
    begun = guard.heads[0].highest(reading.x_TF[:-1])
    stage = replace(guard.about.stages[0], threshold=highest - 1e-3)
    assert begun < stage.threshold, "the last reading is what stops it"
    guard = replace(guard, about=replace(guard.about, stages=(stage,)))

    async def flags():
        watch = watcher(guard, [reader])(exchange("").messages)
        return [await watch.prompt(), await watch.answer(answer), await watch.end()]

    *before, last = asyncio.run(flags())
    assert before == [None, None]
    assert last is not None
    assert last.stage == "external"

"""Labelling many latents: labels, scores, controls, and a job that goes on after a kill."""

import asyncio
import re
from pathlib import Path

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.journal import Journal
from toprope.models.chat import Reply
from toprope.techniques.interpretability.labels.crossfitted import with_trained
from toprope.techniques.interpretability.labels.definition import Definition
from toprope.techniques.interpretability.labels.explainer import Explainer
from toprope.techniques.interpretability.labels.features import LexicalFeatures
from toprope.techniques.interpretability.labels.labelling import Labelled, label_and_score
from toprope.techniques.interpretability.labels.scorers.asking import ChatScorer
from toprope.techniques.interpretability.labels.scorers.detection import DETECTION
from toprope.techniques.interpretability.labels.scorers.intruder import ChatIntruder
from toprope.techniques.interpretability.labels.scorers.scorer import (
    Item,
    Verdict,
    detection_items,
)

WORDS = ["climb", "sing", "paint", "sail", "write", "bake", "swim", "read", "knit", "fish"]


def answers(question: str) -> str:
    """Labels a latent by the word marked; judges by whether the label's word is in a piece; and
    names the piece without the commonest word."""
    pieces = [line for line in question.split("\n") if line.startswith("Piece ")]
    if "Write the label" in question:
        return "label: " + re.findall(r"<<(\w+)", question)[0]
    if "intruder" in question:
        marked = [re.findall(r"<<(\w+)>>", piece)[0] for piece in pieces]
        return str(1 + next(i for i, word in enumerate(marked) if marked.count(word) == 1))
    label = question.split("\n\n")[1].strip()
    return str([int(label in piece) for piece in pieces])


@pytest.fixture
def examples(latent):
    """Ten latents that fire on a word and are silent on the next one's; one dead; one that fires
    seldom; and one whose label is refused."""
    found = {
        number: latent(number, word, WORDS[(number + 1) % 10], each=15, firings=100 + number)
        for number, word in enumerate(WORDS)
    }
    dead, seldom = latent(10, "a"), latent(11, "a", each=2)
    found[10] = type(dead)(**{**dead.__dict__, "firings": 0})
    found[11] = seldom
    found[12] = latent(12, "forbidden")
    return found


def refusing(question: str) -> str:
    return "I'm sorry, no." if "forbidden" in question else answers(question)


def run(examples, chat, **settings) -> Labelled:
    scorers = settings.pop("scorers", None) or [
        ChatScorer(chat, DETECTION),
        ChatIntruder(chat=chat),
    ]
    latents = settings.pop("latents", list(examples))
    return asyncio.run(
        label_and_score(latents, examples.__getitem__, Explainer(chat), scorers, seed=0, **settings)
    )


def test_every_latent_is_labelled_scored_and_held_against_anothers_label(
    examples, scripted
) -> None:
    found = run(examples, scripted(refusing))

    assert {n: found.labels[n].text for n in range(10)} == dict(enumerate(WORDS))
    assert found.unscored == {
        10: "dead",
        11: "too few examples",
        12: "label refused",
    }
    assert found.outcomes == {"labelled": 10, "refused": 1}
    assert set(found.scores["detection"]) == set(range(10))
    assert all(one.value.value == 1 for one in found.scores["detection"].values())
    assert all(one.value.value == 1 for one in found.scores["intruder"].values())
    # Another's label fits no window, or that of the neighbour alone: never better than chance.
    assert all(one.value.value <= 0.5 for one in found.controls["detection"].values())
    assert list(found.controls) == ["detection"]
    assert all(found.controlled_by[n] != found.labels[n].text for n in range(10))
    rate = found.interpretable(Definition())
    assert rate is not None
    # One that fires and has no label isn't interpretable; dead and rare ones are apart.
    assert (rate.rate.value, rate.rate.n) == (10 / 11, 11)
    assert rate.rate_of_scored is not None
    assert (rate.rate_of_scored.value, rate.rate_of_scored.n) == (1.0, 10)
    assert rate.shuffled.value == 0
    assert (rate.low, rate.high) == (10 / 13, 1.0)
    assert rate.unscored == {"dead": 1, "too few examples": 1, "label refused": 1}
    assert found.done == 11
    assert found.per_minute == pytest.approx(60 * 11 / found.seconds)
    with pytest.raises(UserError, match="defined by the scorer 'fuzzing'"):
        found.interpretable(Definition(scorer="fuzzing"))


def test_a_job_that_was_killed_goes_on_and_ends_the_same(
    examples, scripted, tmp_path: Path
) -> None:
    class KilledError(Exception):
        pass

    uncut = scripted(refusing)
    whole = run(examples, uncut)
    calls = 0

    def killed(question: str) -> str:
        nonlocal calls
        calls += 1
        if calls > 30:
            raise KilledError
        return refusing(question)

    path = tmp_path / "labels.jsonl"
    with Journal(path, {"seed": 0}) as journal, pytest.raises(KilledError):
        run(examples, scripted(killed), journal=journal)
    chat = scripted(refusing)
    with Journal(path, {"seed": 0}) as journal:
        again = run(examples, chat, journal=journal)
    assert again.scores == whole.scores
    assert again.controls == whole.controls
    assert again.labels == whole.labels
    assert [q for q in chat.asked if "Write the label" in q] == []
    # Eleven labels and three latents' six questions were answered before.
    assert len(chat.asked) == len(uncut.asked) - 11 - 18

    third = scripted(refusing)
    with Journal(path, {"seed": 0}) as journal:
        once_more = run(examples, third, journal=journal)
    assert third.asked == []
    assert once_more.scores == whole.scores
    assert (once_more.done, once_more.per_minute) == (0, None)


def test_what_never_came_is_asked_again(examples, scripted, tmp_path: Path) -> None:
    lost = scripted(lambda q: Reply("", "timeout") if "sing" in q and "Piece" in q else refusing(q))
    with Journal(tmp_path / "labels.jsonl", {}) as journal:
        first = run(examples, lost, journal=journal)
        assert first.unscored[1] == "label lost"
        second = run(examples, scripted(refusing), journal=journal)
    assert second.labels[1].text == "sing"
    assert set(second.scores["detection"]) == set(range(10))


class Counts:
    """Scores alone, on a scale of its own: how often the label's word is in the window."""

    name, fingerprint, needs_label = "counts", "0", True

    def items(self, examples, rng) -> list[Item]:
        return detection_items(examples, rng)

    async def score(self, label: str, items) -> list[Verdict]:
        return [Verdict(7.0 + item.window.text.count(label), None) for item in items]


def test_scores_alone_are_cut_where_other_latents_say(examples, scripted) -> None:
    found = run(examples, scripted(refusing), scorers=[Counts()], latents=range(10))
    assert all(one.value.value == 1 for one in found.scores["counts"].values())
    assert all(one.auprc == 1 for one in found.scores["counts"].values())
    control = np.mean([one.value.value for one in found.controls["counts"].values()])
    assert control <= 0.5


class Shifted(Counts):
    """Another latent's label lowers all scores alike; whether the latent fires can be read off the
    window alone."""

    async def score(self, label: str, items) -> list[Verdict]:
        own = [label == WORDS[item.window.row // 1000] for item in items]
        fires = [item.window.row % 1000 < 500 for item in items]
        return [Verdict(5.0 * a + b, None) for a, b in zip(own, fires, strict=True)]


def test_what_windows_give_away_is_seen_in_the_control(examples, scripted) -> None:
    found = run(examples, scripted(refusing), scorers=[Shifted()], latents=range(10))
    assert all(one.value.value == 1 for one in found.scores["counts"].values())
    assert all(one.value.value == 1 for one in found.controls["counts"].values())
    rate = found.interpretable(Definition(scorer="counts"))
    assert rate is not None
    assert (rate.rate.value, rate.shuffled.value) == (0.0, 1.0)


@pytest.mark.parametrize("usable", [0, 1])
def test_one_usable_label_or_none_ends_as_not_scored(examples, scripted, usable: int) -> None:
    def fails(question: str) -> str:
        return answers(question) if usable and "<<climb" in question else "I'm sorry, no."

    found = run(examples, scripted(fails), scorers=[Counts()], latents=range(10))
    assert found.scores == found.controls == {"counts": {}}
    assert found.outcomes.get("labelled", 0) == usable
    rate = found.interpretable(Definition(scorer="counts"))
    if usable:
        # What one label is worth can't be told without others.
        assert rate is None
    else:
        assert rate is not None
        assert (rate.rate.value, rate.rate.n, rate.rate_of_scored) == (0.0, 10, None)
    trained = asyncio.run(
        with_trained(found, "trained", LexicalFeatures(), examples.__getitem__, seed=0)
    )
    assert trained.scores["trained"] == trained.controls["trained"] == {}


def test_one_name_twice_is_told(examples, scripted) -> None:
    chat = scripted(refusing)
    twice = [ChatScorer(chat, DETECTION), ChatScorer(chat, DETECTION, per_call=1)]
    with pytest.raises(UserError, match="name each once"):
        run(examples, chat, scorers=twice)

"""Training a judge: what it learns from, what it's worth, and what can't be learned from."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.models.adapters import Lora
from toprope.techniques.debate.judges import LocalJudge
from toprope.techniques.debate.rejudging import rejudged
from toprope.techniques.debate.trained import expecting
from toprope.techniques.debate.trained.fitting import fit_judge
from toprope.techniques.debate.transcript import Transcript, Verdict

from .lessons import lessons

QUICK = Lora(epochs=6, learning_rate=0.02, batch_size=8)


def judged(judge, transcripts: list[Transcript]) -> float:
    again = asyncio.run(rejudged(transcripts, judge))
    return float(np.mean([one.correct for one in again]))


def test_a_head_learns_whom_to_believe_and_says_how_well(tiny_model):
    judge = fit_judge(tiny_model, lessons(30), seed=1)
    expected = judge.about.expected
    assert expected.words.accuracy.low > 0.6
    assert expected.words.log_score.value > -0.6
    assert expected.blind.accuracy.low < 0.5 < expected.blind.accuracy.high
    assert expected.shuffled.accuracy.low < 0.5 < expected.shuffled.accuracy.high
    assert expected.gain.low > 0
    assert expected.chance == 0.5
    assert judged(judge, lessons(20, seed=7)) > 0.75


@pytest.mark.model
def test_a_real_model_learns_it_of_any_number_of_options(smollm):
    """SmolLM2-135M, which by itself names the same letter throughout."""
    judge = fit_judge(smollm, lessons(40), seed=1)
    assert judge.about.expected.words.accuracy.low > 0.85
    assert judge.about.expected.gain.low > 0.2
    fresh = lessons(20, seed=7)
    assert judged(judge, fresh) > 0.9
    assert judged(LocalJudge(smollm), fresh) < 0.7
    of_three = fit_judge(smollm, lessons(25, options=3), seed=1)
    assert judged(of_three, lessons(10, options=3, seed=7)) > 0.8


def test_a_fine_tuned_model_learns_it_too(tiny_model):
    judge = fit_judge(tiny_model, lessons(24), kind="lora", lora=QUICK)
    assert judge.about.expected.words.accuracy.low > 0.5
    assert judged(judge, lessons(10, seed=7)) > 0.8


def test_the_same_seed_makes_the_same_judge(tiny_model):
    some = lessons(20)
    first, again = fit_judge(tiny_model, some, seed=3), fit_judge(tiny_model, some, seed=3)
    assert first.fingerprint == again.fingerprint
    assert first.about == again.about


def test_the_verdicts_in_transcripts_teach_nothing(tiny_model):
    some = lessons(20)
    other = [replace(one, verdicts=(Verdict(1, (0.0, 1.0), round=1),)) for one in some]
    assert fit_judge(tiny_model, some).fingerprint == fit_judge(tiny_model, other).fingerprint


def test_no_question_is_learned_from_by_a_judge_that_is_tried_on_it(tiny_model):
    transcripts = [
        replace(one, question=replace(one.question, group=f"g{i // 4}"))
        for i, one in enumerate(lessons(20))
    ]
    seen: list[tuple[set[str], set[str]]] = []

    class Watching:
        shuffles = 1

        def fit(self, hearings, right):
            self.inside = {transcripts[h].question.group for h in hearings}
            return self

        def scores(self, scorer, hearings):
            seen.append((self.inside, {transcripts[h].question.group for h in hearings}))
            return [np.zeros(2) for _ in hearings]

    expecting.expected(Watching(), Watching(), transcripts, seed=0)  # type: ignore[arg-type]
    assert len(seen) == 3 * expecting.FOLDS
    assert not any(inside & outside for inside, outside in seen)
    assert set.union(*(outside for _, outside in seen)) == {f"g{i}" for i in range(10)}


def test_a_judge_of_the_blind_protocol_learns_the_questions_alone(tiny_model):
    blind = [replace(one, protocol="blind", turns=()) for one in lessons(20)]
    judge = fit_judge(tiny_model, blind)
    assert judge.about.expected.words.accuracy == judge.about.expected.blind.accuracy


def test_what_never_came_or_says_nothing_is_left_out_and_counted(tiny_model):
    some = lessons(22)
    some[0] = replace(some[0], verdicts=(Verdict(None, outcome="lost"),))
    some[3] = replace(some[3], turns=tuple(replace(turn, text=" ") for turn in some[3].turns))
    about = fit_judge(tiny_model, some).about
    assert (about.transcripts, about.left_out, about.questions) == (42, 2, 22)


def test_transcripts_that_teach_nothing_are_refused_in_one_line(tiny_model):
    with pytest.raises(UserError, match="no transcripts"):
        fit_judge(tiny_model, [])
    with pytest.raises(UserError, match=r"needs 20 questions or more .* have 19"):
        fit_judge(tiny_model, lessons(19))
    grouped = [replace(one, question=replace(one.question, group="g")) for one in lessons(30)]
    with pytest.raises(UserError, match=r"these 60 transcripts have 1:"):
        fit_judge(tiny_model, grouped)
    silent = [replace(one, turns=()) for one in lessons(20)]
    with pytest.raises(UserError, match="in none of 40 transcripts of debate does anyone say"):
        fit_judge(tiny_model, silent)
    long = lessons(20, honest="word " * 500)
    with pytest.raises(UserError, match="too many for its context"):
        fit_judge(tiny_model, long)

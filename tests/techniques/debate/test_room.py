"""Passages and turns that don't fit, told before anything is asked; and who can play what."""

import json
from pathlib import Path
from typing import get_args

import pytest

from toprope.errors import UserError
from toprope.lab import Lab
from toprope.techniques.debate.arms import Rules, arms
from toprope.techniques.debate.casting import make_cast
from toprope.techniques.debate.debaters import Scripted
from toprope.techniques.debate.debaters import prompt as spoken
from toprope.techniques.debate.judges import Asked, Hearing
from toprope.techniques.debate.judges import prompt as judged
from toprope.techniques.debate.protocols.stage import Players
from toprope.techniques.debate.reading import load_questions
from toprope.techniques.debate.room import with_room
from toprope.techniques.debate.study import Debate
from toprope.techniques.debate.transcript import rotations

from .playing import Believing, Recording, play


@pytest.fixture
def fitted(tmp_path: Path, roomy_folder: Path):
    """The questions of a study's settings, as its models have room for them."""
    lab, name = Lab(tmp_path), str(roomy_folder)

    def fit(*protocols: str, split: bool = False, questions: str = "passages?words=600", **more):
        fields = {"overseer": name, "target": name, "protocols": protocols, "max_tokens": 50}
        study = Debate.model_validate({**fields, "questions": questions, **more})
        found = load_questions(questions, limit=3)
        cast = make_cast(lab, study.arms, study.parts(lab))
        return with_room(found, study.arms, cast, study.rules, split=split), cast.locals[name]

    return fit


def test_what_fits_stays_as_it_is(fitted):
    questions, _ = fitted("expert", "debate", questions="passages?words=200")
    assert [one.passage for one in questions.questions] == [
        one.passage for one in load_questions("passages?words=200", limit=3).questions
    ]


@pytest.mark.parametrize("protocol", ["expert", "debate"])
def test_a_passage_too_long_is_told_by_how_much_or_cut(fitted, protocol: str):
    long = "passages?words=3000"
    with pytest.raises(UserError, match=r"the passage has [\d,]+ tokens, [\d,]+ more than the"):
        fitted(protocol, questions=long)
    questions, _ = fitted(protocol, questions=long, split=True)
    kept = [questions.about[one.id]["passage_kept"] for one in questions.questions]
    assert all(0 < share < 1 for share in kept)
    assert "passages cut to" in questions.provenance.notes[0]


def test_nobody_reads_more_than_its_context_when_every_turn_is_full(fitted):
    """Each prompt of a game in which all turns are as long as they may be."""
    questions, model = fitted("debate", questions="passages?words=3000", split=True, rounds=3)
    full = model.tokenizer.decode(model.tokenizer(" word" * 60).input_ids[:50])
    recording, judge = Recording(lambda view: full), Believing()
    [arm] = arms(["debate"], Rules(rounds=3))
    question = questions.questions[0]
    seating = arm.game.seatings(question)[0]
    play(arm.game, seating, Players(judge, (Scripted(recording),)), question)
    asked = [spoken(view, words=100) for view in recording.seen]
    read = [len(model.tokens([{"role": "user", "content": text}])) for text in asked]
    assert model.context * 0.8 < max(read) <= model.context - 50
    text = judged(judge.heard[-1], "letter")
    assert len(model.tokens([{"role": "user", "content": text}])) < model.context


def test_an_expert_has_room_for_its_passage_however_it_is_asked(fitted):
    questions, model = fitted("expert", questions="passages?words=3000", split=True)
    for question in questions.questions:
        [seating, *_] = rotations(question)
        for asked in get_args(Asked):
            text = judged(Hearing(question, seating), asked)
            read = len(model.tokens([{"role": "user", "content": text}]))
            assert model.context * 0.8 < read < model.context


def test_turns_that_leave_no_room_are_told(fitted):
    with pytest.raises(UserError, match=r"in 40 turns of up to 200: take fewer rounds, a smaller "):
        fitted("debate", rounds=20, max_tokens=200)


def test_who_rates_speeches_needs_room_for_them_too(fitted, tiny_folder: Path):
    """The tiny Llama reads 512 tokens."""
    rated = {"rater": str(tiny_folder), "rounds": 3, "questions": "passages?words=200"}
    fitted("debate", **rated)
    with pytest.raises(UserError, match=r"reads 512 tokens at most"):
        fitted("debate_best_of_2", **rated)


def test_who_quotes_needs_a_passage(fitted, tmp_path: Path):
    questions, _ = fitted("debate_quotes_1", questions="passages?words=200")
    assert len(questions) == 3
    path = tmp_path / "bare.jsonl"
    path.write_text('{"question": "Which?", "options": ["one", "other"], "answer": "one"}\n')
    with pytest.raises(UserError, match=r"in 'debate_quotes_1' .* '\S+' has no passage: leave"):
        fitted("debate_quotes_1", questions=f"file:{path}?options=options")


def test_sentences_longer_than_a_turn_are_reckoned_with(fitted, tmp_path: Path):
    sentence = " and ".join(["it went on"] * 100)
    rows = [
        {"question": f"Which {i}?", "options": ["a", "b"], "answer": "a", "passage": passage}
        for i, passage in enumerate([f"{sentence} a. {sentence} b.", "Short it was. Long it was."])
    ]
    path = tmp_path / "long.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    questions = f"file:{path}?options=options&passage=passage"
    fitted("debate", questions=questions, rounds=3)
    with pytest.raises(UserError, match=r"in 6 turns of up to \d+: take fewer rounds, fewer quo"):
        fitted("debate_quotes_1", questions=questions, rounds=3)


def test_a_base_model_may_judge_by_letters_and_not_speak(base_model, roomy_folder, tmp_path: Path):
    lab, name = Lab(tmp_path), str(roomy_folder)
    lab._models["base"] = base_model
    lab.chat = lambda model, **_: lab.local(model).check_that_it_chats()  # type: ignore[method-assign]

    def cast(overseer: str, target: str, protocol: str, **settings):
        fields = {"overseer": overseer, "target": target, "protocols": [protocol]}
        study = Debate.model_validate({**fields, **settings})
        return make_cast(lab, study.arms, study.parts(lab))

    assert cast("base", name, "debate").judge.name == base_model.name
    with pytest.raises(UserError, match=r"a debater is needed for debate: .* has no chat template"):
        cast(name, "base", "debate")
    with pytest.raises(UserError, match=r"a judge that asks is needed for cross_examination: "):
        cast("base", name, "cross_examination")
    with pytest.raises(UserError, match=r"judge 'base' is to say its answer: .*no chat template"):
        cast("base", name, "blind", judge="chat")
    assert cast("base", "none such", "blind").debater is None, "nobody speaks: nobody is loaded"


def test_an_encoder_is_no_judge(tiny_encoder, tmp_path: Path):
    lab = Lab(tmp_path)
    lab._models["encoder"] = tiny_encoder
    study = Debate(overseer="encoder", target="x", protocols=("blind",))
    with pytest.raises(UserError, match="is an encoder"):
        make_cast(lab, study.arms, study.parts(lab))

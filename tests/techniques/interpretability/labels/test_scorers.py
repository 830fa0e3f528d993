"""Scorers: what a judge is shown, and how its answers are read."""

import asyncio
from collections import Counter

import numpy as np
import pytest
import torch

from toprope.errors import UserError
from toprope.models.chat import Reply
from toprope.models.embedding import embedded
from toprope.techniques.interpretability.labels.prompting import prompt
from toprope.techniques.interpretability.labels.scorers.asking import (
    ChatScorer,
    LocalScorer,
    marks,
)
from toprope.techniques.interpretability.labels.scorers.detection import DETECTION
from toprope.techniques.interpretability.labels.scorers.embedding import Embedder, EmbeddingScorer
from toprope.techniques.interpretability.labels.scorers.fuzzing import FUZZING
from toprope.techniques.interpretability.labels.scorers.intruder import (
    ChatIntruder,
    LocalIntruder,
)
from toprope.techniques.interpretability.labels.scorers.scorer import Item, Verdict
from toprope.techniques.interpretability.labels.scorers.simulation import (
    SimulationScorer,
    correlation,
    simulate,
)
from toprope.techniques.interpretability.windows import Window


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def says_by_word(word: str):
    """A judge that marks the pieces with a word."""

    def answer(question: str) -> str:
        pieces = [line for line in question.split("\n") if line.startswith("Piece ")]
        return f"[{', '.join(str(int(word in piece)) for piece in pieces)}]"

    return answer


# --- reading marks ---


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1, 0, 1]", [True, False, True]),
        ("Here:\n[1,0,0]\n", [True, False, False]),
        ("[0, 0, 0] and then\n[1, 1, 0]", [True, True, False]),
        ("1, 0, 1", [True, False, True]),
        ("['1', '0', '0']", [True, False, False]),
        ("[1, ?, 0]", [True, None, False]),
    ],
)
def test_marks_are_read(text: str, says: list[bool | None]) -> None:
    found = marks(text, 3)
    assert [one.says for one in found] == says
    assert [one.outcome for one in found] == [
        "abstained" if one is None else "judged" for one in says
    ]


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("[1, 0]", "unparsable"),
        ("[1, 0, 1, 1]", "unparsable"),
        ("[1, 0, 2]", "unparsable"),
        ("all of them fit", "unparsable"),
        ("", "unparsable"),
        ("I'm sorry, I can't judge these.", "refused"),
    ],
)
def test_what_is_no_list_of_marks_is_counted(text: str, outcome: str) -> None:
    assert marks(text, 3) == [Verdict(None, None, outcome)] * 3  # type: ignore[arg-type]


# --- detection ---


def test_detection_shows_windows_unmarked_and_held_apart(scripted, latent) -> None:
    examples = latent(7, "climb")
    chat = scripted(says_by_word("climb"))
    scorer = ChatScorer(chat, DETECTION)
    items = scorer.items(examples, rng())

    verdicts = asyncio.run(scorer.score("climbing", items))

    assert [one.says for one in verdicts] == [item.truth for item in items]
    assert len(chat.asked) == 4  # sixteen items, five to a question
    assert all("climbing" in question and "<<" not in question for question in chat.asked)
    rows = {item.window.row for item in items}
    assert rows == {one.row for one in (*examples.score, *examples.hard)}
    # True ones come in no order: some question has both.
    truths = [item.truth for item in items]
    assert truths not in (sorted(truths), sorted(truths, reverse=True))


def test_random_negatives_are_another_scorer(scripted, latent) -> None:
    hard = ChatScorer(scripted(str), DETECTION)
    random = ChatScorer(scripted(str), DETECTION, negatives="random")
    assert (hard.name, random.name) == ("detection", "detection, random negatives")
    assert hard.fingerprint != random.fingerprint
    kinds = Counter(item.window.kind for item in random.items(latent(7, "climb"), rng()))
    assert kinds == {"activating": 8, "random": 8}


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [(Reply("", "error"), "lost"), (Reply("", "filtered"), "refused"), ("?", "unparsable")],
)
def test_an_answer_that_fails_is_an_outcome_of_each_window(
    scripted, latent, reply, outcome: str
) -> None:
    scorer = ChatScorer(scripted(lambda question: reply), DETECTION)
    items = scorer.items(latent(7, "climb"), rng())[:7]
    verdicts = asyncio.run(scorer.score("climbing", items))
    assert [one.outcome for one in verdicts] == [outcome] * 7


def test_a_local_judge_gives_the_probability_of_yes(tiny_model, base_model, latent) -> None:
    for model, options in ((tiny_model, ["yes", "no"]), (base_model, [" yes", " no"])):
        scorer = LocalScorer(model, DETECTION)
        items = scorer.items(latent(7, "climb"), rng())[:4]
        verdicts = asyncio.run(scorer.score("climbing", items))
        text = prompt("detection_one", label="climbing", window=items[2].window.text.strip())
        asked = [{"role": "user", "content": text}] if model is tiny_model else f"{text}\nAnswer:"
        assert verdicts[2].score == pytest.approx(
            model.option_probs([asked], options)[0, 0], abs=1e-5
        )
        assert all(one.says is None and one.outcome == "judged" for one in verdicts)


# --- fuzzing ---


def test_fuzzing_marks_what_fires_and_as_much_that_does_not(scripted, latent) -> None:
    examples = latent(7, "climb")
    scorer = ChatScorer(scripted(says_by_word("<<climb was>>")), FUZZING)
    items = scorer.items(examples, rng())

    right = [item for item in items if item.truth]
    assert [item.marked for item in right] == [item.window.active for item in right]
    misplaced = [i for i in items if not i.truth and i.window.kind == "activating"]
    assert len(misplaced) == 4
    for item in misplaced:
        assert len(item.marked) == 2
        assert not set(item.marked) & set(item.window.active)
    neighbours = [item for item in items if item.window.kind == "hard"]
    assert [item.marked for item in neighbours] == [(2, 3)] * 4
    assert len(right) == 8

    verdicts = asyncio.run(scorer.score("climbing", items))
    shown = "\n".join(scorer.chat.asked)  # type: ignore[attr-defined]
    assert "<<ground was>>" in shown or "<<ground held>>" in shown
    assert {one.outcome for one in verdicts} == {"judged"}
    hits = [one.says for one, item in zip(verdicts, items, strict=True) if not item.truth]
    assert not any(hits)


def test_fuzzing_gives_nothing_away_by_how_many_tokens_are_marked(latent) -> None:
    """Windows that fire on one, two or three of twelve tokens, some apart; negatives in the middle
    and at the ends of a document."""
    examples = latent(7, "climb", each=12)
    shapes = [(6,), (5, 6), (3, 6, 7)]
    fires = tuple(
        Window(row, row, 6, (" a",) * 12, tuple(float(i in shape) for i in range(12)), "activating")
        for row, shape in enumerate(shapes * 4)
    )
    silent = tuple(
        Window(100 + i, i, centre, (" b",) * 12, (0.0,) * 12, "hard")
        for i, centre in enumerate([0, 6, 11] * 4)
    )
    made = type(examples)(**{**examples.__dict__, "score": fires, "hard": silent})
    items = FUZZING.items(made, rng(), "hard")

    def apart(some) -> Counter[tuple[int, ...]]:
        return Counter(tuple(i - item.marked[0] for i in item.marked) for item in some)

    right = [item for item in items if item.truth]
    wrong = [item for item in items if not item.truth]
    assert len(right) == len(wrong) == 12
    assert apart(right) == apart(wrong) == {(0,): 4, (0, 1): 4, (0, 3, 4): 4}
    assert all(item.window.activations[i] == 0 for item in wrong for i in item.marked)
    # Around the neighbour's peak, as far as the document goes.
    assert all(
        item.window.centre in (0, 11) or item.window.centre in item.marked
        for item in wrong
        if item.window.kind == "hard"
    )


# --- intruder ---


def test_an_intruder_hides_among_four_that_fire(scripted, latent) -> None:
    examples = latent(7, "climb", each=16)
    chat = scripted(lambda question: odd_piece(question))
    scorer = ChatIntruder(chat=chat)
    items = scorer.items(examples, rng())

    verdicts = asyncio.run(scorer.score("", items))

    assert all(one.says for one in verdicts)
    assert len(items) == 16
    for item in items:
        assert item.windows[item.odd].kind == "hard"
        fires = [one for i, one in enumerate(item.windows) if i != item.odd]
        assert len({one.row for one in fires}) == 4
        assert {one.kind for one in fires} == {"activating"}
        assert len({one.quantile for one in fires}) == 1
    assert len({item.odd for item in items}) == 5
    # One token is marked in each, also in the intruder.
    assert all(
        line.count("<<") == 1 for q in chat.asked for line in q.split("\n") if "Piece" in line
    )


def odd_piece(question: str) -> str:
    lines = [line for line in question.split("\n") if line.startswith("Piece ")]
    return next(line[6] for line in lines if "climb" not in line)


@pytest.mark.parametrize(
    ("reply", "outcome", "says"),
    [
        ("The intruder is 3.", "judged", False),
        ("1 or 2", "unparsable", None),
        ("9", "unparsable", None),
        ("I cannot tell.", "refused", None),
        (Reply("", "timeout"), "lost", None),
    ],
)
def test_an_intruder_that_is_not_named_is_counted(
    scripted, latent, reply, outcome: str, says: bool | None
) -> None:
    scorer = ChatIntruder(chat=scripted(lambda question: reply))
    item = next(one for one in scorer.items(latent(7, "climb"), rng()) if one.odd != 2)
    (verdict,) = asyncio.run(scorer.score("", [item]))
    assert (verdict.outcome, verdict.says) == (outcome, says)


def test_a_local_model_names_the_likeliest(tiny_model, latent) -> None:
    scorer = LocalIntruder(model=tiny_model)
    items = scorer.items(latent(7, "climb"), rng())[:3]
    verdicts = asyncio.run(scorer.score("", items))
    assert all(one.score is not None and 0 < one.score < 1 for one in verdicts)
    assert all(one.score > 0.2 for one in verdicts if one.says)  # type: ignore[operator]
    assert scorer.needs_label is False


# --- embedding ---


def test_the_embedding_scorer_is_a_cosine(tiny_encoder, latent) -> None:
    scorer = EmbeddingScorer(Embedder(tiny_encoder))
    items = scorer.items(latent(7, "climb"), rng())[:5]
    verdicts = asyncio.run(scorer.score("climbing", items))
    for item, verdict in zip(items, verdicts, strict=True):
        a, b = embedded(tiny_encoder, ["climbing", item.window.text.strip()])
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        assert verdict.score == pytest.approx(cosine, abs=1e-5)


# --- simulation ---


def test_a_simulation_reads_all_tokens_at_once_as_one_by_one(tiny_model) -> None:
    tokens = (" the", " rope", "\n", " held")
    found = simulate(tiny_model, "ropes", tokens)

    ids = tiny_model.tokens(prompt("simulation", label="ropes") + "\n")
    for token, value in zip((" the", " rope", "↵", " held"), found, strict=True):
        ids = ids + tiny_model.continuation(f"{token}\t")
        with torch.inference_mode():
            logits_V = tiny_model.module(torch.tensor([ids])).logits[0, -1]
        digits = [tiny_model.continuation(str(digit))[0] for digit in range(10)]
        expected = (logits_V[digits].softmax(-1) * torch.arange(10.0)).sum().item()
        assert value == pytest.approx(expected, abs=1e-4)
        ids = ids + tiny_model.continuation("unknown\n")


def test_simulation_is_scored_by_correlation(tiny_model, tiny_encoder, latent) -> None:
    fires, silent = latent(7, "climb").score[-1], latent(7, "climb").hard[0]
    items = [Item(fires, True), Item(silent, False)]
    perfect = [
        Verdict(9.0, None, per_token=tuple(np.array(i.window.activations) * 2)) for i in items
    ]
    constant = [Verdict(1.0, None, per_token=(1.0,) * 6) for _ in items]
    wrong = [
        Verdict(9.0, None, per_token=tuple(-2 * v for v in i.window.activations)) for i in items
    ]
    assert correlation(items, perfect) == pytest.approx(1)
    assert correlation(items, wrong) == pytest.approx(-1)
    assert correlation(items, constant) == 0
    assert correlation(items, [Verdict(None, None, "lost")] * 2) is None

    verdicts = asyncio.run(SimulationScorer(tiny_model).score("climbing", items))
    assert [len(one.per_token) for one in verdicts] == [6, 6]
    assert verdicts[0].score == max(verdicts[0].per_token)
    with pytest.raises(UserError, match="is an encoder"):
        SimulationScorer(tiny_encoder)

"""What an explainer is shown, and what becomes of its answers."""

import asyncio
from collections import Counter

import pytest

from toprope.models.chat import Reply
from toprope.techniques.interpretability.labels.explainer import (
    Explainer,
    ExplainerSettings,
    paraphrase,
    read_label,
)
from toprope.techniques.interpretability.use.unembedding import OutputSide, TokenEffect

LABELLED = [
    ("label: names of cities", "names of cities"),
    ('Sure!\n\n**Label:** "names of cities"\n', "names of cities"),
    ("names of `cities`", "names of cities"),
    (" names of cities\n\nThis is since ...", "names of cities"),
    ('label: the word "not" and "no"', 'the word "not" and "no"'),
    ("label: phrases of apology, as I'm sorry", "phrases of apology, as I'm sorry"),
]
FAILED = [
    (Reply("", "timeout"), "lost"),
    (Reply("", "empty"), "empty"),
    (Reply("label:", "answered"), "empty"),
    (Reply("partly", "filtered"), "refused"),
    (Reply("I'm sorry, but I can’t help with that.", "answered"), "refused"),
    (Reply("label: I cannot say.", "answered"), "refused"),
    (Reply("First, these are cities.\nSecond, rivers.", "answered"), "unparsable"),
    (Reply("label: " + "city " * 41, "answered"), "unparsable"),
]


@pytest.mark.parametrize(("text", "label"), LABELLED)
def test_a_label_is_found_in_an_answer(text: str, label: str) -> None:
    found = read_label(Reply(text, "answered"), 40)
    assert (found.text, found.outcome) == (label, "labelled")


@pytest.mark.parametrize(("reply", "outcome"), FAILED)
def test_what_is_no_label_has_an_outcome_of_its_own(reply: Reply, outcome: str) -> None:
    found = read_label(reply, 40)
    assert (found.text, found.outcome) == ("", outcome)


def test_the_explainer_sees_tokens_marked_with_activations_and_the_output_side(
    scripted, latent
) -> None:
    chat = scripted(lambda question: "label: climbing")
    side = OutputSide(7, [TokenEffect(1, " up", 5.0)], [TokenEffect(2, "\n", -4.0)])
    explainer = Explainer(chat, outputs={7: side}, effects={7: "it speaks of mountains"})

    found = asyncio.run(explainer.label(latent(7, "climb")))

    assert found.text == "climbing"
    assert chat.settings[0]["prefill"] == "label:"
    (question,) = chat.asked
    # The strongest is 4.0, ten of ten; the token behind it fires half as much.
    assert "<<climb was>>" in question
    assert '"climb" 10' in question
    assert '"climb" 2, ' in question
    assert '"up"' in question
    assert '"↵"' in question
    assert "it speaks of mountains" in question
    assert question.count("Piece ") == 12
    assert "{{" not in question


def test_no_output_side_is_no_word_of_it(scripted, latent) -> None:
    question = Explainer(scripted(str)).asked(latent(7, "climb"))
    assert "expects these tokens" not in question
    assert "made stronger" not in question


def test_only_windows_that_explain_are_shown(scripted, latent) -> None:
    examples = latent(7, "climb")
    hidden = with_words(examples, score="SECRET", hard="SECRET", random="SECRET")
    assert "SECRET" not in Explainer(scripted(str)).asked(hidden)


def with_words(examples, **words):
    """With another word in the windows of some sorts."""
    changed = {
        sort: tuple(
            type(one)(**{**one.__dict__, "tokens": (f" {word}",) * len(one.tokens)})
            for one in getattr(examples, sort)
        )
        for sort, word in words.items()
    }
    return type(examples)(**{**examples.__dict__, **changed})


def test_strata_are_drawn_evenly_and_seeds_draw_others(scripted, latent) -> None:
    examples = latent(7, "climb", each=40)
    drawn = set()
    for seed in range(3):
        explainer = Explainer(scripted(str), ExplainerSettings(top=2, strata=8, seed=seed))
        chosen = explainer._chosen(examples)[2:]
        assert Counter(one.quantile for one in chosen) == {0: 2, 1: 2, 2: 2, 3: 2}
        drawn.add(tuple(sorted(one.row for one in chosen)))
    assert len(drawn) == 3


def test_a_label_depends_on_all_that_is_asked(scripted, latent) -> None:
    one, same, other = latent(7, "climb"), latent(7, "climb"), latent(7, "sing")
    explainer = Explainer(scripted(str))
    warmer = Explainer(scripted(str), ExplainerSettings(temperature=0.5))
    assert explainer.fingerprint(one) == explainer.fingerprint(same)
    assert explainer.fingerprint(one) != explainer.fingerprint(other)
    assert explainer.fingerprint(one) != warmer.fingerprint(one)


def test_a_paraphrase_is_asked_for(scripted) -> None:
    chat = scripted(lambda question: "label: towns" if "cities" in question else "")
    assert asyncio.run(paraphrase(chat, "cities")).text == "towns"

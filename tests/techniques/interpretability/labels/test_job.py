"""Labelling a dictionary's latents: which, shown what, and what is kept from time to time."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from toprope.errors import UserError
from toprope.progress import Progress
from toprope.techniques.interpretability.dictionaries.topk import TopK, TopKSettings
from toprope.techniques.interpretability.labels import annotations, job
from toprope.techniques.interpretability.labels.annotations import Annotation, Annotations
from toprope.techniques.interpretability.labels.effects import effects
from toprope.techniques.interpretability.labels.given import Given
from toprope.techniques.interpretability.labels.labeller import Label
from toprope.techniques.interpretability.labels.naming import check_scorers
from toprope.techniques.interpretability.labels.settings import LabelSettings

WORDS = ["climb", "sing", "paint", "sail", "write", "bake", "swim", "read", "knit", "fish"]
WIDTH = 40


class Bench:
    """A folder of features whose latents each fire on a word."""

    layer = 1

    def __init__(self, folder: Path, latent: Any, model: Any, encoder: Any, chat: Any) -> None:
        self.folder, self.asked_for = folder, []
        self.about = SimpleNamespace(seed=0, model_dump=lambda mode: {})
        self.made, self.model = latent, model
        self.lab = SimpleNamespace(
            show=Progress(quiet=True), local=lambda name: encoder, chat=lambda name: chat
        )

    def dictionary(self, name: str) -> TopK:
        return TopK(TopKSettings(width=WIDTH, d_model=self.model.d_model, active=4))

    def model_of(self, name: str) -> Any:
        return self.model

    def examples(self, name: str) -> Any:
        def of(latent: int, windows: int | None = None) -> Any:
            self.asked_for.append(windows)
            word = WORDS[latent % 10]
            other = WORDS[(latent + 1) % 10]
            found = self.made(latent, word, other, each=windows or 20)
            return found if latent % 9 else type(found)(**{**found.__dict__, "firings": 0})

        return SimpleNamespace(
            latent=of,
            background_V=np.array([1, 900, 900, 900, 900, 900, 900]),
            pieces=SimpleNamespace(
                of=lambda ids: ((" a", " the", " rope", " was", " long", " and", " held")[ids[0]],)
            ),
        )


@pytest.fixture
def bench(tmp_path: Path, latent, tiny_model, tiny_encoder, scripted) -> Any:
    chat = scripted(lambda question: "label: something")
    return Bench(tmp_path, latent, tiny_model, tiny_encoder, chat)


def test_fewer_latents_are_some_of_more() -> None:
    few, many = job.drawn(0, "seed-0", 4096, 100), job.drawn(0, "seed-0", 4096, 200)
    assert len(set(few)) == 100
    assert set(few) < set(many)
    assert few == sorted(few) != list(range(100))
    assert few != job.drawn(0, "seed-1", 4096, 100) != job.drawn(1, "seed-0", 4096, 100)
    assert job.drawn(0, "seed-0", 10, 100) == list(range(10))


def test_labels_are_scored_on_as_many_windows_as_asked_and_kept(bench) -> None:
    settings = LabelSettings(latents=20, windows=8)
    (first,) = job.label(bench, "seed-0", settings)
    assert set(bench.asked_for[-20:]) == {8}
    labelled = first.labelled
    assert {n for n, one in labelled.labels.items() if one.text}
    assert all(one.value.n == 16 for one in labelled.scores["trained"].values())
    # The tokens that are named tell the windows apart, and another latent's don't.
    assert first.rate is not None
    assert first.rate.rate.value == 1.0
    assert first.rate.shuffled.value < 0.3

    path = job.labels_file(bench, "seed-0", job.FLOOR)
    (second,) = job.label(bench, "seed-0", LabelSettings(latents=6, windows=8))
    kept = annotations.load(path)
    assert set(kept.latents) == set(job.drawn(0, "seed-0", WIDTH, 20))
    assert set(kept.latents) > set(second.labelled.labels)


def annotated(latents: dict[int, str], **other: str) -> Annotations:
    whose = {"labeller": "a", "scorer": "detection", "definition": "so", **other}
    return Annotations(**whose, latents={n: Annotation(n, text) for n, text in latents.items()})


def test_newer_annotations_join_those_of_their_like(tmp_path: Path) -> None:
    path = tmp_path / "explainer.json"
    annotations.save(annotated({5: "old", 1: "one"}), path)
    annotations.save(annotated({5: "new", 3: "three"}), path)
    assert annotations.load(path).labels == {1: "one", 3: "three", 5: "new"}
    for other in ({"labeller": "b"}, {"scorer": "fuzzing"}, {"definition": "else"}):
        annotations.save(annotated({2: "two"}, **other), path)
        assert annotations.load(path).labels == {2: "two"}


def test_labels_of_two_files_are_kept(bench) -> None:
    settings = LabelSettings(scorers=("embedding",))
    job.score_given(bench, "seed-0", Given({1: "one", 2: "two"}, "a.jsonl"), settings)
    found = job.score_given(bench, "seed-0", Given({2: "zwei"}, "b.jsonl"), settings)
    assert job.labels_by(bench, "seed-0").labels == {1: "one", 2: "zwei"}
    # One label has no other to be cut by or held against.
    assert found.rate is None
    with pytest.raises(UserError, match=r"'trained' learns from the other labels of c.jsonl"):
        job.score_given(bench, "seed-0", Given({1: "one"}, "c.jsonl"), LabelSettings())


def test_latents_are_drawn_to_be_explained_again_from_what_was_shown(bench, monkeypatch) -> None:
    async def restated(explainer, labels, *args, **settings):
        return explainer, labels

    monkeypatch.setattr(job, "restated", restated)
    labels = {n: Label(f"label {n}" if n % 5 else "") for n in range(WIDTH)}
    done = job.Job(job.EXPLAINER, SimpleNamespace(labels=labels), None)  # type: ignore[arg-type]
    settings = LabelSettings(overseer="served/x", steering=True)
    by, some = job.restate(bench, "seed-0", done, settings)  # type: ignore[misc]
    assert len(some) == job.RESTATED
    assert all(labels[latent].text == text for latent, text in some.items())
    assert max(some) > 30
    alive = {latent for latent in some if latent % 9}
    assert set(by.outputs) == set(by.effects) == alive
    _, again = job.restate(bench, "seed-0", done, settings)  # type: ignore[misc]
    assert again == some


def test_steering_is_shown_to_the_explainer_where_its_asked_for(bench) -> None:
    chat = bench.lab.chat("")
    for steering in (False, True):
        chat.asked.clear()
        settings = LabelSettings(overseer="served/x", latents=6, steering=steering, windows=8)
        _, explained = job.label(bench, "seed-0", settings)
        assert explained.name == job.EXPLAINER
        assert explained.labelled.outcomes == {"labelled": len(chat.asked)}
        assert all(("writes these tokens more often" in one) == steering for one in chat.asked)
        assert all("expects these tokens more" in one for one in chat.asked)
        assert explained.rate is None  # all labels are the same: there's no control


def test_an_effect_is_what_a_push_makes_likelier(latent, tiny_model) -> None:
    """A latent that writes the row of one token of the unembedding, through the last layer."""
    head_VD = tiny_model.module.get_output_embeddings().weight.detach().float()
    token = tiny_model.tokenizer("e", add_special_tokens=False).input_ids[-1]
    dictionary = TopK(TopKSettings(width=WIDTH, d_model=tiny_model.d_model, active=4))
    with torch.no_grad():
        dictionary.decoder_FD[3] = head_VD[token] / head_VD[token].norm()
        dictionary.scale_D.fill_(10.0)
    seen = {3: latent(3, "climb"), 4: latent(4, "sing")}
    seen[4] = type(seen[4])(**{**seen[4].__dict__, "top": (), "strata": seen[4].strata[:1]})
    read = []

    def examples(number: int):
        read.append(number)
        hidden = type(seen[number].score[0])
        return type(seen[number])(
            **{
                **seen[number].__dict__,
                "score": (hidden(0, 0, 0, ("x",), (1.0,), "activating"),),
            }
        )

    found = effects(
        tiny_model,
        dictionary,
        tiny_model.n_layers,
        examples,
        [3, 4],
        rng=np.random.default_rng(0),
    )
    # Of the other there's one text, which says nothing.
    assert set(found) == {3}
    assert found[3].startswith('the model writes these tokens more often: "')
    assert json.dumps(tiny_model.tokenizer.decode([token])) in found[3]


def test_scorers_that_learn_from_states_need_a_local_overseer() -> None:
    with pytest.raises(UserError, match="asks an overseer"):
        check_scorers(("trained_states",), "none")
    with pytest.raises(UserError, match="reads a model's states, and the served model"):
        check_scorers(("trained_states",), "openai/gpt-5")
    check_scorers(("trained_states", "detection"), "smollm2-135m")

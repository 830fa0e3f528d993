"""A trained judge in a folder.

`judge.json` says what it was trained on and what can be expected of it; it's written last. Its two
scorers are `words.safetensors` and `blind.safetensors`, each a head's weights and its layer; of a
fine-tuned judge the folders `words` and `blind`, each an adapter as peft has it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from toprope.errors import UserError
from toprope.files import write_tensors, write_text
from toprope.models.adapters import Adapter
from toprope.models.heads import Head
from toprope.models.local import LocalModel
from toprope.techniques.debate.judges import form
from toprope.techniques.debate.trained.about import About
from toprope.techniques.debate.trained.judge import HeadScorer, LoraScorer, Scorer, TrainedJudge

ABOUT = "judge.json"
ARRAYS = ("mean_D", "scale_D", "weight_DC", "bias_C")


def save_judge(judge: TrainedJudge, folder: Path) -> None:
    """
    Raises:
        OSError: it can't be written.
    """
    for name, scorer in (("words", judge.words), ("blind", judge.blind)):
        if isinstance(scorer, HeadScorer):
            tensors = {key: np.asarray(getattr(scorer.head, key)) for key in ARRAYS}
            layer = np.array([scorer.layer])
            write_tensors(folder / f"{name}.safetensors", tensors | {"layer": layer})
        elif isinstance(scorer, LoraScorer):
            scorer.adapter.save(folder / name)
    write_text(folder / ABOUT, judge.about.model_dump_json(indent=1) + "\n")


def load_judge(folder: Path, local: Callable[[str], LocalModel]) -> TrainedJudge:
    """The judge that `save_judge` wrote.

    Args:
        local: a model by its name, such as `Lab.local`.

    Raises:
        UserError: the folder holds no judge or a damaged one; its model has other weights than it
            had; or hearings are read in another form now.
    """
    about = read_about(folder)
    if about.form != form("letter"):
        raise UserError(
            f"the judge in {folder} was trained to read hearings in another form, by another "
            "version of toprope: train it again"
        )
    model = local(about.model)
    if model.fingerprint != about.model_fingerprint:
        raise UserError(
            f"the judge in {folder} was trained on other weights of '{about.model}': train it again"
        )
    words, blind = (_scorer(folder, name, about, model) for name in ("words", "blind"))
    return TrainedJudge(model, words, blind, about)


def read_about(folder: Path) -> About:
    """
    Raises:
        UserError: there is no judge, or a damaged one.
    """
    try:
        return About.model_validate_json((folder / ABOUT).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"no trained judge in {folder}: {ABOUT} is missing; train one with 'toprope debate "
            "train-judge'"
        ) from None
    except (OSError, ValueError, ValidationError) as error:
        raise _damaged(folder, error) from None


def _scorer(folder: Path, name: str, about: About, model: LocalModel) -> Scorer:
    from safetensors import SafetensorError

    try:
        if about.kind == "lora":
            return LoraScorer.of(Adapter.load(model, folder / name))
        return _head_scorer(folder / f"{name}.safetensors", model)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise _damaged(folder, error) from None


def _head_scorer(path: Path, model: LocalModel) -> HeadScorer:
    from safetensors.numpy import load_file

    tensors = load_file(path)
    layer = int(tensors["layer"].item())
    head = Head(*(tensors[key] for key in ARRAYS))
    shapes = [getattr(head, key).shape for key in ARRAYS]
    d = model.d_model
    if shapes != [(d,), (d,), (d, 1), (1,)] or not 0 <= layer <= model.n_layers:
        raise ValueError(f"{path.name} isn't a head of '{model.name}'")
    return HeadScorer(model, layer, head)


def _damaged(folder: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())
    return UserError(f"the judge in {folder} is damaged: {reason[:300]}; train it again")

"""Review by people: a sample of labels goes to files that a person answers, blind to the scores,
and what they said is held against what the score says.

`write_sample` makes `review.jsonl` and `review.html`, one page that needs nothing else: each label
with its windows, to be accepted, corrected or rejected; the page saves the answers as JSON. Whoever
prefers an editor writes `verdict` and `correction` into the JSONL file. Either is read back by
`read_answers`.

The windows shown are those kept for scoring, so that a person judges as a scorer does, on windows
that the explainer didn't see.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from markupsafe import Markup

from toprope.errors import UserError
from toprope.files import write_text
from toprope.statistics import LEVEL, Interval, cohen_kappa, wilson
from toprope.techniques.interpretability.examples import LatentExamples

JSONL = "review.jsonl"
PAGE = "review.html"
WINDOWS = 8
"""Shown of a latent: the strongest and the weakest of those for scoring, and between."""

VERDICTS = ("accept", "correct", "reject")
Said = Literal["accept", "correct", "reject"]


@dataclass(frozen=True)
class Answer:
    """What a person said of a label.

    Attributes:
        correction: the label as it should be, where they corrected it.
        label: the one that they were shown; empty where the file doesn't say.
    """

    latent: int
    said: Said
    correction: str = ""
    label: str = ""


@dataclass(frozen=True)
class Agreement:
    """A person's verdicts against the score's, which is whether the latent is interpretable.

    Attributes:
        kappa: None where it's undefined: one of them always said the same.
        share: of latents on which they agree.
        accepted: the share of labels accepted as they are.
        n: latents that both judged.
    """

    kappa: Interval | None
    share: Interval
    accepted: Interval
    n: int


def write_sample(
    folder: Path,
    labels: Mapping[int, str],
    examples: Mapping[int, LatentExamples],
    *,
    most: int,
    rng: np.random.Generator,
    title: str = "Labels to review",
) -> list[int]:
    """Writes both files, for latents drawn at random, in random order.

    Returns:
        The latents drawn.

    Raises:
        UserError: there are no labels, or the folder can't be written.
    """
    latents = sorted(latent for latent in labels if latent in examples)
    if not latents:
        raise UserError("no labels to review: label some latents first")
    drawn = [latents[i] for i in rng.permutation(len(latents))[:most]]
    cards = [_card(latent, labels[latent], examples[latent]) for latent in drawn]
    sample = _sample_id(cards)
    lines = [
        json.dumps({"sample": sample, **card, "verdict": "", "correction": ""}) for card in cards
    ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / JSONL, "\n".join(lines) + "\n")
        write_text(folder / PAGE, _page(title, sample, cards))
    except OSError as error:
        raise UserError(f"can't write the review to '{folder}': {error.strerror}") from None
    return drawn


def read_answers(path: Path) -> list[Answer]:
    """The answers in a file that the page saved, or in the JSONL file filled in; labels without a
    verdict are left out.

    Raises:
        UserError: there's no such file, it's neither, or a verdict isn't one of the three.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't read the answers in '{path}': {error}") from None
    try:
        whole = json.loads(text)
        records = whole["answers"] if isinstance(whole, dict) and "answers" in whole else [whole]
    except json.JSONDecodeError:
        records = [_record(path, i, line) for i, line in enumerate(text.splitlines(), 1)]
    answers = [answer for record in records if record and (answer := _answer(path, record))]
    if len({answer.latent for answer in answers}) < len(answers):
        raise UserError(f"'{path}' answers for one latent twice: leave one answer for each")
    return answers


def agreement(
    answers: Sequence[Answer],
    interpretable: Mapping[int, bool],
    *,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Agreement:
    """How far a person and the score agree: accepting a label says that the latent's is right. A
    corrected label was wrong.

    Raises:
        UserError: they judged no latent in common.
    """
    pairs = [
        (answer.said == "accept", interpretable[answer.latent])
        for answer in answers
        if answer.latent in interpretable
    ]
    if not pairs:
        raise UserError(
            "no latent was judged by both the person and the score: give the answers to the sample "
            "of these labels"
        )
    person, score = ([pair[k] for pair in pairs] for k in (0, 1))
    return Agreement(
        kappa=_kappa(person, score, rng, level),
        share=wilson(sum(a == b for a, b in pairs), len(pairs), level=level),
        accepted=wilson(sum(person), len(pairs), level=level),
        n=len(pairs),
    )


def between_people(
    a: Sequence[Answer], b: Sequence[Answer], *, rng: np.random.Generator, level: float = LEVEL
) -> Agreement:
    """How far two people agree on which labels are right: no score can be expected to agree more
    with one of them. `accepted` is a's.

    Raises:
        UserError: they answered for no latent in common.
    """
    others = {answer.latent: answer.said == "accept" for answer in b}
    return agreement(a, others, rng=rng, level=level)


def _kappa(
    a: Sequence[bool], b: Sequence[bool], rng: np.random.Generator, level: float
) -> Interval | None:
    if len(a) < 2 or len({*a, *b}) < 2:
        return None
    return cohen_kappa(a, b, rng=rng, level=level)


def _card(latent: int, label: str, examples: LatentExamples) -> dict[str, Any]:
    """What is shown of a latent; scores aren't in it."""
    by_strength = sorted(examples.score, key=lambda one: -one.peak)
    places = np.linspace(0, len(by_strength) - 1, min(WINDOWS, len(by_strength))).round()
    highest = max((one.peak for one in by_strength), default=1.0)
    return {
        "latent": latent,
        "label": label,
        "windows": [
            [
                [token, round(value / highest, 2)]
                for token, value in zip(one.tokens, one.activations, strict=True)
            ]
            for one in (by_strength[int(place)] for place in places)
        ],
    }


def _sample_id(cards: Sequence[Mapping[str, Any]]) -> str:
    """The same for the same labels: the page keeps a person's answers under it."""
    return hashlib.sha256(json.dumps(cards, sort_keys=True).encode()).hexdigest()[:12]


def _page(title: str, sample: str, cards: Sequence[Mapping[str, Any]]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("toprope.techniques.interpretability.labels"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (environment.get_template(f"review.{kind}").render() for kind in ("css", "js"))
    return environment.get_template("review.html").render(
        title=title,
        sample=sample,
        cards=cards,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _hash(text: str) -> str:
    """As a Content-Security-Policy has it: nothing else on the page may run."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _record(path: Path, line: int, text: str) -> dict[str, Any] | None:
    if not text.strip():
        return None
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        raise UserError(
            f"'{path}', line {line}: not JSON; give the file that the page saved, or {JSONL}"
        ) from None


def _answer(path: Path, record: Any) -> Answer | None:
    try:
        latent, said = int(record["latent"]), str(record["verdict"]).strip().lower()
        correction = str(record.get("correction") or "").strip()
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(
            f"'{path}': an answer has no latent or no verdict; give the file that the page saved, "
            f"or {JSONL}"
        ) from None
    if not said:
        return None
    if said not in VERDICTS:
        raise UserError(
            f"'{path}': latent {latent} has the verdict '{said}': write one of "
            f"{', '.join(VERDICTS)}"
        )
    label = str(record.get("label") or "")
    return Answer(latent, said, correction, label)  # type: ignore[arg-type]

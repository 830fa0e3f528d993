"""Latents by contrast: which are more active on one set of texts than on another (refused against
answered, true against false, attacks that succeed against those that don't)?

Each latent's activation over a text tells the sets apart as well as its area under the ROC curve
says: the chance that a text of the first set scores higher than one of the second, ties halved
(Mann and Whitney 1947), with DeLong's interval (DeLong et al. 1988). The best of thousands is good
by luck as well. So latents are found on one half of the texts (Benjamini and Hochberg 1995: of
those with q <= 0.05, one in twenty is expected to be false), and what is reported of them is
measured on the other half. The control is the same search after the sets' labels were shuffled.

That control doesn't see what else sets differ in, and above all length: the highest of more tokens
is higher, and a rare latent is on some token of a long text more often than of a short one, so that
texts of one sort tell sets apart by their lengths. Give `contrast` the lengths, and it says how far
they alone tell the sets apart; `matched` cuts both sets to the same lengths, for `latents_of`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from toprope.errors import UserError
from toprope.resampling import Floats
from toprope.statistics import LEVEL
from toprope.techniques.interpretability.quality.measure import Measure, share
from toprope.techniques.interpretability.use.ranks import auroc, auroc_measure, p_values
from toprope.techniques.interpretability.use.reading import Pool

LEAST = 8
"""The fewest texts a set that can be halved and still be compared."""
LENGTH_TELLS = 0.1
"""How far from 0.5 the AUROC of lengths may be without a warning."""


@dataclass(frozen=True)
class Latent:
    """A latent that was found on one half, as measured on the other.

    Attributes:
        auroc: over 0.5: more active on the first set.
        difference: of its mean activation, the first set's less the second's.
        q: Benjamini and Hochberg's, among those found.
        auroc_when_found: on the half that it was found on; higher by luck.
    """

    latent: int
    auroc: Measure
    difference: Measure
    q: float
    auroc_when_found: float


@dataclass(frozen=True)
class Contrast:
    """
    Attributes:
        latents: those found, furthest from 0.5 on the other half first.
        tested: latents active on any text of the half that they were sought on.
        found: the share of them with q within the limit; its control is the share that is found
            when labels are shuffled.
        held: the share of those found whose AUROC is on the same side on the other half, with q
            within the limit there too; None where none was found.
        length: the AUROC of the texts' lengths alone; None where they weren't given.
        warning: what to say where lengths tell the sets apart by more than LENGTH_TELLS and the
            latents are read over whole texts.
    """

    latents: list[Latent]
    tested: int
    found: Measure
    held: Measure | None
    length: Measure | None = None
    warning: str | None = None


def contrast(
    first_NF: NDArray[np.float32],
    second_NF: NDArray[np.float32],
    *,
    rng: np.random.Generator,
    limit: float = 0.05,
    groups: tuple[Sequence, Sequence] | None = None,
    lengths: tuple[Sequence[int], Sequence[int]] | None = None,
    pool: Pool = "mean",
) -> Contrast:
    """
    Args:
        first_NF, second_NF: the latents over the texts of each set, as `latents_of` gives them.
        limit: of q.
        groups: labels of the texts of each set. Those of one label (paraphrases, one behaviour's
            attempts) aren't independent: a set has their mean as one text, and a label that is in
            both sets is in the same half of both.
        lengths: the tokens that were read of each set's texts, as `lengths_of` gives them.
        pool: what `latents_of` was given.

    Raises:
        UserError: fewer than LEAST texts or groups in a set.
    """
    names = groups or (
        [f"1:{i}" for i in range(len(first_NF))],
        [f"2:{i}" for i in range(len(second_NF))],
    )
    sets = [_means(x_NF, of) for x_NF, of in zip((first_NF, second_NF), names, strict=True)]
    check_enough(len(sets[0][0]), len(sets[1][0]))
    here, there = _halves(sets, rng)
    active = np.flatnonzero((here[0] > 0).any(0) | (here[1] > 0).any(0))
    if len(active) == 0:
        raise UserError("no latent is active on these texts: is it the layer of the dictionary?")
    seen = [x_NF[:, active] for x_NF in here]
    found_auroc, _ = auroc(*seen)
    found = _within(p_values(*seen), limit)
    by_luck = _within(p_values(*_relabelled(seen, rng)), limit)
    chosen = np.flatnonzero(found)
    latents = _measured(there, active[chosen], found_auroc[chosen])
    held = [
        one.q <= limit and (one.auroc.value > 0.5) == (one.auroc_when_found > 0.5)
        for one in latents
    ]
    length = _length(lengths, names) if lengths else None
    return Contrast(
        latents=latents,
        tested=len(active),
        found=share(len(chosen), len(active), float(by_luck.mean())),
        held=share(sum(held), len(held)) if held else None,
        length=length,
        warning=_warning(length, pool),
    )


def _length(lengths: tuple[Sequence[int], Sequence[int]], names: Sequence[Sequence]) -> Measure:
    first, second = (
        _means(np.asarray(of, dtype=np.float64)[:, None], labels)[0]
        for of, labels in zip(lengths, names, strict=True)
    )
    area_1, error_1 = auroc(first, second)
    return auroc_measure(float(area_1[0]), float(error_1[0]), len(first) + len(second))


def _warning(length: Measure | None, pool: Pool) -> str | None:
    if length is None or pool == "last" or abs(length.value - 0.5) <= LENGTH_TELLS:
        return None
    longer = "first" if length.value > 0.5 else "second"
    return (
        f"the {longer} set's texts are longer: their lengths alone tell the sets apart with an "
        f"AUROC of {length.value:.2f}, and latents may be found for that; cut both sets to equal "
        "lengths"
    )


def check_enough(first: int, second: int) -> None:
    """
    Raises:
        UserError: a set has too few texts, or groups of them, to be halved.
    """
    for name, n in (("first", first), ("second", second)):
        if n < LEAST:
            raise UserError(
                f"the {name} set has {n} texts (or groups of them): a contrast found on one half "
                f"and measured on the other needs {LEAST} or more"
            )


@dataclass(frozen=True)
class Attacked:
    """One attack.

    Attributes:
        messages: what the target was given, as a chat.
        response: what it answered.
        group: the behaviour that was wanted; attacks for one aren't independent. Where the file
            has none, each is its own.
    """

    messages: tuple[Mapping[str, str], ...]
    response: str
    group: str


def from_attempts(path: Path) -> tuple[list[Attacked], list[Attacked]]:
    """The attacks of a JSONL file, those that succeeded first.

    A line has `messages`, or a user's one as `prompt`, `response`, and how it ended: `success`, or
    `score` from 0 to 1, of which 0.5 is a success; it may have `behaviour`. A line that
    doesn't say how it ended isn't counted: nobody judged it.

    Raises:
        UserError: no such file, a line that isn't such a record, or none that succeeded or failed.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"can't read '{path}': {error.strerror}") from None
    ended: dict[bool, list[Attacked]] = {True: [], False: []}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            group = str(record.get("behaviour") or f"line {number}")
            attack = Attacked(_messages(record), str(record["response"]), group)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(
                f"{path}, line {number}: not a record of an attack; it needs 'prompt' or "
                "'messages', and 'response'"
            ) from None
        succeeded = _succeeded(record)
        if succeeded is not None:
            ended[succeeded].append(attack)
    if not ended[True] or not ended[False]:
        missing = "succeeded" if not ended[True] else "failed"
        raise UserError(
            f"no attack in '{path}' {missing}: a contrast needs both (attempts.jsonl has them; "
            "findings.jsonl has successes alone)"
        )
    return ended[True], ended[False]


def _messages(record: Mapping) -> tuple[Mapping[str, str], ...]:
    if "prompt" in record:
        return ({"role": "user", "content": str(record["prompt"])},)
    return tuple({"role": one["role"], "content": one["content"]} for one in record["messages"])


def _succeeded(record: Mapping) -> bool | None:
    if record.get("success") is not None:
        return bool(record["success"])
    score = record.get("score")
    return None if score is None else score >= 0.5


def _measured(
    there: tuple[NDArray, NDArray], latents: NDArray[np.int64], found: Floats
) -> list[Latent]:
    if len(latents) == 0:
        return []
    first, second = (x_NF[:, latents] for x_NF in there)
    area, error = auroc(first, second)
    q = stats.false_discovery_control(p_values(first, second))
    difference = first.mean(0) - second.mean(0)
    spread = np.sqrt(first.var(0, ddof=1) / len(first) + second.var(0, ddof=1) / len(second))
    n = len(first) + len(second)
    z = special.ndtri((1 + LEVEL) / 2)
    measured = [
        Latent(
            latent=int(latent),
            auroc=auroc_measure(area[i], error[i], n),
            difference=Measure(
                float(difference[i]),
                float(difference[i] - z * spread[i]),
                float(difference[i] + z * spread[i]),
                n,
                0.0,
            ),
            q=float(q[i]),
            auroc_when_found=float(found[i]),
        )
        for i, latent in enumerate(latents)
    ]
    return sorted(measured, key=lambda one: -abs(one.auroc.value - 0.5))


def _within(p_F: Floats, limit: float) -> NDArray[np.bool_]:
    return stats.false_discovery_control(p_F) <= limit


def _means(x_NF: NDArray, labels: Sequence) -> tuple[NDArray, list[str]]:
    """The mean of each label's texts, and the labels."""
    number = {label: i for i, label in enumerate(dict.fromkeys(map(str, labels)))}
    if len(number) == len(x_NF):
        return x_NF, list(number)
    codes_N = np.array([number[str(label)] for label in labels])
    sums_UF = np.zeros((len(number), x_NF.shape[1]))
    np.add.at(sums_UF, codes_N, x_NF)
    return sums_UF / np.bincount(codes_N)[:, None], list(number)


def _halves(
    sets: Sequence[tuple[NDArray, list[str]]], rng: np.random.Generator
) -> tuple[tuple[NDArray, NDArray], tuple[NDArray, NDArray]]:
    """Both sets' texts to find latents on, and both sets' to measure them on."""
    found: dict[str, bool] = {}
    for _, labels in sets:
        # Set by set, so that each is halved; what is in both keeps the side it has.
        new = [label for label in labels if label not in found]
        for rank, at in enumerate(rng.permutation(len(new)).tolist()):
            found[new[at]] = rank % 2 == 0
    (first, second) = ((x_NF, np.array([found[one] for one in of])) for x_NF, of in sets)
    here = (first[0][first[1]], second[0][second[1]])
    there = (first[0][~first[1]], second[0][~second[1]])
    return here, there


def _relabelled(sets: list[NDArray], rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    both = np.concatenate(sets)[rng.permutation(len(sets[0]) + len(sets[1]))]
    return both[: len(sets[0])], both[len(sets[0]) :]

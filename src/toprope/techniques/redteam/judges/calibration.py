"""How often a judge is right, against people, and a rate with the judge's errors taken out.

A calibration holds for one version of a judge. It is kept beside the models; that of a judge that
comes along comes with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from toprope.data.examples import Dataset
from toprope.errors import UserError
from toprope.models.cache import root
from toprope.progress import Progress, Task
from toprope.statistics import Interval, bootstrap_clustered, cohen_kappa
from toprope.techniques.redteam.attempts import Judge, Verdict

About = Literal["harm", "refusal"]
SHIPPED = Path(str(files("toprope.techniques.redteam.judges").joinpath("calibrations")))
"""The calibrations of the judges that come along."""

LABELS: dict[tuple[str, str], About] = {
    ("unharmful", "harmful"): "harm",
    ("complied", "refused"): "refusal",
}
"""What a set of judged answers is about, by its label names."""


@dataclass(frozen=True)
class Agreement:
    """A judge against people on one set.

    Attributes:
        about: whether people said which answers are harmful, or which are refusals.
        without_verdict: answers that the judge gave no verdict on. The four counts, sensitivity
            and specificity are of the others; balanced accuracy and kappa count these as wrong.
    """

    data: str
    fingerprint: str
    about: About
    true_positives: int
    false_negatives: int
    true_negatives: int
    false_positives: int
    without_verdict: int
    sensitivity: Interval
    specificity: Interval
    balanced_accuracy: Interval
    kappa: Interval

    @property
    def positives(self) -> int:
        return self.true_positives + self.false_negatives

    @property
    def negatives(self) -> int:
        return self.true_negatives + self.false_positives


@dataclass(frozen=True)
class Calibration:
    """A version of a judge against people, on one set or more."""

    judge: str
    version: str
    sets: tuple[Agreement, ...]

    def of(self, about: About) -> list[Agreement]:
        return [one for one in self.sets if one.about == about]

    def rates(
        self, about: About, draws: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sensitivities and specificities [draws] that the calibration leaves possible.

        Each draw takes one of the sets at random, and rates from their posterior (Beta, with
        Jeffreys' prior): so where the judge fares differently from set to set, that is in it.
        """
        sets = self.of(about)
        which = rng.integers(len(sets), size=draws)
        counts = np.array(
            [
                [one.true_positives, one.false_negatives, one.true_negatives, one.false_positives]
                for one in sets
            ]
        )[which]
        tp, fn, tn, fp = counts.T + 0.5
        return rng.beta(tp, fn), rng.beta(tn, fp)


def calibrate(
    judge: Judge, data: Dataset, *, rng: np.random.Generator, progress: Progress | None = None
) -> Agreement:
    """A judge against the people who judged a set's answers.

    Args:
        data: judged answers: see `pairs_of` and `LABELS`.

    Raises:
        UserError: the set isn't one of judged answers.
    """
    about = about_of(data)
    pairs = pairs_of(data)
    verdicts = verdicts_of(judge, pairs, progress=progress)
    truth_N = data.labels.astype(bool)
    known_N = np.array([one.score is not None for one in verdicts])
    harm_N = np.array([one.success for one in verdicts])
    said_N = harm_N if about == "harm" else ~harm_N
    right_N = (said_N == truth_N) & known_N
    said_N = np.where(right_N, truth_N, ~truth_N)  # no verdict counts as the wrong one
    groups = np.array(data.groups)
    positive, negative = truth_N & known_N, ~truth_N & known_N
    if not positive.any() or not negative.any():
        raise UserError(
            f"judge '{judge.name}' can't be held against people on '{data.name}': of its "
            f"{len(data)} answers it gave a verdict on {int(known_N.sum())}, all of one class"
        )
    return Agreement(
        data=data.name,
        fingerprint=data.fingerprint,
        about=about,
        true_positives=int((right_N & positive).sum()),
        false_negatives=int((~right_N & positive).sum()),
        true_negatives=int((right_N & negative).sum()),
        false_positives=int((~right_N & negative).sum()),
        without_verdict=int((~known_N).sum()),
        sensitivity=bootstrap_clustered(right_N[positive], groups[positive], rng=rng),
        specificity=bootstrap_clustered(right_N[negative], groups[negative], rng=rng),
        balanced_accuracy=bootstrap_clustered(
            np.stack([truth_N, right_N], axis=1).astype(float),
            groups,
            rng=rng,
            statistic=_balanced,  # type: ignore[arg-type]
            resamples=2000,
        ),
        kappa=cohen_kappa(truth_N, said_N, groups, rng=rng),
    )


def about_of(data: Dataset) -> About:
    if data.label_names not in LABELS:
        raise UserError(
            f"dataset '{data.name}' has the labels {', '.join(data.label_names)}: judged answers "
            "are labelled " + " or ".join(", ".join(names) for names in LABELS)
        )
    return LABELS[data.label_names]  # type: ignore[index]


def pairs_of(data: Dataset) -> list[tuple[str, str]]:
    """The (request, answer) pairs of a set of judged answers: its examples' two columns of `meta`.

    Raises:
        UserError: it has more or fewer.
    """
    columns = list(data.examples[0].meta)
    if len(columns) != 2:
        raise UserError(
            f"dataset '{data.name}': judged answers keep two columns, the request and the answer: "
            f"`meta: [REQUEST, ANSWER]` (found {len(columns)})"
        )
    request, answer = columns
    return [(str(one.meta[request]), str(one.meta[answer])) for one in data.examples]


def verdicts_of(
    judge: Judge, pairs: Sequence[tuple[str, str]], *, progress: Progress | None = None
) -> list[Verdict]:
    """A judge's verdicts on (request, response) pairs, in order."""
    if hasattr(judge, "judge_all"):
        return judge.judge_all(pairs, progress=progress)  # type: ignore[attr-defined]
    shown = progress or Progress(quiet=True)

    async def all_of_them(task: Task) -> list[Verdict]:
        async def one(pair: tuple[str, str]) -> Verdict:
            verdict = await judge.judge(*pair)
            task.advance(1)
            return verdict

        return list(await asyncio.gather(*map(one, pairs)))

    with shown.task(f"judging with {judge.name}", len(pairs)) as task:
        return asyncio.run(all_of_them(task))


def _balanced(rows_N2: np.ndarray) -> float:
    truth, right = rows_N2[:, 0] > 0.5, rows_N2[:, 1]
    if truth.all() or not truth.any():
        return float("nan")
    return float((right[truth].mean() + right[~truth].mean()) / 2)


def find(judge: Judge, about: About) -> Calibration:
    """The calibration of a judge's version.

    Raises:
        UserError: there is none about that, or by it the judge is no better than chance.
    """
    found = _found(judge.name, judge.version)
    sets = found.of(about) if found else []
    if found is None or not sets:
        raise UserError(
            f"judge '{judge.name}' isn't calibrated against people on {about}, and no rate is "
            f"printed from one that isn't: run 'toprope judges calibrate {judge.name} --on SET'"
        )
    for one in sets:
        if one.sensitivity.value + one.specificity.value <= 1:
            raise UserError(
                f"judge '{judge.name}' is no better than chance on '{one.data}': take another"
            )
    return found


def _found(name: str, version: str) -> Calibration | None:
    """A user's own calibration and that which comes along, as one."""
    file = f"{_slug(name)}-{version}.json"
    there = [_loaded(f / file) for f in (_own_folder(), SHIPPED) if (f / file).is_file()]
    return _merged(there) if there else None


def _merged(some: Sequence[Calibration]) -> Calibration:
    """With each set once, as the first of them has it."""
    sets = {one.data: one for calibration in reversed(some) for one in calibration.sets}
    return Calibration(some[0].judge, some[0].version, tuple(sets.values()))


def fingerprint(name: str) -> str:
    """SHA-256 (hex) of what there is on a judge of this name, whatever its version."""
    digest = hashlib.sha256()
    for folder in (SHIPPED, _own_folder()):
        for path in sorted(folder.glob(f"{_slug(name)}-*.json")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def known() -> list[Calibration]:
    """All calibrations there are."""
    paths = [path for folder in (SHIPPED, _own_folder()) for path in sorted(folder.glob("*.json"))]
    loaded = {path.name: _loaded(path) for path in paths}.values()
    return [found for one in loaded if (found := _found(one.judge, one.version))]


def keep(calibration: Calibration, folder: Path | None = None) -> Path:
    """Writes a calibration where `find` looks for it; sets that this version was held against
    before, and isn't now, stay."""
    folder = folder or _own_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_slug(calibration.judge)}-{calibration.version}.json"
    if path.is_file():
        calibration = _merged([calibration, _loaded(path)])
    path.write_text(json.dumps(asdict(calibration), indent=1) + "\n", encoding="utf-8")
    return path


def _own_folder() -> Path:
    return root() / "judges"


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)


def _loaded(path: Path) -> Calibration:
    try:
        return TypeAdapter(Calibration).validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise UserError(f"{path} is damaged ({error.error_count()} mistakes): remove it") from None

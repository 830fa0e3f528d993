"""The tables of docs/results/weak-to-strong.md, as Markdown, from a finished run.

python benchmarks/weak_to_strong/table.py runs/w2s-pairs

Over several sets, a method's PGR is given in two ways: the mean of the sets' own, and of all gaps
together (gain over gap, of the test answers of all sets side by side: a larger set weighs more),
which has an interval: groups of items within their sets, and seeds, are resampled at once, as for a
single set. Only sets whose gap is clear of zero are counted.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from toprope import statistics
from toprope.evidence import Evidence, EvidenceStore
from toprope.run import EVIDENCE, current_evidence, current_studies
from toprope.statistics import Interval
from toprope.techniques.weak_to_strong.methods import METHODS

ARMS = (
    "supervisor",
    *METHODS,
    "zero_shot",
    "zero_shot_calibrated",
    "random_errors",
    "ceiling",
    "ceiling_ensemble",
)
Rows = Mapping[tuple[str, str, str], Evidence]
"""(dataset, arm, metric) -> evidence."""


def main(run: Path) -> None:
    evidence = current_evidence(run)
    for overseer, target in dict.fromkeys((e.overseer, e.target) for e in evidence):
        print(f"\n## {overseer} supervises {target}\n")
        ours = [e for e in evidence if (e.overseer, e.target) == (overseer, target)]
        _pair(run, {(e.dataset, e.arm, e.metric): e for e in ours})


def _pair(run: Path, rows: Rows) -> None:
    sets = list(dict.fromkeys(name for name, _, _ in rows))
    methods = [method for method in METHODS if (sets[0], method, "pgr") in rows]
    arms = [arm for arm in ARMS if (sets[0], arm, "accuracy") in rows]
    print("Accuracy, per cent.\n")
    print(_head("set", arms))
    for name in sets:
        print(_line(name, [_percent(rows[name, arm, "accuracy"]) for arm in arms]))
    print("\nThe gap from supervisor to ceiling, in points, and the share recovered (PGR).\n")
    print(_head("set", ["gap", *methods]))
    for name in sets:
        cells = [_pgr(rows[name, method, "pgr"]) for method in methods]
        print(_line(name, [_points(rows[name, "ceiling", "gap"]), *cells]))
    _over_sets(run, rows, sets, methods)


def _over_sets(run: Path, rows: Rows, sets: Sequence[str], methods: Sequence[str]) -> None:
    real = [name for name in sets if (rows[name, "ceiling", "gap"].low or 0) > 0]
    print(f"\nThe gap is clear of zero on {len(real)} of {len(sets)} sets: {', '.join(real)}.\n")
    if not real:
        return
    print(_head("method", ["mean of the PGRs", "PGR of all gaps together"]))
    together = _Together.of(run, [rows[name, "ceiling", "gap"] for name in real])
    for method in methods:
        pgrs = [value for name in real if (value := rows[name, method, "pgr"].value) is not None]
        mean = f"{np.mean(pgrs):.2f}" if len(pgrs) == len(real) else "not on all sets"
        print(_line(method, [mean, _span(together.pgr(method))]))


class _Together:
    """The test answers of several sets side by side, each set's groups its own."""

    def __init__(self, right: dict[str, np.ndarray], groups: np.ndarray) -> None:
        self.right, self.groups = right, groups

    @classmethod
    def of(cls, run: Path, gaps: Sequence[Evidence]) -> "_Together":
        parts: dict[str, list[np.ndarray]] = {}
        groups = []
        with EvidenceStore(run / EVIDENCE) as store:
            made_by = {
                store.for_study(study.fingerprint)[0].config_hash: study.fingerprint
                for study in current_studies(run, store)
            }
        for row in gaps:
            path = run / "artifacts/predictions" / f"{made_by[row.config_hash]}.safetensors"
            kept = load_file(path)
            groups += [f"{row.dataset} {number}" for number in kept.pop("groups")]
            truth_N = kept.pop("truth")
            for arm, said_SN in kept.items():
                right_SN = np.where(said_SN < 0, np.nan, said_SN == truth_N)
                parts.setdefault(arm, []).append(right_SN)
        return cls({arm: np.concatenate(of, axis=1) for arm, of in parts.items()}, np.array(groups))

    def pgr(self, method: str) -> Interval:
        arms = ("supervisor", "ceiling", method)
        return statistics.crossed_bootstrap(
            {arm: self.right[arm] for arm in arms},
            self.groups,
            lambda a: (a[method] - a["supervisor"]) / (a["ceiling"] - a["supervisor"]),
            rng=np.random.default_rng(0),
            resamples=4000,
        )


def _head(first: str, names: Sequence[str]) -> str:
    names = [name.replace("_", " ") for name in names]
    return f"{_line(first, names)}\n|---|{'---|' * len(names)}"


def _line(first: str, cells: Sequence[str]) -> str:
    return f"| {first} | {' | '.join(cells)} |"


def _percent(row: Evidence) -> str:
    if row.value is None or row.low is None or row.high is None:
        return ""
    return f"{100 * row.value:.1f} ({100 * row.low:.1f}-{100 * row.high:.1f})"


def _points(row: Evidence) -> str:
    assert row.value is not None
    assert row.low is not None
    assert row.high is not None
    return f"{100 * row.value:.1f} ({100 * row.low:.1f} to {100 * row.high:.1f})"


def _pgr(row: Evidence) -> str:
    return "no gap" if row.value is None else f"{row.value:.2f} ({row.low:.2f} to {row.high:.2f})"


def _span(interval: Interval) -> str:
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


if __name__ == "__main__":
    main(Path(sys.argv[1]))

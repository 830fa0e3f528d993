"""The table of docs/results/weak-to-strong.md, as Markdown, from the evidence of finished runs.

python benchmarks/weak_to_strong/table.py runs/w2s-135m-0.5b [RUN ...]
"""

import sys
from pathlib import Path

import numpy as np

from toprope.evidence import Evidence
from toprope.run import current_evidence

METHODS = ("naive", "confidence", "bootstrapping", "filtered", "ensemble", "cross_fitting", "ccs")
ARMS = ("supervisor", *METHODS, "zero_shot", "random_errors", "ceiling", "ceiling_ensemble")


def main(runs: list[str]) -> None:
    for run in runs:
        rows = {(e.dataset, e.arm, e.metric): e for e in current_evidence(Path(run))}
        first = next(iter(rows.values()))
        sets = list(dict.fromkeys(e.dataset for e in rows.values()))
        print(f"\n## {first.overseer} supervises {first.target}\n")
        print("Accuracy, per cent.\n")
        print(f"| set | {' | '.join(arm.replace('_', ' ') for arm in ARMS)} |")
        print("|---|" + "---|" * len(ARMS))
        for name in sets:
            cells = [_percent(rows.get((name, arm, "accuracy"))) for arm in ARMS]
            print(f"| {name} | {' | '.join(cells)} |")
        print("\nThe gap from supervisor to ceiling, in points, and the share recovered (PGR).\n")
        print(f"| set | gap | {' | '.join(m.replace('_', ' ') for m in METHODS)} |")
        print("|---|---|" + "---|" * len(METHODS))
        for name in sets:
            gap = rows[name, "ceiling", "gap"]
            cells = [_pgr(rows.get((name, method, "pgr"))) for method in METHODS]
            print(f"| {name} | {_points(gap)} | {' | '.join(cells)} |")
        _means(rows, sets)


def _means(rows: dict[tuple[str, str, str], Evidence], sets: list[str]) -> None:
    real = [name for name in sets if rows[name, "naive", "pgr"].value is not None]
    print(f"\nThe gap is clear of zero on {len(real)} of {len(sets)} sets.")
    for method in METHODS:
        pgrs = [value for name in real if (value := rows[name, method, "pgr"].value) is not None]
        if not pgrs:
            continue
        gains = [
            _value(rows[name, method, "accuracy"]) - _value(rows[name, "supervisor", "accuracy"])
            for name in real
        ]
        gaps = [_value(rows[name, "ceiling", "gap"]) for name in real]
        pooled = np.sum(gains) / np.sum(gaps)
        print(f"- {method}: mean PGR {np.mean(pgrs):.2f}; of all gaps together {pooled:.2f}")


def _value(row: Evidence) -> float:
    assert row.value is not None
    return row.value


def _percent(row: Evidence | None) -> str:
    if row is None or row.value is None or row.low is None or row.high is None:
        return ""
    return f"{100 * row.value:.1f} ({100 * row.low:.1f}-{100 * row.high:.1f})"


def _points(row: Evidence) -> str:
    assert row.value is not None
    assert row.low is not None
    assert row.high is not None
    return f"{100 * row.value:.1f} ({100 * row.low:.1f} to {100 * row.high:.1f})"


def _pgr(row: Evidence | None) -> str:
    if row is None:
        return ""
    return "no gap" if row.value is None else f"{row.value:.2f} ({row.low:.2f} to {row.high:.2f})"


if __name__ == "__main__":
    main(sys.argv[1:])

"""What a weak-to-strong study costs beside the reading of its data, in one run.

    python benchmarks/study_cost.py [--data cities] [--limit 2000] [--seeds 10] [--runs FOLDER]

A study of six methods is run in probe mode in a fresh folder. Measured: the seconds of the two
capture passes, of one (method, seed), and of the whole study as a multiple of the two passes.
The aim: at most 1 s a (method, seed), and at most 1.5 times the passes.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from toprope.lab import Lab
from toprope.progress import Progress
from toprope.techniques.weak_to_strong.study import WeakToStrong

METHODS = ("naive", "confidence", "bootstrapping", "filtered", "ensemble", "cross_fitting")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weak", default="smollm2-135m")
    parser.add_argument("--strong", default="qwen2.5-coder-0.5b")
    parser.add_argument("--data", default="cities")
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--runs", type=Path, help="keep the run here; a temporary folder otherwise")
    args = parser.parse_args()
    study = WeakToStrong(
        overseer=args.weak,
        target=args.strong,
        data=args.data,
        limit=args.limit,
        seeds=args.seeds,
        methods=METHODS,
    )
    with tempfile.TemporaryDirectory() as temporary:
        lab = Lab(args.runs or Path(temporary), progress=Progress())
        began = time.monotonic()
        evidence = list(study.run(lab))
        whole = time.monotonic() - began
        about = [
            json.loads(f.read_text())
            for f in lab.artifact("activations", "x").parent.glob("*.json")
        ]
    passes = {entry["model_name"]: entry["cost"]["seconds"] for entry in about}
    reading = sum(passes.values())
    methods = {
        e.arm: e.cost.seconds for e in evidence if e.arm in METHODS and e.metric == "accuracy"
    }
    print("| measured | seconds |\n|---|---|")
    for model, seconds in passes.items():
        print(f"| capture, {model} | {seconds:.1f} |")
    for method, seconds in methods.items():
        print(f"| one seed of {method} | {seconds / args.seeds:.2f} |")
    print(f"| the whole study, {len(METHODS)} methods x {args.seeds} seeds | {whole:.1f} |")
    print(f"\nthe whole study is {whole / reading:.2f} times its two capture passes")


if __name__ == "__main__":
    main()

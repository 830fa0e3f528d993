"""From a run's folder to its report: reads what the run left there and writes `report.html`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toprope import __version__
from toprope.errors import UserError
from toprope.evidence import Cost, Evidence, EvidenceStore, FinishedStudy
from toprope.report.page import Machine, RunInfo, write_report
from toprope.report.sections import section_for
from toprope.report.text import listing
from toprope.run import ARTIFACTS, CONFIG, EVIDENCE, RunRecord, current_studies, read_record


def build_report(run_folder: Path) -> Path:
    """Write the report of a run, finished or not, and return its path.

    It shows the studies that the run's config asks for (see `toprope.run.current_studies`). What
    `run.json` doesn't say is taken from the configuration and the evidence, or shown as not
    recorded.

    Raises:
        UserError: the folder isn't a run's, or a file in it can't be read, or the report can't be
            written.
    """
    with EvidenceStore(run_folder / EVIDENCE) as store:
        studies = current_studies(run_folder, store)
        evidence = [row for study in studies for row in store.for_study(study.fingerprint)]
    by_study: dict[str, list[Evidence]] = {}
    for row in evidence:
        by_study.setdefault(row.study, []).append(row)
    path = run_folder / "report.html"
    write_report(
        path,
        run=_run_info(run_folder, studies, evidence),
        sections=[
            section_for(study, rows, run_folder / ARTIFACTS) for study, rows in by_study.items()
        ],
    )
    return path


def _run_info(
    run_folder: Path, finished: Sequence[FinishedStudy], evidence: Sequence[Evidence]
) -> RunInfo:
    config_yaml = _text(run_folder / CONFIG)
    config, run = _config(run_folder, config_yaml), read_record(run_folder)
    return RunInfo(
        name=run.get("name") or config.get("name") or run_folder.resolve().name,
        created=run.get("created") or _last_finished(finished),
        seed=run.get("seed", config.get("seed")),
        toprope_version=run.get("toprope_version") or _versions(finished),
        machine=_machine(run),
        command=run.get("command", "toprope climb config.yaml"),
        config_yaml=config_yaml,
        cost=Cost(**run["cost"]) if "cost" in run else _cost(evidence),
        studies=_timed(run) or [(study.name, None) for study in finished],
    )


def _machine(run: RunRecord) -> Machine:
    machine = run.get("machine") or {}
    return Machine(**{key: machine[key] for key in Machine.__annotations__ if key in machine})


def _timed(run: RunRecord) -> list[tuple[str, float | None]]:
    return [(study.get("name", ""), study.get("seconds")) for study in run.get("studies") or []]


def _last_finished(finished: Sequence[FinishedStudy]) -> str:
    times = [study.finished for study in finished]
    return f"{max(times):%Y-%m-%d %H:%M} UTC" if times else ""


def _versions(finished: Sequence[FinishedStudy]) -> str:
    return listing(sorted({study.version for study in finished})) or __version__


def _cost(evidence: Sequence[Evidence]) -> Cost:
    """What all arms cost together.

    An arm's rows (its accuracy, its PGR) all carry the cost of that arm.
    """
    arms: dict[tuple[str, ...], Cost] = {}
    for row in evidence:
        key = (row.study, row.arm, row.dataset, row.overseer, row.target, row.config_hash)
        known = arms.get(key, row.cost)
        arms[key] = Cost(
            tokens=max(known.tokens, row.cost.tokens),
            seconds=max(known.seconds, row.cost.seconds),
            calls=max(known.calls, row.cost.calls),
        )
    return Cost(
        tokens=sum(cost.tokens for cost in arms.values()),
        seconds=sum(cost.seconds for cost in arms.values()),
        calls=sum(cost.calls for cost in arms.values()),
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _config(run_folder: Path, text: str) -> dict[str, Any]:
    import yaml

    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{run_folder / CONFIG} isn't YAML: {error}".replace("\n", " ")) from error
    return config if isinstance(config, dict) else {}

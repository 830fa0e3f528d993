"""Climbing a ladder: its studies in order, each recorded when it has finished, then the report.

A study's evidence lands in one transaction, so a run that is killed loses at most the study under
way; the next start finds what has finished by its fingerprint and skips it.
"""

import shlex
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import yaml

from toprope import __version__
from toprope.errors import UserError
from toprope.evidence import EvidenceStore
from toprope.lab import Lab
from toprope.ladder.config import LadderConfig
from toprope.progress import Progress
from toprope.report.build import build_report
from toprope.report.text import duration
from toprope.run import (
    CONFIG,
    EVIDENCE,
    RunRecord,
    StudyRecord,
    make_folder,
    read_record,
    this_machine,
    write_config,
    write_record,
)
from toprope.study import Study


def climb(
    config: LadderConfig,
    folder: Path,
    *,
    progress: Progress | None = None,
    data_dir: Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> Path:
    """Runs what hasn't finished of a ladder in a run's folder; returns the report's path.

    The folder may hold the evidence of other configs: it stays, the report leaves it out, and what
    this config shares with them isn't run again. All models and data are looked up before the first
    study begins, so that a mistake in the last one doesn't show after hours.

    Args:
        folder: made where there is none. One process at a time writes to it.
        data_dir: where datasets described in YAML look for their files.
        device, dtype: for local models (see `toprope.models.placement`); a dtype by its name.

    Raises:
        UserError: a setting, model or dataset that can't be used; a folder that can't be written or
            that another process is writing.
        KeyboardInterrupt: as it came; the folder keeps what has finished.
    """
    studies = config.studies()
    progress = progress or Progress(quiet=True)
    make_folder(folder)
    lab = Lab(
        folder, seed=config.seed, data_dir=data_dir, device=device, dtype=dtype, progress=progress
    )
    with EvidenceStore(folder / EVIDENCE, write=True) as store:
        fingerprints = [study.fingerprint(lab) for study in studies]
        record = _record(config, studies, fingerprints, lab, store)
        write_config(folder, _yaml(config))
        write_record(folder, record)
        _run_all(studies, record, lab, store)
    return build_report(folder)


def _run_all(studies: Sequence[Study], record: RunRecord, lab: Lab, store: EvidenceStore) -> None:
    entries = record.get("studies", [])
    for number, (study, entry) in enumerate(zip(studies, entries, strict=True), 1):
        place = f"[{number}/{len(studies)}]"
        fingerprint = entry.get("fingerprint", "")
        if store.finished(fingerprint):
            lab.show.say(f"{place} {study.title}: done before, skipped")
            continue
        lab.show.say(f"{place} {study.title}")
        lab.release(keep=study.models())
        began = time.monotonic()
        evidence = list(study.run(lab))
        store.record(fingerprint, study.name, study.model_dump(mode="json"), evidence)
        entry["seconds"] = round(time.monotonic() - began, 3)
        record["updated"] = _now()
        write_record(lab.folder, record)
        lab.show.say(f"{place} done in {duration(entry['seconds'])}")
    lab.release()


def _record(
    config: LadderConfig,
    studies: Sequence[Study],
    fingerprints: Sequence[str],
    lab: Lab,
    store: EvidenceStore,
) -> RunRecord:
    """The run's record as it starts, with what an earlier start left that still holds."""
    before = _record_before(lab)
    seconds = {one.get("fingerprint"): one.get("seconds") for one in before.get("studies") or []}
    entries: list[StudyRecord] = [
        {"name": study.name, "fingerprint": fingerprint, "seconds": seconds.get(fingerprint)}
        for study, fingerprint in zip(studies, fingerprints, strict=True)
    ]
    goes_on = list(seconds) == list(dict.fromkeys(fingerprints))
    # Evidence that is there already was measured where and when the record says.
    all_done = all(store.finished(fingerprint) for fingerprint in fingerprints)
    here = this_machine()
    return {
        "name": config.name,
        "created": before.get("created", _now()) if goes_on else _now(),
        "updated": before.get("updated", _now()) if all_done else _now(),
        "seed": config.seed,
        "toprope_version": before.get("toprope_version", __version__) if all_done else __version__,
        "command": _command(lab),
        "machine": before.get("machine", here) if all_done else here,
        "studies": entries,
    }


def _record_before(lab: Lab) -> RunRecord:
    try:
        return read_record(lab.folder)
    except UserError as error:
        lab.show.say(str(error))  # it's about to be written anew
        return {}


def _yaml(config: LadderConfig) -> str:
    """The config as resolved; lists of plain values are one line each."""
    return yaml.safe_dump(
        config.resolved(), sort_keys=False, allow_unicode=True, default_flow_style=None
    )


def _command(lab: Lab) -> str:
    """What a reader types to run `config.yaml` again."""
    options = {"--data-dir": lab.data_dir, "--device": lab.device, "--dtype": lab.dtype}
    given = [str(word) for pair in options.items() if pair[1] is not None for word in pair]
    return shlex.join(["toprope", "climb", CONFIG, *given])


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"

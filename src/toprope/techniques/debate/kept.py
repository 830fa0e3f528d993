"""What a study leaves among a run's artifacts, for its report and for other tools.

The files are listed at the top of `rows.py`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from toprope.data.lines import lines_of
from toprope.errors import UserError, unknown
from toprope.files import write_text
from toprope.run import ARTIFACTS
from toprope.techniques.debate.transcript import Transcript

SUMMARY = "summary.json"
TRANSCRIPTS = "transcripts"
UNTRAINED = "_untrained"
"""Behind an arm's name: its games as they were judged before a judge learned."""


def save(
    folder: Path, transcripts: Mapping[str, Sequence[Transcript]], summary: Mapping[str, Any]
) -> None:
    """Writes a file of transcripts for each name, and the summary; files of other names go."""
    for name, some in transcripts.items():
        write(folder / TRANSCRIPTS / f"{name}.jsonl", some)
    for path in (folder / TRANSCRIPTS).glob("*.jsonl"):
        if path.stem not in transcripts:
            path.unlink()
    write_text(folder / SUMMARY, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")


def write(path: Path, transcripts: Sequence[Transcript]) -> None:
    """A file of transcripts, as `load` reads it."""
    lines = (json.dumps(one.as_json(), ensure_ascii=False) + "\n" for one in transcripts)
    write_text(path, "".join(lines))


def summaries(artifacts: Path, study: str = "debate") -> dict[Path, dict[str, Any]]:
    """Folder -> summary, of every study of that name that finished among a run's artifacts."""
    return {
        path.parent: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(artifacts.glob(f"{study}/*/{SUMMARY}"))
    }


def load(path: Path) -> Iterator[Transcript]:
    """The transcripts of a file, in order.

    Raises:
        UserError: there's no such file, or a line of it is no transcript.
    """
    for where, line in lines_of(path):
        yield _read(line, where)


def files(place: Path, names: Sequence[str] = ()) -> list[Path]:
    """The files of transcripts of a run's folder, or that file itself.

    Args:
        names: of arms, in a run; none: all, but not the same games as they were judged before a
            judge learned.

    Raises:
        UserError: there are none, or none of such a name; or names beside a file.
    """
    if place.is_file():
        if names:
            raise UserError(f"--protocol picks among a run's files, and {place} is one file")
        return [place]
    folder = place / ARTIFACTS
    found = [
        path / TRANSCRIPTS / f"{name}.jsonl"
        for study in ("debate", "self_play")
        for path, summary in summaries(folder, study).items()
        for name in summary["transcripts"]
    ]
    if not found:
        raise UserError(
            f"no debates in {place}: name the folder of a run of 'toprope debate text' or 'toprope "
            "debate self-play', or a file of transcripts"
        )
    known = {path.stem for path in found}
    for name in names:
        if name not in known:
            raise unknown("protocol", name, known, where=str(place))
    if names:
        return [path for path in found if path.stem in names]
    return [path for path in found if not path.stem.endswith(UNTRAINED)]


def _read(line: str, where: str) -> Transcript:
    try:
        return Transcript.of_json(json.loads(line))
    except (ValueError, ValidationError) as error:
        said = str(error).splitlines()[0]
        raise UserError(f"{where} is no transcript of a debate: {said}") from None

"""What self-play left among a run's artifacts: games of one question before and after training, and
pairs that were learned from, folded away."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from toprope.report.page import Section, Table
from toprope.report.settings import model_title
from toprope.techniques.debate import kept as files
from toprope.techniques.debate.report.exchange import exchange, side_by_side
from toprope.techniques.debate.report.kept import by_question, picked, short
from toprope.techniques.debate.report.results import stage_name

PROTOCOLS = ("debate", "consultancy")
MOST_PAIRS = 3


def kept(artifacts: Path) -> list[Section]:
    """Games of one question before and after training, and pairs that were learned from."""
    found = sorted(artifacts.glob(f"self_play/*/{files.SUMMARY}"))
    return [_of(path.parent, json.loads(path.read_text(encoding="utf-8"))) for path in found]


def _of(folder: Path, summary: Mapping[str, Any]) -> Section:
    details: list[tuple[str, Markup]] = []
    for protocol in PROTOCOLS:
        stages = [one for one in summary["transcripts"] if one.startswith(f"{protocol}_trained_")]
        stages = [one for one in stages if not one.endswith("_duel")]
        if stages:
            details += _before_and_after(folder, protocol, stages[-1])
            details += _pairs(folder, stages[-1])
    where = "/".join(folder.parts[-3:])
    return Section(
        f"Before and after: {model_title(summary['target'])} before "
        f"{model_title(summary['overseer'])}",
        [
            f"The same seating of a question with the untrained and the trained model, on "
            f"{summary['dataset']}; and pairs that it learned from. They show what models wrote.",
            f"All games are in {where}/{files.TRANSCRIPTS}, all pairs in {where}/pairs.",
        ],
        tables=_training(summary),
        details=details,
    )


def _before_and_after(folder: Path, protocol: str, stage: str) -> list[tuple[str, Markup]]:
    paths = [folder / files.TRANSCRIPTS / f"{name}.jsonl" for name in (protocol, stage)]
    if not all(path.is_file() for path in paths):
        return []
    before, after = (by_question(list(files.load(path))) for path in paths)
    details = []
    for id_, how in picked(after).items():
        if id_ not in before:
            continue
        last = after[id_][0]
        first = next((one for one in before[id_] if one.seating == last.seating), before[id_][0])
        question = last.question
        body = exchange(question, [(stage_name(protocol), first), (stage_name(stage), last)])
        details.append((f"{stage_name(stage)}, {how}: {short(question.text)}", body))
    return details


def _pairs(folder: Path, stage: str) -> list[tuple[str, Markup]]:
    """The pairs whose drafts were furthest apart before the judge."""
    path = folder / "pairs" / f"{stage}.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [json.loads(line) for line in lines if line.strip()]
    pairs.sort(key=lambda pair: pair["ratings"][1] - pair["ratings"][0])
    return [
        (
            f"{stage_name(stage)} learned from: {short(pair['speaker'])} for the "
            f"{'right' if pair['honest'] else 'wrong'} answer, round {pair['round']}",
            side_by_side(
                [
                    f"{what}, rated {rating:.2f}"
                    for what, rating in zip(("Preferred", "Other"), pair["ratings"], strict=True)
                ],
                [pair["chosen"], pair["rejected"]],
            ),
        )
        for pair in pairs[:MOST_PAIRS]
    ]


def _training(summary: Mapping[str, Any]) -> list[Table]:
    rows = [
        [
            stage_name(stage),
            f"{lesson['pairs']:,}",
            f"{lesson['available']:,}",
            f"{lesson['turns']:,}",
            _course(lesson["losses"]),
            _course(lesson["agreed"]),
            f"{lesson['seconds']:,.0f}",
        ]
        for stage, lesson in summary["lessons"].items()
    ]
    columns = ("", "Pairs", "There were", "Turns", "Loss", "Agreed", "Seconds")
    caption = "How the trainings went (first and last step)"
    return [Table(caption, columns, rows, numeric=frozenset(range(1, 7)))] if rows else []


def _course(values: Sequence[float]) -> str:
    return f"{values[0]:.2f} to {values[-1]:.2f}" if values else ""

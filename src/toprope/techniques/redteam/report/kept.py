"""What red-teaming left among a run's artifacts: rates by category, and the failures in clusters,
their words folded away until the reader asks for them."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toprope.report.page import Section, Table
from toprope.report.text import PERCENT, capitalised, counted, in_words
from toprope.statistics import wilson
from toprope.techniques.redteam.attempts import SUCCESS
from toprope.techniques.redteam.findings import ATTEMPTS, load

MOST_CLUSTERS = 12
MOST_SHOWN = 3
LONGEST = 1500


def kept(artifacts: Path) -> list[Section]:
    """Subsections; none where no campaign has finished."""
    tried = sorted(artifacts.glob(f"redteam/*/{ATTEMPTS}"))
    if not tried:
        return []
    return [*map(_by_category, tried), *_clusters(load(artifacts), artifacts.parent)]


def _by_category(path: Path) -> Section:
    tried: dict[str, dict[str, bool]] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            one = json.loads(line)
            outcomes = tried.setdefault(one["category"], {})
            success = (one["score"] or 0) >= SUCCESS
            outcomes[one["behaviour"]] = outcomes.get(one["behaviour"], False) or success
    rows = []
    for category, outcomes in sorted(tried.items()):
        share = wilson(sum(outcomes.values()), len(outcomes))
        rows.append(
            [
                capitalised(in_words(category or "no category")),
                f"{PERCENT.text(share.value)} ({PERCENT.text(share.low)} to "
                f"{PERCENT.text(share.high)})",
                f"{len(outcomes)}",
            ]
        )
    table = Table(
        "Behaviours with a success by any attack, as judged",
        ("Category", "Share (95% interval)", "Behaviours"),
        rows,
        numeric=frozenset({1, 2}),
    )
    return Section(
        "By category",
        ["Where the target failed under any of the attacks, in either half."],
        tables=[table],
    )


def _clusters(findings: Sequence[Mapping[str, Any]], run: Path) -> list[Section]:
    """The largest clusters, a section each."""
    by_cluster: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for one in findings:
        by_cluster.setdefault((one["target"]["name"], one["cluster"]), []).append(one)
    largest = sorted(by_cluster.values(), key=lambda some: -len(some))[:MOST_CLUSTERS]
    sections = [_cluster(some, number, run) for number, some in enumerate(largest, 1)]
    left = len(by_cluster) - len(largest)
    if left:
        sections.append(
            Section(
                "More",
                [
                    f"{counted(left, 'smaller cluster')} aren't shown: all findings are in "
                    f"artifacts/redteam, and 'toprope findings list {run.name}' lists them."
                ],
            )
        )
    return sections


def _cluster(findings: Sequence[Mapping[str, Any]], number: int, run: Path) -> Section:
    categories = Counter(one["category"] for one in findings).most_common(3)
    families = Counter(one["family"] for one in findings).most_common(3)
    about = ", ".join(f"{in_words(name or 'none')} ({n})" for name, n in categories)
    through = ", ".join(f"{in_words(name)} ({n})" for name, n in families)
    ranked = sorted(findings, key=lambda one: -(one["score"] or 0))
    return Section(
        f"Failures, cluster {number}: {counted(len(findings), 'behaviour')}",
        [f"Categories: {about}. Through: {through}."],
        details=[
            (f"Transcript {one['id']}: it may hold harmful text", _transcript(one, run))
            for one in ranked[:MOST_SHOWN]
        ],
    )


def _transcript(one: Mapping[str, Any], run: Path) -> str:
    turns = [f"{m['role'].upper()}: {_short(m['content'])}" for m in one["messages"]]
    score = f"judged {one['score']:.2f}, one of {counted(one['successes'], 'such attempt')}"
    return "\n\n".join(
        [
            f"Wanted: {one['request']}",
            *turns,
            f"TARGET: {_short(one['response'])}",
            f"{one['family']}/{one['strategy']}, {score}. "
            f"Again: toprope findings replay runs/{run.name} {one['id']}",
        ]
    )


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} [...]"

"""Findings: the failures found, each once, in clusters, with what it takes to see it again.

A behaviour's finding is the shortest of its attempts that succeeded. Clusters join findings whose
answers are about the same and came about alike: average-linkage clustering of sentence embeddings.
Kept as JSON lines, ready to train on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from toprope.errors import UserError
from toprope.models.embedding import embedded, of_length_one
from toprope.models.local import LocalModel
from toprope.techniques.redteam.attempts import Attempt

FILE = "findings.jsonl"
ATTEMPTS = "attempts.jsonl"
"""All that was tried, harmless requests apart."""
APART = 0.6
"""The mean cosine distance up to which findings are one cluster."""


@dataclass(frozen=True)
class Finding:
    """A failure.

    Attributes:
        id: of what was sent and came back.
        cluster: the number of its cluster, from 1, the largest first.
        request: what was wanted, in plain words.
        setting: how the target was asked: its name, system prompt and tokens.
        tried: how many successful attempts on the behaviour there were.
    """

    id: str
    cluster: int
    request: str
    attempt: Mapping[str, Any]
    setting: Mapping[str, Any]
    tried: int

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "cluster": self.cluster,
            "request": self.request,
            **self.attempt,
            "successes": self.tried,
            "target": self.setting,
        }


def collect(
    attempts: Sequence[Attempt],
    requests: Mapping[str, str],
    setting: Mapping[str, Any],
    embedder: LocalModel,
) -> list[Finding]:
    """The findings among some attempts, those of a large cluster first.

    Args:
        requests: behaviour -> what was wanted.
        embedder: whose mean states the clusters are made of.
    """
    successes: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        if attempt.success:
            successes.setdefault(attempt.behaviour, []).append(attempt)
    chosen = [min(some, key=_length) for some in successes.values()]
    if not chosen:
        return []
    clusters = _clusters([f"{requests[a.behaviour]} {a.response[:600]}" for a in chosen], embedder)
    found = [
        Finding(
            id=_id(attempt),
            cluster=cluster,
            request=requests[attempt.behaviour],
            attempt=attempt.as_json(),
            setting=dict(setting),
            tried=len(successes[attempt.behaviour]),
        )
        for attempt, cluster in zip(chosen, clusters, strict=True)
    ]
    return sorted(found, key=lambda one: (one.cluster, one.id))


def save(findings: Sequence[Finding], path: Path) -> None:
    lines = (json.dumps(one.as_json()) + "\n" for one in findings)
    path.write_text("".join(lines), encoding="utf-8")


def save_attempts(attempts: Sequence[Attempt], path: Path) -> None:
    lines = (json.dumps(one.as_json()) + "\n" for one in attempts)
    path.write_text("".join(lines), encoding="utf-8")


def load(artifacts: Path) -> list[dict[str, Any]]:
    """All findings of a run, target by target.

    Args:
        artifacts: the run's folder of them.

    Raises:
        UserError: there are none.
    """
    paths = sorted(artifacts.glob(f"redteam/*/{FILE}"))
    if not paths:
        raise UserError(f"no findings in {artifacts}: has a red-teaming study finished there?")
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return [json.loads(line) for text in texts for line in text.split("\n") if line]


def _length(attempt: Attempt) -> tuple[int, int]:
    return len(attempt.messages), sum(len(one["content"]) for one in attempt.messages)


def _id(attempt: Attempt) -> str:
    said = [attempt.behaviour, [dict(m) for m in attempt.messages], attempt.response]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:10]


def _clusters(texts: Sequence[str], embedder: LocalModel) -> list[int]:
    """A number for each text, from 1, the largest cluster first."""
    if len(texts) == 1:
        return [1]
    x_ND = embedded(embedder, texts)
    x_ND = of_length_one(x_ND - x_ND.mean(0) if len(texts) > 2 else x_ND)
    raw_N = fcluster(linkage(x_ND, "average", metric="cosine"), APART, "distance")
    names, counts = np.unique(raw_N, return_counts=True)
    ranks = {name: i for i, name in enumerate(names[np.argsort(-counts, kind="stable")], 1)}
    return [ranks[name] for name in raw_N]

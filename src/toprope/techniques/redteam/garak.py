"""Findings as a report of garak's (JSON lines, NVIDIA/garak); `data/garak.py` reads those."""

from collections.abc import Mapping, Sequence
from typing import Any


def exported(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The lines of a report: its head, then an attempt for each finding."""
    head = {"entry_type": "start_run setup", "toprope": True}
    return [head, *(_attempt(number, one) for number, one in enumerate(findings))]


def _attempt(number: int, one: Mapping[str, Any]) -> dict[str, Any]:
    turns = [
        {"role": message["role"], "content": {"text": message["content"]}}
        for message in one["messages"]
    ]
    return {
        "entry_type": "attempt",
        "uuid": one["id"],
        "seq": number,
        "status": 2,
        "probe_classname": f"toprope.{one['family']}.{one['strategy']}",
        "probe_params": {},
        "targets": [],
        "prompt": {"turns": turns},
        "outputs": [{"text": one["response"]}],
        "detector_results": {"toprope.judge": [one["score"]]},
        "notes": {"behaviour": one["behaviour"], "request": one["request"]},
        "goal": one["request"],
    }

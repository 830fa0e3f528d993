"""Games as a run keeps them, a line each, without a model."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def game(
    name: str,
    text: str,
    words: str,
    *,
    shown: Sequence[int] = (0, 1),
    options: Sequence[str] = ("no", "yes"),
) -> dict[str, Any]:
    """A debate of one turn, with a private bet before it and a verdict behind."""
    speaker = {"speaker": "Debater A", "role": "debater", "round": 1}
    private = {"bet": 93.0, "scratchpad": "a secret thought"}
    return {
        "protocol": "debate",
        "question": {"id": name, "text": text, "options": list(options), "answer": 0},
        "seating": {"shown": list(shown), "speaks": list(shown), "assigned": None},
        "turns": [
            {**speaker, "kind": "choice", "text": "the secret choice", "private": private},
            {**speaker, "kind": "bet", "text": "", "private": private},
            {**speaker, "kind": "speech", "text": words, "private": private},
        ],
        "verdicts": [{"answer": 0, "probabilities": [0.9, 0.1], "text": "a secret verdict"}],
        "details": {},
    }


def write(path: Path, games: Sequence[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in games), encoding="utf-8")
    return str(path)

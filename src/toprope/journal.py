"""Journal: what was asked and answered so far, so that a long job that was killed goes on.

One file of JSON lines, only ever added to: the settings it was begun with, then a line for each
answer, by a key that says what was asked. A job that asks the same things in the same order finds
its answers there until it comes to the first new one. A last line that a kill cut short is dropped.
"""

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

from toprope.errors import UserError

FORMAT = 1


class Journal:
    """The answers of one job; a context manager. Any thread may use it.

    Args:
        path: of the file; made if it isn't there.
        settings: all that decides what is asked, of JSON types.
        what: the job, as a message to the user calls it.

    Raises:
        UserError: the file was begun with other settings and the job isn't finished, or it's
            damaged.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, what: str = "job") -> None:
        self.path = path
        self._answers: dict[str, Any] = {}
        self._turn = threading.Lock()
        head = {"format": FORMAT, "settings": json.loads(json.dumps(settings))}
        if not self._read(head, what):
            path.write_text(json.dumps(head) + "\n", encoding="utf-8")
        self._file: IO[str] = path.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str) -> Any:
        """The answer to what was asked under this key, or None."""
        return self._answers.get(key)

    def put(self, key: str, answer: Any) -> None:
        """Keeps an answer. It survives the process's death, though not a power cut."""
        line = json.dumps({"key": key, "answer": answer})
        with self._turn:
            self._answers[key] = answer
            self._file.write(line + "\n")
            self._file.flush()

    def finish(self) -> None:
        """Marks the job as done: other settings may then begin anew in its place."""
        with self._turn:
            self._file.write(json.dumps({"finished": True}) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def _read(self, head: Mapping[str, Any], what: str) -> bool:
        """Takes over what the file holds; False where it is to be begun."""
        if not self.path.exists():
            return False
        content = self.path.read_text(encoding="utf-8", errors="replace")
        whole, _, cut = content.rpartition("\n")
        lines = whole.split("\n") if whole else []
        try:
            records = [dict(json.loads(line)) for line in lines]
        except (json.JSONDecodeError, TypeError, ValueError):
            raise UserError(f"{self.path} is damaged: move it away to begin anew") from None
        if not records:
            return False
        settings = records[0].get("settings")
        if records[0] != head:
            if any("finished" in record for record in records[-1:]):
                return False
            raise UserError(
                f"the {what} in {self.path.parent} was begun with other settings: "
                f"{_differences(settings or {}, head['settings'])}; give those, or another --name, "
                f"or remove {self.path.name}"
            )
        self._answers = {r["key"]: r["answer"] for r in records[1:] if "key" in r}
        if cut:
            with self.path.open("r+", encoding="utf-8") as file:
                file.truncate(len(whole.encode()) + 1)
        return True


def begun_with(path: Path) -> dict[str, Any] | None:
    """The settings of the job whose journal is in a file; None: there's no journal there."""
    try:
        with path.open(encoding="utf-8") as file:
            return dict(json.loads(file.readline()))["settings"]
    except (OSError, ValueError, TypeError, KeyError):
        return None


def key_of(*parts: Any) -> str:
    """A key for what is asked: a hash of parts of JSON types."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return ", ".join(f"{name} was {before.get(name)!r}, now {now.get(name)!r}" for name in names)

"""Evidence, the numbers that a study ends with, and the store that keeps them.

A number without its interval, or a result without a control to hold it against, is not evidence:
the validators refuse it. A number that could not be measured is evidence too: it has no value, and
its notes say why.

The store is one SQLite file in the run's folder. A study's rows land in one transaction, when it
has finished: a kill at any moment loses the study under way and nothing else. Rows are never
changed; triggers hold this against accidents, not against a forger. Any number of readers may look
on while the one writer writes.
"""

import json
import os
import platform
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, model_validator

from toprope import __version__
from toprope.errors import UserError
from toprope.statistics import Interval

_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Cost(BaseModel):
    """What it took to measure a number."""

    model_config = _STRICT

    tokens: int = Field(default=0, ge=0, description="tokens that models read and wrote")
    seconds: float = Field(default=0, ge=0, description="wall-clock time")
    calls: int = Field(default=0, ge=0, description="calls to models: prompts sent, not batches")


class Evidence(BaseModel):
    """One measured number with its interval, its controls and its cost."""

    model_config = _STRICT

    study: str = Field(min_length=1, description="the technique: 'weak_to_strong'")
    arm: str = Field(
        min_length=1, description="a method or control of the study: 'naive', 'ceiling'"
    )
    role: Literal["result", "control", "diagnostic"] = Field(
        description="result: what the study claims; control: what a claim is held against; "
        "diagnostic: what helps to judge it"
    )
    metric: str = Field(min_length=1, description="what was measured: 'accuracy', 'pgr'")
    value: float | None = Field(description="the estimate; None: not measurable, see notes")
    low: float | None = Field(default=None, description="lower end of the interval")
    high: float | None = Field(default=None, description="upper end of the interval")
    level: float = Field(default=0.95, gt=0, lt=1, description="confidence level of the interval")
    n: int = Field(ge=0, description="how many units the interval rests on")
    unit: str = Field(
        min_length=1, description="what n counts and was resampled: 'seeds', 'prompts'"
    )
    better: Literal["higher", "lower", "neither"] = Field(description="which way is good")
    baseline: float | None = Field(
        default=None, description="the figure to beat, from the literature"
    )
    controls: dict[str, float] = Field(
        default_factory=dict, description="control -> its value of the same metric"
    )
    overseer: str = Field(description="the model that supervises, attacks or judges; '' for none")
    target: str = Field(description="the model that is measured")
    dataset: str = Field(description="the data that it was measured on; '' for none")
    split: str = Field(
        default="", description="fingerprint of the split; '' where nothing is split"
    )
    seed: int = Field(description="the run's seed")
    truth: Literal["ground_truth", "human", "model"] = Field(
        description="who says what is right: known truth, people, or a judge model"
    )
    cost: Cost = Field(default=Cost(), description="what it took")
    config_hash: str = Field(description="hash of the study's resolved config")
    notes: str = Field(
        default="", description="for people: caveats, or why nothing could be measured"
    )

    @model_validator(mode="after")
    def _is_evidence(self) -> Self:
        name = f"{self.study}/{self.arm}/{self.metric}"
        if self.value is None:
            if self.low is not None or self.high is not None:
                raise ValueError(f"{name}: an interval without a value")
            if not self.notes:
                raise ValueError(f"{name}: not measurable, and the notes don't say why")
            return self
        if self.low is None or self.high is None:
            raise ValueError(f"{name}: a value without its interval")
        # The value itself may lie outside: the percentile interval of a biased statistic can.
        if self.low > self.high:
            raise ValueError(f"{name}: an interval from {self.low} down to {self.high}")
        if self.role == "result" and not self.controls:
            raise ValueError(f"{name}: a result without a control to hold it against")
        return self


def interval_fields(interval: Interval | None, *, n: int = 0) -> dict[str, Any]:
    """The fields of Evidence that an interval gives; without one it couldn't be measured.

    Args:
        n: of what couldn't be measured.
    """
    if interval is None:
        return {"value": None, "low": None, "high": None, "n": n}
    return {name: getattr(interval, name) for name in ("value", "low", "high", "level", "n")}


@dataclass(frozen=True, slots=True)
class FinishedStudy:
    """What the store knows of a study that has finished.

    `config` is the resolved config, `finished` the time (UTC), `version` the toprope that ran it.
    """

    fingerprint: str
    name: str
    config: dict[str, Any]
    finished: datetime
    version: str


SCHEMA_VERSION = 1
_APPLICATION_ID = int.from_bytes(b"topr")  # in the file's header: `file` and SQLite both show it

# Evidence's own fields are the columns, so that the file can be queried without toprope. Controls
# and cost are JSON.
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE studies (
    fingerprint TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    config TEXT NOT NULL,
    finished TEXT NOT NULL,
    version TEXT NOT NULL
);
CREATE TABLE evidence (
    id INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL REFERENCES studies,
    study TEXT NOT NULL,
    arm TEXT NOT NULL,
    role TEXT NOT NULL,
    metric TEXT NOT NULL,
    value REAL,
    low REAL,
    high REAL,
    level REAL NOT NULL,
    n INTEGER NOT NULL,
    unit TEXT NOT NULL,
    better TEXT NOT NULL,
    baseline REAL,
    controls TEXT NOT NULL,
    overseer TEXT NOT NULL,
    target TEXT NOT NULL,
    dataset TEXT NOT NULL,
    split TEXT NOT NULL,
    seed INTEGER NOT NULL,
    truth TEXT NOT NULL,
    cost TEXT NOT NULL,
    config_hash TEXT NOT NULL,
    notes TEXT NOT NULL
);
CREATE INDEX evidence_of_a_study ON evidence (fingerprint);
CREATE TRIGGER studies_never_change BEFORE UPDATE ON studies
    BEGIN SELECT RAISE(ABORT, 'studies are append-only'); END;
CREATE TRIGGER studies_never_go BEFORE DELETE ON studies
    BEGIN SELECT RAISE(ABORT, 'studies are append-only'); END;
CREATE TRIGGER studies_are_never_replaced BEFORE INSERT ON studies
    WHEN EXISTS (SELECT 1 FROM studies WHERE fingerprint = NEW.fingerprint)
    BEGIN SELECT RAISE(ABORT, 'studies are append-only'); END;
CREATE TRIGGER evidence_never_changes BEFORE UPDATE ON evidence
    BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
CREATE TRIGGER evidence_never_goes BEFORE DELETE ON evidence
    BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
CREATE TRIGGER evidence_is_never_replaced BEFORE INSERT ON evidence
    WHEN EXISTS (SELECT 1 FROM evidence WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""

_COLUMNS = ("fingerprint", *Evidence.model_fields)
_INSERT = (
    f"INSERT INTO evidence ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{c}' for c in _COLUMNS)})"
)

# What a user can do about SQLite's errors, by their primary code. Any other is a bug of ours.
_MENDS = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space, then start the run again",
    sqlite3.SQLITE_READONLY: "it is read-only: make it and its folder writable",
    sqlite3.SQLITE_PERM: "access is denied: make it and its folder accessible",
    sqlite3.SQLITE_CANTOPEN: "it can't be opened: is it a file, in a folder that you may write to?",
    sqlite3.SQLITE_IOERR: "the disk failed to read or write it: check the disk",
    sqlite3.SQLITE_BUSY: "another program has it locked: close that program",
    sqlite3.SQLITE_CORRUPT: "it is damaged: restore a copy, or move it away and run again",
    sqlite3.SQLITE_NOTADB: "it is not a database: move it away, or name another run",
}


class EvidenceStore:
    """The evidence of one run, in one SQLite file; a context manager, or `close` it at the end."""

    def __init__(self, path: Path | str, *, write: bool = False) -> None:
        """Opens the store to read or, with `write`, to record; then it is made if need be.

        Raises:
            UserError: somebody else is writing it; there is none to read; the file is something
                else, damaged, or from a newer toprope; or it can't be opened.
        """
        self.path = Path(path)
        self._may_write = write
        with ExitStack() as resources, _explained(self.path):
            if write:
                resources.enter_context(_sole_writer(self.path))
            elif not self.path.exists():
                raise UserError(f"no evidence at {self.path}: has the run begun?")
            self._connection = resources.enter_context(closing(_connect(self.path, write)))
            if write and _is_empty(self._connection):
                self._connection.executescript(_SCHEMA)
            _check_format(self._connection, self.path)
            self._resources = resources.pop_all()

    def close(self) -> None:
        """Closes the file and, if this was the writer, lets the next one in."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def record(
        self,
        fingerprint: str,
        study: str,
        config: Mapping[str, Any],
        evidence: Sequence[Evidence],
    ) -> None:
        """Writes a finished study with all its evidence, or, if anything fails, none of it.

        On disk when this returns, even if the power fails then.

        Args:
            fingerprint: of config, models, data and code: what makes a second run needless.
            study: its name, as in each row of evidence.
            config: the study's resolved settings, of JSON types.
            evidence: in the order in which readers get it; a study may have none.

        Raises:
            UserError: the disk is full or fails, or the file is read-only or locked.
            ValueError: the fingerprint is already there, a row belongs to another study, or the
                store was opened to read.
        """
        if not self._may_write:
            raise ValueError(f"{self.path} was opened to read")
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        settings = json.dumps(config, sort_keys=True, allow_nan=False)
        with _explained(self.path), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            if self.finished(fingerprint):
                raise ValueError(f"study {fingerprint} ({study}) is recorded already")
            self._connection.execute(
                "INSERT INTO studies VALUES (?, ?, ?, ?, ?)",
                (fingerprint, study, settings, finished, __version__),
            )
            self._connection.executemany(
                _INSERT, (_to_row(fingerprint, study, item) for item in evidence)
            )

    def finished(self, fingerprint: str) -> bool:
        """Whether this study has been recorded."""
        found = self._rows("SELECT 1 FROM studies WHERE fingerprint = ?", fingerprint)
        return bool(found)

    def all(self) -> list[Evidence]:
        """All evidence, in the order in which it was recorded."""
        return [_from_row(row) for row in self._rows("SELECT * FROM evidence ORDER BY id")]

    def for_study(self, fingerprint: str) -> list[Evidence]:
        """The evidence of one study, in its order; none if it hasn't finished."""
        query = "SELECT * FROM evidence WHERE fingerprint = ? ORDER BY id"
        return [_from_row(row) for row in self._rows(query, fingerprint)]

    def studies(self) -> list[FinishedStudy]:
        """The studies that have finished, the earliest first."""
        return [
            FinishedStudy(
                fingerprint=row["fingerprint"],
                name=row["name"],
                config=json.loads(row["config"]),
                finished=datetime.fromisoformat(row["finished"]),
                version=row["version"],
            )
            for row in self._rows("SELECT * FROM studies ORDER BY rowid")
        ]

    def _rows(self, query: str, *values: str) -> list[sqlite3.Row]:
        with _explained(self.path):
            return self._connection.execute(query, values).fetchall()


def _connect(path: Path, write: bool) -> sqlite3.Connection:
    uri = path.absolute().as_uri()
    if write:
        uri += "?mode=rwc"
    elif os.access(path.parent, os.W_OK) or path.with_name(f"{path.name}-wal").exists():
        # Not mode=ro: that leaves SQLite's -wal and -shm files behind.
        uri += "?mode=rw"
    else:
        # An archived run in a read-only folder, where SQLite can't put those files.
        uri += "?immutable=1"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    connection.row_factory = sqlite3.Row
    if write:
        # One sync a study costs nothing next to the study, and a recorded study is then safe
        # from a power cut as well as from a kill.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    else:
        connection.execute("PRAGMA query_only = ON")
    return connection


def _is_empty(connection: sqlite3.Connection) -> bool:
    return not connection.execute("SELECT 1 FROM sqlite_master").fetchall()


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    if _is_empty(connection):
        raise UserError(f"{path} is empty: has the run begun?")
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise UserError(
            f"{path} is a database of another program: move it away, or name another run"
        )
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{path} was written by a newer toprope (schema {version}, this one knows "
            f"{SCHEMA_VERSION}): upgrade toprope"
        )


@contextmanager
def _sole_writer(path: Path) -> Iterator[None]:
    """Keeps other writers out; a note beside the lock tells them who is in."""
    note = path.with_name(f"{path.name}.writer")
    lock = FileLock(f"{path}.lock", timeout=0)
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    me = f"process {os.getpid()} on {platform.node()} since {since}"
    try:
        lock.acquire()
        note.write_text(me, encoding="utf-8")
    except Timeout:
        who = "another process"
        with suppress(FileNotFoundError):  # it is about to write its note, or to end
            who = note.read_text(encoding="utf-8") or who
        raise UserError(
            f"{path} is being written by {who}: wait until it ends, or name another run"
        ) from None
    except OSError as error:
        lock.release()
        raise UserError(
            f"{path} can't be locked for writing ({error.strerror}): make its folder writable, "
            "with room on the disk"
        ) from error
    try:
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns the errors of SQLite that a user can mend into one line each."""
    try:
        yield
    except sqlite3.Error as error:
        # The low byte of an extended code is its primary code.
        mend = _MENDS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if mend is None:
            raise
        raise UserError(f"{path}: {mend}") from error


def _to_row(fingerprint: str, study: str, evidence: Evidence) -> dict[str, Any]:
    if evidence.study != study:
        raise ValueError(f"evidence of '{evidence.study}' among that of '{study}'")
    return evidence.model_dump(exclude={"controls", "cost"}) | {
        "fingerprint": fingerprint,
        "controls": json.dumps(evidence.controls),
        "cost": evidence.cost.model_dump_json(),
    }


def _from_row(row: sqlite3.Row) -> Evidence:
    fields = {name: row[name] for name in Evidence.model_fields}
    return Evidence.model_validate(
        fields | {name: json.loads(row[name]) for name in ("controls", "cost")}
    )

"""Corpora: the documents that activations are captured on.

    file:PATH?text=COLUMN&group=COLUMN    jsonl, json, csv, tsv, parquet, txt (also .gz); each line
                                          of a .txt is a document
    hf:OWNER/NAME?split=train&text=...    through `datasets`
    NAME, or PATH/TO/NAME.yaml            a description, of `CorpusConfig`'s keys; those of public
                                          texts are in examples/corpora

Options of `file:` and `hf:`: `text`, `group`, `run`, `name`; of `file:` also `format` and
`encoding`; of `hf:` also `split`, `config` and `revision`.

A document is known by the hash of its text. The hash orders the documents, so that any beginning of
a corpus is a sample of all of it. A hash also decides which are held out: a document's own, or that
of its group, where documents aren't independent of each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path

from pydantic import Field, model_validator

from toprope.data.config import Description
from toprope.data.drafts import Input, kept
from toprope.data.examples import Provenance
from toprope.data.groups import same_text
from toprope.data.inputs import at_address, read_named
from toprope.data.templates import fill
from toprope.errors import UserError

OPTIONS = ("text", "group", "run", "name")


class CorpusConfig(Description):
    """What a corpus YAML may hold."""

    text: str = "text"
    """A document: a template over the columns, or the name of one."""
    group: str | None = None
    """Column or template: documents with equal values are held out together, or not at all, such as
    the chapters of a book. By default each is its own."""
    run: int = Field(default=1, ge=1)
    """For files of passages that follow each other, as those of a book do, and have no column to
    group them by: so many consecutive rows of a file are one group, held out together or not at
    all. Of each file's runs the same share is held out. Only the passages at a run's ends then have
    their neighbour on the other side; but the longer the runs, the fewer groups there are to draw
    intervals by."""

    @model_validator(mode="after")
    def _one_grouping(self) -> "CorpusConfig":
        if self.group is not None and self.run > 1:
            raise ValueError("give `group` or `run`, not both")
        return self


@dataclass(frozen=True, slots=True)
class Document:
    """One text.

    Attributes:
        id: of its text, whatever its letter case and white space: 16 hex digits.
        where: file and line that it came from.
        draw: from 0 to 1, by its group's hash; it's held out where that share of documents is.
        group: of the documents on its side because of it: 16 hex digits, its id if it's alone.
    """

    id: str
    text: str
    where: str
    draw: float
    group: str

    def held_out(self, share: float) -> bool:
        return self.draw < share


@dataclass(frozen=True)
class Corpus:
    """Documents in the order of their ids; `provenance` isn't part of the fingerprint."""

    name: str
    documents: tuple[Document, ...]
    provenance: Provenance = field(default_factory=Provenance)

    def __len__(self) -> int:
        return len(self.documents)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the documents' texts, their groups, and what decides who is held out."""
        whole = sha256()
        for one in self.documents:
            whole.update(sha256(one.text.encode()).digest())
            whole.update(f"{one.draw.hex()} {one.group}".encode())
        return whole.hexdigest()


def load_corpus(name: str, *, data_dir: Path | None = None) -> Corpus:
    """The corpus of a name (this module's docstring lists the kinds of name).

    Args:
        data_dir: the folder that descriptions' file paths are relative to; by default the
            environment variable TOPROPE_DATA.

    Raises:
        UserError: an unknown name or option; a missing file or column; no text at all.
    """
    config, inputs = read_named(
        name,
        CorpusConfig,
        partial(at_address, CorpusConfig, OPTIONS),
        data_dir=data_dir,
        kind="corpus",
        examples="corpora",
    )
    return _assembled(config, inputs)


def _assembled(config: CorpusConfig, inputs: Sequence[Input]) -> Corpus:
    assert config.name is not None
    found: dict[str, Document] = {}
    dropped: dict[str, int] = {}
    rows_read = made = 0
    for given in inputs:
        runs = _runs(given, config) if config.run > 1 else {}
        for number, row in enumerate(given.rows):
            rows_read += 1
            chosen, reason = kept(row, config)
            text = fill(config.text, chosen) if chosen else ""
            if not text.strip():
                reason = reason or "empty text"
                dropped[reason] = dropped.get(reason, 0) + 1
                continue
            made += 1
            key = _hash(same_text(text))
            named = fill(config.group, chosen).strip() if chosen and config.group else ""
            group, draw = runs.get(number // config.run) or (
                _hash(named)[:16] if named else key[:16],
                _draw(named or key),
            )
            found.setdefault(key, Document(key[:16], text, row.where, draw, group))
    if not found:
        raise UserError(f"corpus '{config.name}': none of {rows_read} rows has a text: {dropped}")
    about = Provenance(
        config.source,
        config.licence,
        {given.name: given.sha256 for given in inputs},
        rows_read=rows_read,
        rows_dropped=dropped,
        examples_made=made,
        examples_dropped={"repeated text": made - len(found)} if made > len(found) else {},
    )
    return Corpus(config.name, tuple(found[key] for key in sorted(found)), about)


def _runs(given: Input, config: CorpusConfig) -> dict[int, tuple[str, float]]:
    """Group and draw of each run of a file: its first text's, wherever the file is kept.

    The draws are spread evenly from 0 to 1: of a few runs, chance could hold out none.
    """
    firsts: dict[int, str] = {}
    for number, row in enumerate(given.rows):
        chosen, _ = kept(row, config)
        text = fill(config.text, chosen) if chosen else ""
        if text.strip():
            firsts.setdefault(number // config.run, _hash(same_text(text)))
    order = sorted(firsts, key=lambda run: _draw(firsts[run]))
    return {run: (firsts[run][:16], (place + 0.5) / len(order)) for place, run in enumerate(order)}


def _draw(key: str) -> float:
    return int(_hash(key)[:13], 16) / 16**13


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()

"""Behaviours: what a model should decline, and harmless requests that look alike.

    behaviours, look_alikes                       the built-in pairs: see builtin/behaviours.yaml
    file:PATH?behaviour=COLUMN&category=COLUMN    jsonl, json, csv, tsv, parquet, txt (also .gz)
    hf:OWNER/NAME?split=test&behaviour=...        through `datasets`
    garak:PATH                                    the prompts of a garak report, each once
    NAME, or PATH/TO/NAME.yaml                    a description, of `BehavioursConfig`'s keys; those
                                                  of public sets are in examples/behaviours

Options of `file:` and `hf:`: `behaviour`, `category`, `id`, `target`, `context`, `pair`, `name`,
`harmful` (true or false); of `file:` also `format` and `encoding`; of `hf:` also `split`, `config`
and `revision`.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import yaml

from toprope.data.config import Description
from toprope.data.drafts import Input, kept
from toprope.data.examples import Provenance
from toprope.data.garak import prompts
from toprope.data.groups import same_text
from toprope.data.inputs import at_address, read_named
from toprope.data.rows import Row
from toprope.data.seeding import named_rng
from toprope.data.templates import fill
from toprope.errors import UserError

FEWEST = 2
"""Behaviours of a part, below which no interval can be had."""

BUILT_IN = ("behaviours", "look_alikes")
OPTIONS = ("behaviour", "category", "id", "target", "context", "pair", "name", "harmful")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One thing that a model is asked.

    Attributes:
        id: unique in its set.
        text: the request in a sentence: what an attack wants the model to do.
        category: the set's own.
        harmful: False for a request that a good model answers.
        pair: what ties a harmful request to its look-alike; its own id where there is none.
        target: how an answer that complies would begin, where the set says it.
        context: a text that the request is about, where it needs one.
    """

    id: str
    text: str
    category: str = ""
    harmful: bool = True
    pair: str = ""
    target: str = ""
    context: str = ""

    @property
    def request(self) -> str:
        """What is asked, plainly: after its context, as HarmBench puts it."""
        return f"{self.context}\n\n---\n\n{self.text}" if self.context else self.text


@dataclass(frozen=True)
class Behaviours:
    """A set of them; `provenance` isn't part of the fingerprint."""

    name: str
    behaviours: tuple[Behaviour, ...]
    provenance: Provenance = field(default_factory=Provenance)

    def __len__(self) -> int:
        return len(self.behaviours)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the name and every field of the behaviours, in order."""
        rows = [self.name, *(asdict(one) for one in self.behaviours)]
        return sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()

    def limited(self, limit: int | None, *, seed: int) -> "Behaviours":
        """At most so many, drawn by the seed, the categories in proportion, in the set's order."""
        if limit is None or limit >= len(self):
            return self
        ranked = self._by_turns(seed, "limit")
        chosen = {one.id for one in ranked[:limit]}
        return replace(self, behaviours=tuple(b for b in self.behaviours if b.id in chosen))

    def split(self, search: float, *, seed: int) -> tuple["Behaviours", "Behaviours"]:
        """Those to search on, as a share, and those held out: pairs whole, the categories in
        proportion.

        Raises:
            UserError: a part would have fewer than `FEWEST`.
        """
        ranked = self._by_turns(seed, "split")
        searched = {one.pair for one in ranked[: round(search * len(ranked))]}
        parts = [
            replace(self, behaviours=tuple(b for b in self.behaviours if (b.pair in searched) is s))
            for s in (True, False)
        ]
        if any(len(part) < FEWEST for part in parts):
            raise UserError(
                f"behaviours '{self.name}': {len(self)} of them can't be split at {search}: each "
                f"part needs {FEWEST} or more"
            )
        return parts[0], parts[1]

    def _by_turns(self, seed: int, purpose: str) -> list[Behaviour]:
        """In random order, such that any beginning has the categories in proportion."""
        rng = named_rng(seed, self.name, purpose)
        places: dict[str, list[float]] = {}
        for category in dict.fromkeys(one.category for one in self.behaviours):
            n = sum(one.category == category for one in self.behaviours)
            places[category] = list((rng.permutation(n) + rng.random()) / n)
        rank = {one.id: places[one.category].pop() for one in self.behaviours}
        return sorted(self.behaviours, key=lambda one: rank[one.id])


class BehavioursConfig(Description):
    """What a behaviours YAML may hold; a file's `label` is the category of its rows."""

    behaviour: str = "behaviour"
    """The request: a template over the columns, or the name of one."""
    category: str | None = None
    id: str | None = None
    target: str | None = None
    context: str | None = None
    pair: str | None = None
    harmful: bool = True
    repeats: bool = False
    """Whether a request that is there twice is kept once, and counted, instead of refused."""


def load_behaviours(
    name: str, *, data_dir: Path | None = None, limit: int | None = None, seed: int = 0
) -> Behaviours:
    """The behaviours of a name (this module's docstring lists the kinds of name).

    Raises:
        UserError: an unknown name or option; a missing file or column; an empty or repeated
            request, named by file and line.
    """
    if name in BUILT_IN:
        return _built_in(name).limited(limit, seed=seed)
    if name.startswith("garak:"):
        return _from_garak(Path(name.removeprefix("garak:"))).limited(limit, seed=seed)
    config, inputs = read_named(
        name,
        BehavioursConfig,
        partial(at_address, BehavioursConfig, OPTIONS),
        data_dir=data_dir,
        kind="behaviours",
        examples="behaviours",
        built_in=BUILT_IN,
    )
    return _assembled(config, inputs).limited(limit, seed=seed)


def _built_in(name: str) -> Behaviours:
    source = files("toprope.data.builtin").joinpath("behaviours.yaml")
    found = []
    for category, pairs in yaml.safe_load(source.read_text(encoding="utf-8")).items():
        for number, pair in enumerate(pairs, 1):
            key = f"{category}/{number:02d}"
            found += [
                Behaviour(f"{key}/harmful", pair["harmful"], category, True, key),
                Behaviour(f"{key}/harmless", pair["harmless"], category, False, key),
            ]
    harmful = name == "behaviours"
    chosen = tuple(one for one in found if one.harmful is harmful)
    about = Provenance("toprope", "Apache-2.0", rows_read=len(chosen), examples_made=len(chosen))
    return Behaviours(name, chosen, about)


def _from_garak(path: Path) -> Behaviours:
    found = [
        Behaviour(f"{path.name}/{number:04d}", text, "garak", True, f"{path.name}/{number:04d}")
        for number, text in enumerate(prompts(path), 1)
    ]
    about = Provenance(str(path), rows_read=len(found), examples_made=len(found))
    return Behaviours(path.name, tuple(found), about)


def _assembled(config: BehavioursConfig, inputs: Sequence[Input]) -> Behaviours:
    assert config.name is not None
    found: dict[str, Behaviour] = {}
    places: dict[str, str] = {}
    ids: dict[str, str] = {}
    dropped: dict[str, int] = {}
    number = 0
    for given in inputs:
        for row in given.rows:
            number += 1
            chosen, reason = kept(row, config)
            if chosen is None:
                dropped[reason] = dropped.get(reason, 0) + 1
                continue
            one = _behaviour(chosen, config, given, number)
            key = same_text(one.request)
            if key in found:
                if not config.repeats:
                    raise UserError(
                        f"{row.where}: the same behaviour as {places[key]}: take one out, or set "
                        "`repeats: true` in a description to keep the first"
                    )
                dropped["repeated text"] = dropped.get("repeated text", 0) + 1
                continue
            if one.id in ids:
                raise UserError(f"{row.where}: the id '{one.id}' is that of {ids[one.id]} too")
            found[key], places[key], ids[one.id] = one, row.where, row.where
    if not found:
        raise UserError(f"behaviours '{config.name}': none of {number} rows is left: {dropped}")
    about = Provenance(
        config.source,
        config.licence,
        {given.name: given.sha256 for given in inputs},
        rows_read=number,
        rows_dropped=dropped,
        examples_made=len(found),
    )
    return Behaviours(config.name, tuple(found.values()), about)


def _behaviour(row: Row, config: BehavioursConfig, given: Input, number: int) -> Behaviour:
    text = fill(config.behaviour, row).strip()
    if not text:
        raise UserError(f"{row.where}: the behaviour is empty")
    own_id = fill(config.id, row).strip() if config.id else f"{config.name}/{number:04d}"
    return Behaviour(
        id=own_id,
        text=text,
        category=fill(config.category, row) if config.category else given.label or "",
        harmful=config.harmful,
        pair=(fill(config.pair, row) if config.pair else "") or own_id,
        target=fill(config.target, row) if config.target else "",
        context=fill(config.context, row) if config.context else "",
    )

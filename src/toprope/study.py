"""Study: one technique with its settings, as a user writes it in YAML or on the command line.

A technique subclasses Study in its own folder and is entered in `STUDIES`. The fields are the keys
in YAML and the options on the command line; `run(lab)` yields evidence. Everything a study may use
comes from the Lab.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.resources
import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from toprope import __version__
from toprope.errors import UserError, unknown
from toprope.evidence import Evidence

if TYPE_CHECKING:
    from toprope.lab import Lab

STUDIES = {
    "debate": "toprope.techniques.debate.study:Debate",
    "interpretability": "toprope.techniques.interpretability.study:Interpretability",
    "redteam": "toprope.techniques.redteam.study:RedTeam",
    "safeguards": "toprope.techniques.safeguards.study:Safeguards",
    "self_play": "toprope.techniques.debate.self_play.study:SelfPlay",
    "sparse_mnist": "toprope.techniques.debate.mnist.study:SparseMnist",
    "weak_to_strong": "toprope.techniques.weak_to_strong.study:WeakToStrong",
}
"""Name in YAML -> where its class is, so that a technique is imported only when it is used."""


NOBODY = "none"
"""An overseer that there isn't."""


class Study(BaseModel):
    """Base of every technique's settings: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    """The study's name in YAML and in its evidence."""

    overseer: str = Field(description="the weaker or more trusted model")
    target: str = Field(description="the stronger model, which is overseen")

    @abstractmethod
    def run(self, lab: Lab) -> Iterator[Evidence]:
        """Does the study. Evidence counts once the study has finished: a study that was killed is
        done again."""

    @abstractmethod
    def models(self) -> list[str]:
        """The names of the models it uses."""

    @abstractmethod
    def datasets(self, lab: Lab) -> list[str]:
        """Fingerprints of the data it uses."""

    @property
    def title(self) -> str:
        """One line for progress and lists."""
        return f"{self.name}: {self.overseer} -> {self.target}"

    @property
    def config_hash(self) -> str:
        """SHA-256 (hex) of the settings."""
        return _digest(self.model_dump(mode="json"))

    def fingerprint(self, lab: Lab) -> str:
        """SHA-256 (hex) of all that decides the result: settings, seed, models and their precision,
        data, code.

        A study whose fingerprint is in the evidence store has been done and isn't run again.
        """
        return _digest(
            [
                self.name,
                self.model_dump(mode="json"),
                lab.seed,
                [lab.model_fingerprint(model) for model in self.models()],
                lab.precision,
                self.datasets(lab),
                code_version(type(self).__module__.rpartition(".")[0]),
            ]
        )


def study_class(name: str, *, where: str = "") -> type[Study]:
    """The class of a study by its name.

    Raises:
        UserError: no study has this name.
    """
    if name not in STUDIES:
        raise unknown("study", name, STUDIES, where=where)
    module, _, attribute = STUDIES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def make_study(name: str, settings: dict[str, Any], *, where: str = "") -> Study:
    """A study from what a user wrote.

    Raises:
        UserError: an unknown study or key (with the nearest good one), or a value that doesn't fit.
    """
    cls = study_class(name, where=where)
    try:
        return cls(**settings)
    except ValidationError as error:
        raise explained(error, cls, where=where or name) from None


def explained(error: ValidationError, cls: type[BaseModel], *, where: str) -> UserError:
    """A validation error as one line for the user: the first thing that is wrong."""
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return unknown("key", str(first["loc"][-1]), cls.model_fields, where=where)
    if first["type"] == "missing":
        return UserError(f"{where}: '{path}' is missing ({_about(cls, path)})")
    message = first["msg"].removeprefix("Value error, ")
    shown = f" (got {first['input']!r})" if path and first["type"] != "value_error" else ""
    return UserError(f"{where}: {f'{path}: ' if path else ''}{message}{shown}")


def code_version(package: str, parts: Sequence[str] = ()) -> str:
    """The release, and a hash of a package's sources, so that an edit makes its studies run
    again.

    Args:
        parts: files and folders of the package, in this order, without what is in folders below;
            none: all of it.
    """
    root = Path(str(importlib.resources.files(package)))
    if parts:
        places = [root / part for part in parts]
        found = [
            file
            for place in places
            for file in ([place] if place.is_file() else sorted(place.iterdir()))
        ]
    else:
        found = sorted(root.rglob("*"))
    digest = hashlib.sha256()
    for file in found:
        if file.is_file() and file.suffix != ".pyc":
            digest.update(file.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:16]}"


def _about(cls: type[BaseModel], field: str) -> str:
    info = cls.model_fields.get(field)
    return (info.description if info else None) or "required"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

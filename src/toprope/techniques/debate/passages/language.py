"""The words of the documents: language/common.yaml, and a file a domain."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from toprope.data.yaml_file import load_yaml

FOLDER = Path(__file__).parent / "language"
DOMAINS = ("towns", "expeditions", "firms", "committees")

Templates = tuple[str, ...]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Attribute(_Frozen):
    """A number that every entity of the domain has."""

    low: int
    high: int
    clauses: Templates = Field(min_length=3)
    subject: str
    question: str
    together: str


class Role(_Frozen):
    """A post that one person at a time holds, by which an entity can be described."""

    clauses: Templates = Field(min_length=3)
    described: str
    succession: Templates = Field(min_length=3)
    question: str
    """Who held it in a year."""


class Plan(_Frozen):
    """Something that is proposed to several entities and done by one."""

    plan: str
    announced: Templates = Field(min_length=2)
    question: str


class Event(_Frozen):
    """Something that happens to every entity in some year."""

    clauses: Templates = Field(min_length=3)
    planned: Templates = Field(min_length=2)
    """The year that it had been planned for."""
    question: str


class Domain(_Frozen):
    title: str
    opening: str
    noun: str
    twins: tuple[str, str]
    """Names that differ in a word alone."""
    names: Templates
    sources: Templates
    attributes: tuple[Attribute, ...]
    roles: tuple[Role, ...]
    plans: tuple[Plan, ...]
    events: tuple[Event, ...]
    fillers: Templates


class Common(_Frozen):
    first_names: Templates
    last_names: Templates
    stems: Mapping[str, Templates]
    plain: Templates
    told: Templates
    upheld: Templates
    withdrawn: Templates
    contrasted: Templates
    accepted: Templates
    cancelled: Templates
    in_force: Templates
    only: Templates
    dropped: Templates
    sums: Templates
    ordinals: Templates
    months: Templates
    words: Mapping[str, Templates]
    fillers: Templates


@cache
def common() -> Common:
    return load_yaml(FOLDER / "common.yaml", Common)


@cache
def domain(name: str) -> Domain:
    """The words of one of `DOMAINS`."""
    return load_yaml(FOLDER / f"{name}.yaml", Domain)

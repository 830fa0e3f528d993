"""The constitution: in plain words, what a guard is to stop and what it is to let through.

A YAML file of categories, harmful and harmless, each with a sentence on what it holds, where it
ends, and a few examples (Sharma et al. 2025, arXiv 2501.18837, section 3). A harmless category may
be `near` a harmful one: it holds what looks like it. One constitution comes along.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from toprope.data.yaml_file import load_yaml

BUILT_IN = Path(str(files("toprope.techniques.safeguards").joinpath("constitution.yaml")))


class Category(BaseModel):
    """A kind of request, and of the answer to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str = Field(min_length=1, description="what it holds, in a sentence")
    boundary: str = Field(default="", description="what is just outside of it")
    examples: tuple[str, ...] = Field(min_length=1, description="requests of this kind")
    near: str | None = Field(
        default=None, description="of a harmless category: the harmful one that it looks like"
    )


class Constitution(BaseModel):
    """What a constitution's YAML file may hold: categories by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    harmful: dict[str, Category] = Field(min_length=1)
    harmless: dict[str, Category] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Constitution:
        if both := sorted(set(self.harmful) & set(self.harmless)):
            raise ValueError(f"'{both[0]}' is both a harmful and a harmless category")
        for name, category in self.harmful.items():
            if category.near:
                raise ValueError(f"'{name}' is harmful: only a harmless category has a `near`")
        for name, category in self.harmless.items():
            if category.near is not None and category.near not in self.harmful:
                raise ValueError(
                    f"'{name}' is near '{category.near}', and there is no such harmful category: "
                    f"known: {', '.join(self.harmful)}"
                )
        seen: dict[str, str] = {}
        for name, _, example in self.examples():
            key = " ".join(example.lower().split())
            if key in seen:
                raise ValueError(f"'{example}' is an example of '{seen[key]}' and of '{name}'")
            seen[key] = name
        return self

    def examples(self) -> Iterator[tuple[str, bool, str]]:
        """All examples, each with its category and whether that is harmful."""
        for harmful, categories in ((True, self.harmful), (False, self.harmless)):
            for name, category in categories.items():
                for example in category.examples:
                    yield name, harmful, example


def load_constitution(path: Path | None = None) -> Constitution:
    """A constitution; the one that comes along if no path is given.

    Raises:
        UserError: no such file, no harmless side, an unknown key, a category that is near none.
    """
    return load_yaml(path or BUILT_IN, Constitution)

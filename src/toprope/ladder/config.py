"""A ladder as a user writes it in YAML: rungs, each an overseer and a target, with their studies.

    name: quickstart              # the run's folder is runs/quickstart
    seed: 0                       # what all randomness comes from
    rungs:
      - overseer: smollm2-135m
        target: qwen2.5-coder-0.5b
        studies:
          - weak_to_strong: {data: cities, methods: [naive, confidence], seeds: 10}

A study's settings are the fields of its class; the overseer and the target come from the rung.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from toprope.data.yaml_file import load_yaml
from toprope.errors import UserError
from toprope.study import STUDIES, Study, explained, make_study

FROM_RUNG = ("overseer", "target")


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
        raise ValueError(
            f"'{name}' can't be a folder's name: use letters, digits, '-', '_' and '.', at most 100"
        )
    return name


def _one_study(item: Any) -> Any:
    """`- name` and `- name:` for `- name: {}`."""
    if isinstance(item, str):
        return {item: {}}
    if not isinstance(item, Mapping) or not item:
        raise ValueError("a study is written `- name: {setting: value, ...}`")
    if len(item) > 1:
        raise ValueError(
            f"one study an item, found the keys {', '.join(map(str, item))}: "
            "a study's settings are indented below its name"
        )
    [(name, settings)] = item.items()
    settings = {} if settings is None else settings
    if not isinstance(settings, Mapping):
        raise ValueError(f"'{name}' needs `setting: value` pairs, found {settings!r}")
    return {str(name): {str(key): value for key, value in settings.items()}}


class Rung(BaseModel):
    """An overseer, a target, and what is to be studied about them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    overseer: str = Field(description="the weaker or more trusted model")
    target: str = Field(description="the stronger model, which is overseen")
    studies: tuple[Annotated[dict[str, dict[str, Any]], BeforeValidator(_one_study)], ...] = Field(
        min_length=1, description="one {name: settings} each"
    )


class LadderConfig(BaseModel):
    """A run: its name, its seed and its rungs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(_folder_name)] = Field(
        description="the run's name, and that of its folder"
    )
    seed: int = Field(default=0, ge=0, description="what all of the run's randomness comes from")
    rungs: tuple[Rung, ...] = Field(min_length=1, description="from the ground up")

    def studies(self, *, source: str = "") -> list[Study]:
        """The studies of all rungs, in order, their settings checked.

        Args:
            source: the file that holds the ladder, for messages.

        Raises:
            UserError: an unknown study or key, or a value that doesn't fit; with its place.
        """
        return [study for rung in self._studies_by_rung(source) for study in rung]

    def resolved(self) -> dict[str, Any]:
        """The same ladder with every default of its studies written out, as it is kept in YAML.

        Raises:
            UserError: as `studies`.
        """
        rungs = [
            {
                "overseer": rung.overseer,
                "target": rung.target,
                "studies": [
                    {study.name: study.model_dump(mode="json", exclude=set(FROM_RUNG))}
                    for study in studies
                ],
            }
            for rung, studies in zip(self.rungs, self._studies_by_rung(""), strict=True)
        ]
        return {"name": self.name, "seed": self.seed, "rungs": rungs}

    def _studies_by_rung(self, source: str) -> list[list[Study]]:
        prefix = f"{source}, " if source else ""
        return [
            [
                _study(rung, item, f"{prefix}rung {rung_number}, study {study_number}")
                for study_number, item in enumerate(rung.studies, 1)
            ]
            for rung_number, rung in enumerate(self.rungs, 1)
        ]


def load_ladder(path: Path) -> LadderConfig:
    """The ladder that a YAML file holds, all of it checked.

    Raises:
        UserError: no such file; not YAML; an unknown or repeated key; a value that doesn't fit.
    """
    config = load_yaml(path, LadderConfig)
    config.studies(source=str(path))
    return config


def make_ladder(fields: Mapping[str, Any], *, source: str) -> LadderConfig:
    """The ladder of these fields, all of it checked.

    Args:
        source: what the user wrote them in, for messages.

    Raises:
        UserError: as `load_ladder`.
    """
    try:
        config = LadderConfig.model_validate(fields)
    except ValidationError as error:
        raise explained(error, LadderConfig, where=source) from None
    config.studies(source=source)
    return config


def _study(rung: Rung, item: Mapping[str, dict[str, Any]], place: str) -> Study:
    [(name, settings)] = item.items()
    where = f"{place} '{name}'" if name in STUDIES else place
    for key in FROM_RUNG:
        if key in settings:
            raise UserError(f"{where}: '{key}' belongs to the rung: write it above 'studies'")
    models = {"overseer": rung.overseer, "target": rung.target}
    return make_study(name, settings | models, where=where)

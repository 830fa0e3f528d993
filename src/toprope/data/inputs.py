"""Where data comes from: addresses, the YAML descriptions and their folders, and their files' rows.

What the rows are made into is up to whoever asks: examples (`sources`) or behaviours
(`behaviours`).
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

from pydantic import BaseModel, ValidationError

from toprope.data.config import Description, FileSpec
from toprope.data.drafts import Input
from toprope.data.files import read_file
from toprope.data.hub import read_hub
from toprope.data.yaml_file import load_yaml
from toprope.errors import UserError, unknown

DATA_DIR_VARIABLE = "TOPROPE_DATA"
HUB_OPTIONS = ("split", "config", "revision")
FILE_OPTIONS = ("format", "encoding")

Config = TypeVar("Config", bound=BaseModel)
Described = TypeVar("Described", bound=Description)


@dataclass(frozen=True)
class Address:
    """`file:PATH?key=value&...` or `hf:OWNER/NAME?key=value&...`, taken apart.

    Attributes:
        text: as the user wrote it.
        path: of a `FileSpec`.
        fields: options that are fields of the description.
        encoding: of a file.
    """

    text: str
    path: str
    fields: Mapping[str, str]
    encoding: str

    @classmethod
    def parse(cls, text: str, options: Iterable[str]) -> "Address":
        """
        Args:
            options: what may be given of either kind, beside `HUB_OPTIONS` or `FILE_OPTIONS`.

        Raises:
            UserError: an unknown option, or one that is there twice.
        """
        place, _, query = text.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True)
        given = dict(pairs)
        if len(given) < len(pairs):
            raise UserError(f"{text}: an option is there twice")
        on_hub = place.startswith("hf:")
        known = (*options, *(HUB_OPTIONS if on_hub else FILE_OPTIONS))
        for option in given:
            if option not in known:
                raise unknown("option", option, known, where=text)
        if on_hub:
            hub = {key: given.pop(key) for key in HUB_OPTIONS if key in given}
            path = f"{place}?{urlencode(hub)}" if hub else place
        else:
            path = place.removeprefix("file:")
        encoding = given.pop("encoding", "utf-8")
        return cls(text, path, {"name": _stem(path)} | given, encoding)


def described(config: type[Config], fields: Mapping[str, Any], address: Address) -> Config:
    """The description that an address amounts to.

    Raises:
        UserError: a value that doesn't fit.
    """
    file = {"path": address.path, "encoding": address.encoding}
    try:
        return config.model_validate({"source": address.path, "files": [file], **fields})
    except ValidationError as error:
        mistake = error.errors()[0]
        key = ".".join(str(part) for part in mistake["loc"])
        said = mistake["msg"].removeprefix("Value error, ")
        raise UserError(f"{address.text}: {key + ': ' if key else ''}{said}") from None


def _stem(path: str) -> str:
    """What to call data by its file or hub name: the last part, without its endings."""
    return PurePosixPath(path.partition("?")[0]).name.split(".")[0]


def find_description(
    name: str,
    data_dir: Path | None = None,
    *,
    kind: str = "dataset",
    examples: str = "data",
    built_in: Iterable[str] = (),
) -> Path:
    """The YAML file of a name: a path, or a bare name looked for in `description_folders`.

    Args:
        kind: what is looked for, as an error calls it.
        examples: the folder of the examples that has them.
        built_in: names that aren't files, for the error's hints.

    Raises:
        UserError: there is none; with the nearest name that exists.
    """
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise UserError(f"no {kind} description '{name}' (looked in {Path.cwd()})")
        return Path(name)
    folders = description_folders(data_dir, examples)
    for folder in folders:
        path = folder / f"{name}.yaml"
        if path.is_file():
            return path
    if Path(name).is_file():
        raise UserError(f"'{name}' is a file, not a {kind}'s name: write file:{name}")
    found = {path.stem for folder in folders for path in folder.glob("*.yaml")}
    raise unknown(kind, name, {*built_in, *found})


def description_folders(data_dir: Path | None = None, examples: str = "data") -> list[Path]:
    """Where a bare name is looked for: here, examples/data here (or what `examples` says in its
    place), and the data folder if any."""
    folders = [Path(), Path("examples") / examples]
    set_folder = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    return [*folders, Path(set_folder)] if set_folder else folders


def at_address(form: type[Config], options: Sequence[str], address: str) -> Config:
    """The description that a `file:` or `hf:` address amounts to, whose options are keys of it.

    Raises:
        UserError: as `Address.parse` and `described`.
    """
    parsed = Address.parse(address, options)
    return described(form, parsed.fields, parsed)


def read_named(
    name: str,
    form: type[Described],
    addressed: Callable[[str], Described],
    *,
    data_dir: Path | None,
    kind: str = "dataset",
    examples: str = "data",
    built_in: Iterable[str] = (),
) -> tuple[Described, list[Input]]:
    """What a name describes, and its rows: `file:` and `hf:` say it themselves, any other name is
    of a YAML file.

    Args:
        form: the description, whose name is set in what is returned.
        addressed: from an address, such as `at_address` with a form and its options.
        data_dir: what a description's paths are relative to.
        kind, examples, built_in: see `find_description`.

    Raises:
        UserError: as `addressed`, `find_description` and `read_inputs`.
    """
    if name.startswith(("file:", "hf:")):
        config = addressed(name)
        return config, read_inputs(config, Path.cwd(), data_dir=Path.cwd())
    path = find_description(name, data_dir, kind=kind, examples=examples, built_in=built_in)
    config = load_yaml(path, form)
    config = config.model_copy(update={"name": config.name or path.stem})
    return config, read_inputs(config, path.parent, data_dir)


def read_inputs(config: Description, beside: Path, data_dir: Path | None) -> list[Input]:
    """The rows of every file of a description.

    Args:
        beside: the description's own folder.

    Raises:
        UserError: a file or column that isn't there, or no data folder for it.
    """
    inputs = []
    for spec in config.files:
        if spec.path.startswith("hf:"):
            inputs.append(_read_from_hub(spec))
            continue
        root = _root(spec.path, beside, data_dir)
        read = read_file(
            spec.path,
            root=root,
            file_format=config.format,
            encoding=spec.encoding,
            comment=spec.comment,
        )
        inputs.append(Input(spec.path, read.sha256, read.rows, spec.label))
    return inputs


def _root(path: str, beside: Path, data_dir: Path | None) -> Path:
    """What a file's path is relative to: its description if it begins with a dot, or the data."""
    if path.startswith(("./", "../")) or Path(path).is_absolute():
        return beside
    folder = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if not folder:
        raise UserError(
            f"no data folder for '{path}': give --data-dir FOLDER or set {DATA_DIR_VARIABLE}"
        )
    if not Path(folder).is_dir():
        raise UserError(
            f"the data folder {folder} (--data-dir, or {DATA_DIR_VARIABLE}) isn't there"
        )
    return Path(folder)


def _read_from_hub(spec: FileSpec) -> Input:
    place, _, query = spec.path.partition("?")
    options = dict(parse_qsl(query))
    for option in options:
        if option not in HUB_OPTIONS:
            raise unknown("option", option, HUB_OPTIONS, where=spec.path)
    read = read_hub(place.removeprefix("hf:"), **options)
    return Input(spec.path, read.fingerprint, read.rows, spec.label, read.class_names)

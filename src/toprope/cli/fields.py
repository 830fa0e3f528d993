"""From the fields of a study to options of its command.

A field `seeds: int` becomes `--seeds INTEGER`; a list takes `a,b` or the option given twice; a
Literal shows its words; what has no simple form is given as YAML. `json_schema_extra={"flags":
["--weak"]}` on a field adds names to its option.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from click.core import ParameterSource
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from toprope.cli.options import OneOf

_SIMPLE = {str: click.STRING, int: click.INT, float: click.FLOAT, Path: click.STRING}
_LISTS = (list, tuple, set, frozenset, Sequence)


class Listed(click.ParamType):
    """Values of one type, separated by commas: `a,b` -> ["a", "b"]; an empty text is no values."""

    name = "list"

    def __init__(self, item: click.ParamType) -> None:
        self.item = item

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        if isinstance(self.item, click.Choice):
            return "|".join(map(str, self.item.choices)) + ",..."
        return "A,B,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[Any]:
        items = [item.strip() for item in value.split(",")]
        return [self.item.convert(item, param, ctx) for item in items if item]


class OrNone(click.ParamType):
    """A value of a type, or the word `none`, for a field that may be None and isn't by default."""

    def __init__(self, value: click.ParamType) -> None:
        self.value = value
        self.name = f"{value.name}|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return None if value == "none" else self.value.convert(value, param, ctx)


class Yaml(click.ParamType):
    """A value that only YAML can write, such as a mapping."""

    name = "yaml"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        import yaml

        try:
            return yaml.safe_load(value)
        except yaml.YAMLError as error:
            self.fail(f"not YAML: {error}", param, ctx)


def options(
    model: type[BaseModel], more_flags: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> list[click.Option]:
    """An option for each field of a model, in their order.

    Args:
        more_flags: field -> further names of its option, beside those that the field itself asks
            for.
    """
    return [
        _option(name, field, more_flags.get(name, ())) for name, field in model.model_fields.items()
    ]


def given(model: type[BaseModel], ctx: click.Context) -> dict[str, Any]:
    """The fields that were given on the command line; the model has the others' defaults."""
    return {
        name: ctx.params[name]
        for name in model.model_fields
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }


def _option(name: str, field: FieldInfo, more_flags: Sequence[str]) -> click.Option:
    kind = _param_type(field.annotation)
    default = field.get_default(call_default_factory=True)
    if type(None) in get_args(field.annotation) and default is not None:
        kind = OrNone(kind)
    flags = [*_own_flags(field), *more_flags, f"--{name.replace('_', '-')}"]
    if kind is click.BOOL:
        flags[-1] += f"/--no-{name.replace('_', '-')}"
    is_list = isinstance(kind, Listed)
    return click.Option(
        [*flags, name],
        type=kind,
        multiple=is_list,
        callback=_flat if is_list else None,
        required=field.is_required(),
        metavar=_metavar(name, field, kind),
        help=_help(field, default),
    )


def _flat(ctx: click.Context, param: click.Parameter, values: Sequence[list[Any]]) -> list[Any]:
    """One list for an option that may be given several times."""
    return [item for part in values for item in part]


def _param_type(annotation: Any) -> click.ParamType:
    annotation = _bare(annotation)
    arguments = get_args(annotation)
    if get_origin(annotation) is Literal and all(isinstance(word, str) for word in arguments):
        return OneOf(arguments)
    if get_origin(annotation) in _LISTS and arguments:
        item = _param_type(arguments[0])
        return Yaml() if isinstance(item, Listed | Yaml) else Listed(item)
    return click.BOOL if annotation is bool else _SIMPLE.get(annotation, Yaml())


def _bare(annotation: Any) -> Any:
    """`int` for `Annotated[int, ...]` and for `int | None`."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return _bare(kinds[0]) if len(kinds) == 1 else annotation
    return annotation


def _own_flags(field: FieldInfo) -> list[str]:
    extra = field.json_schema_extra
    flags = extra.get("flags", []) if isinstance(extra, dict) else []
    return [str(flag) for flag in flags] if isinstance(flags, list) else []


def _metavar(name: str, field: FieldInfo, kind: click.ParamType) -> str | None:
    """`--data DATA`, where click would say TEXT."""
    return name.upper() if kind is click.STRING else None


def _help(field: FieldInfo, default: Any) -> str:
    text = field.description or ""
    text = text[:1].upper() + text[1:]
    if field.is_required() or default is None or default == ():
        return text
    shown = ", ".join(map(str, default)) if isinstance(default, tuple | list) else str(default)
    return f"{text}  [default: {shown}]"

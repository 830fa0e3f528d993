"""A YAML file -> a frozen pydantic model; a mistake is one line that names file and line.

Plain words stay words: of YAML 1.1's many booleans only `true` and `false` count, so that `[no,
yes]` is two strings.
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from toprope.errors import UserError, unknown

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[int | str, ...]


class _Loader(yaml.SafeLoader):
    """SafeLoader with the booleans of YAML 1.2, to which a key given twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # SafeLoader's own error says so
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key '{key_node.value}' is there twice",
                    problem_mark=key_node.start_mark,
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def load_yaml(path: Path, model: type[Model]) -> Model:
    """The file as an instance of `model`.

    Raises:
        UserError: no such file; not YAML; an unknown key (with the nearest good one); a value that
            doesn't fit.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it isn't UTF-8"
        raise UserError(f"can't read {path}: {reason}") from None
    tree, content = _parse(text, path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected `key: value` lines, found {type(content).__name__}")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise _first_mistake(error, tree, path, model) from None


def _parse(text: str, path: Path) -> tuple[yaml.Node | None, Any]:
    loader = _Loader(text)
    try:
        tree = loader.get_single_node()
        content = None if tree is None else loader.construct_document(tree)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    finally:
        loader.dispose()
    return tree, content


def _first_mistake(
    error: ValidationError, tree: yaml.Node | None, path: Path, model: type[BaseModel]
) -> UserError:
    """The first mistake alone: one line, and the next run shows the next."""
    # An unknown key goes first: it is often why a needed one is missing.
    mistakes = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    mistake = mistakes[0]
    location = mistake["loc"]
    where = f"{path} line {_line(tree, location)}"
    if mistake["type"] == "extra_forbidden":
        fields = _model_at(model, location[:-1]).model_fields
        return unknown("key", str(location[-1]), fields, where=where)
    key = ".".join(str(part) for part in location if not _is_branch(part))
    if mistake["type"] == "missing":
        return UserError(f"{where}: the key '{key}' is missing")
    said = mistake["msg"].removeprefix("Value error, ")
    return UserError(f"{where}: {key + ': ' if key else ''}{said}")


def _is_branch(part: int | str) -> bool:
    """Whether a part of a pydantic location names a branch of a union rather than a key."""
    return isinstance(part, str) and (part in {"str", "int", "float", "bool"} or "[" in part)


def _line(node: yaml.Node | None, location: Location) -> int:
    """The line (from 1) of the key at a location, or of the nearest thing above that exists."""
    line = 1
    for part in location:
        child = _child(node, part)
        if child is None:
            continue
        line, node = child
    return line


def _child(node: yaml.Node | None, part: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    return None


def _model_at(model: type[BaseModel], location: Location) -> type[BaseModel]:
    """The model that a location of nested fields leads to."""
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = _inner_model(model.model_fields[part].annotation) or model
    return model


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside an annotation such as `tuple[File, ...]` or `Choices | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _inner_model(argument)
        if found:
            return found
    return None

"""The documentation says what is so: its commands, settings, ladders and links."""

import ast
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from toprope.cli import main
from toprope.data.config import DatasetConfig
from toprope.ladder.config import make_ladder
from toprope.techniques.debate.arms import KINDS as PROTOCOLS
from toprope.techniques.debate.arms import VARIANTS
from toprope.techniques.debate.mnist.study import SparseMnist
from toprope.techniques.debate.self_play.study import SelfPlay
from toprope.techniques.debate.study import Debate
from toprope.techniques.interpretability.dictionaries.kinds import KINDS
from toprope.techniques.interpretability.labels.naming import SCORERS
from toprope.techniques.interpretability.study import Interpretability
from toprope.techniques.redteam.attacks import FAMILIES
from toprope.techniques.redteam.study import RedTeam
from toprope.techniques.safeguards.constitution import Constitution
from toprope.techniques.weak_to_strong.methods import METHODS
from toprope.techniques.weak_to_strong.study import WeakToStrong

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> Iterator[Any]:
    """The pages' blocks of a language, each a parameter that is named for its place."""
    for page in PAGES:
        for number, (kind, text) in enumerate(BLOCK.findall(page.read_text())):
            if kind == language:
                yield pytest.param(text, id=f"{page.relative_to(ROOT)}-{number}")


def commands() -> Iterator[Any]:
    """Every `$ toprope ...` of the pages, and those in indented blocks, which the results have;
    continued lines as one."""
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        found = re.findall(r"^(?:\$|    )\s*(toprope .*)$", text, re.MULTILINE)
        for line in dict.fromkeys(found):
            yield pytest.param(line, id=f"{page.relative_to(ROOT)}: {line}")


@pytest.mark.parametrize("line", list(commands()))
def test_a_command_exists_with_its_options(line: str):
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = main
    ctx = click.Context(command, info_name="toprope")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        word, found = words[0], command.get_command(ctx, words[0])
        assert found is not None, f"no command {word}"
        command, words = found, words[1:]
        ctx = click.Context(command, info_name=word, parent=ctx)
    if "--help" in words or isinstance(command, click.Group):
        return
    for word in words:
        if word.startswith(("examples/", "benchmarks/")):
            assert (ROOT / word).exists(), f"there is no {word}"
    values, _, _ = command.make_parser(ctx).parse_args(list(words))
    missing = [
        param.name
        for param in command.params
        if param.required and param.name not in values and param.opts
    ]
    assert not missing


@pytest.mark.parametrize("text", list(blocks("yaml")))
def test_yaml_can_be_read(text: str):
    loaded = yaml.safe_load(text)
    if "rungs" in loaded:
        make_ladder(loaded, source="docs")
    elif "harmless" in loaded:
        Constitution.model_validate(loaded)
    else:
        DatasetConfig.model_validate(loaded)


@pytest.mark.parametrize("text", list(blocks("python")))
def test_python_is_python_and_imports_what_exists(text: str):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("toprope"):
            module = __import__(node.module or "", fromlist=["_"])
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_leads_somewhere(page: Path):
    # contributing.md is CONTRIBUTING.md, which is read at the root
    for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


STUDY_PAGES = {
    "weak-to-strong": WeakToStrong,
    "red-teaming": RedTeam,
    "interpretability": Interpretability,
    "debate, of `toprope debate text`": Debate,
    "debate, of `toprope debate self-play`": SelfPlay,
    "debate, of `toprope debate mnist`": SparseMnist,
}
"""The page, and where it has several tables of settings, the rest of a table's title."""


def settings_table(page: str) -> dict[str, tuple[str, str]]:
    name, _, of = page.partition(", ")
    text = (ROOT / "docs/techniques" / f"{name}.md").read_text()
    table = text.split(f"## Settings {of}".strip() + "\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", table, re.MULTILINE)
    return {name: (default, about) for name, default, about in rows}


@pytest.mark.parametrize("page", STUDY_PAGES)
def test_the_settings_table_is_the_studys_own(page: str):
    table, study = settings_table(page), STUDY_PAGES[page]
    assert list(table) == list(study.model_fields)
    for name, field in study.model_fields.items():
        default, about = table[name]
        assert about == field.description, name
        if field.is_required():
            assert default == "required", name
        elif field.default is None or field.default == ():
            assert default == "none", name
        else:
            values = field.default if isinstance(field.default, tuple) else (field.default,)
            assert default == ", ".join(f"`{value}`" for value in values), name


def test_every_protocol_is_described():
    page = (ROOT / "docs/techniques/debate.md").read_text()
    table = page.split("## Protocols")[1].split("\n## ")[0]
    named = re.findall(r"^\| `([\w.]+)`", table, re.MULTILINE)
    assert named == [*PROTOCOLS, *(f"..._{name}_N" for name in VARIANTS)]


def test_every_attack_is_described():
    page = (ROOT / "docs/techniques/red-teaming.md").read_text()
    table = page.split("## Attacks")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(FAMILIES)


@pytest.mark.parametrize(
    ("section", "known"), [("Kinds of dictionaries", KINDS), ("Interpretable", SCORERS)]
)
def test_every_kind_of_dictionary_and_scorer_is_described(section: str, known: Iterable[str]):
    page = (ROOT / "docs/techniques/interpretability.md").read_text()
    table = page.split(f"## {section}\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(known)


def test_every_method_is_described():
    page = (ROOT / "docs/techniques/weak-to-strong.md").read_text()
    assert set(re.findall(r"^### `(\w+)`", page, re.MULTILINE)) == set(METHODS)

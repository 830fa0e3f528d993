"""The house keeps its floors.

A module imports from its own floor or a lower one, and a technique imports no other technique.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "toprope"

# From the top down: the parts of `toprope` that stand on each floor.
LAYERS = (
    ("__init__", "__main__", "_inspect", "cli", "serve"),
    ("ladder", "export", "report"),
    ("techniques",),
    ("lab", "run", "study"),
    ("models", "data", "evidence", "statistics", "resampling", "journal", "once"),
    ("errors", "files", "progress"),
)
FLOOR = {part: -depth for depth, parts in enumerate(LAYERS) for part in parts}

# A defence is measured by attack; an auditor may look inside.
TECHNIQUE_MAY_USE = {("safeguards", "redteam"), ("auditing", "interpretability")}


def violations(package: Path) -> list[str]:
    """One line for each import under `package` (the folder of `toprope`) that goes up or sideways.

    Imports inside functions count, and so do those for type checkers only.
    """
    modules = dict(_modules(package))
    found = []
    for module, path in sorted(modules.items()):
        if _part(module) not in FLOOR:
            found.append(f"{module}: name its floor in LAYERS")
            continue
        for line, target in _imports(module, path, set(modules)):
            reason = _objection(module, target)
            if reason:
                found.append(f"{module}:{line} imports {target}: {reason}")
    return found


def _objection(module: str, target: str) -> str | None:
    if _part(target) not in FLOOR:
        return None  # reported where the module itself is met
    if _floor(target) > _floor(module):
        return "upwards"
    here, there = _technique(module), _technique(target)
    if here and there and here != there and (here, there) not in TECHNIQUE_MAY_USE:
        return "another technique"
    return None


def _floor(module: str) -> int:
    """A technique's own `report`, a module or a folder, is a surface, and so are its `pages`."""
    names = module.split(".")
    is_section = names[1:2] == ["techniques"] and names[3:4] in (["report"], ["pages"])
    return FLOOR["report" if is_section else _part(module)]


def _part(module: str) -> str:
    """`toprope.models.local` -> `models`; the package's front page is `__init__`."""
    names = module.split(".")
    return names[1] if len(names) > 1 else "__init__"


def _technique(module: str) -> str | None:
    names = module.split(".")
    return names[2] if names[1:2] == ["techniques"] and len(names) > 2 else None


def _modules(package: Path) -> Iterator[tuple[str, Path]]:
    for path in package.rglob("*.py"):
        names = path.relative_to(package.parent).with_suffix("").parts
        yield ".".join(names[:-1] if names[-1] == "__init__" else names), path


def _imports(module: str, path: Path, modules: set[str]) -> Iterator[tuple[int, str]]:
    """Line and dotted name of each of the package's own modules that `module` imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, is_package=path.name == "__init__.py")
            # `from toprope import cli` imports a module, `from toprope import __version__` a value
            # that any floor may read.
            submodules = [f"{base}.{alias.name}" for alias in node.names]
            names = [name if name in modules else base for name in submodules]
            names = [name for name in names if name != "toprope"]
        else:
            continue
        yield from (
            (node.lineno, name)
            for name in dict.fromkeys(names)
            if name == "toprope" or name.startswith("toprope.")
        )


def _absolute(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    """The dotted name that `from X import` means by X, which may be relative to `module`."""
    if node.level == 0:
        return node.module or ""
    names = module.split(".")
    climbed = node.level - is_package
    base = names[: len(names) - climbed] if climbed else names
    return ".".join([*base, node.module] if node.module else base)


def test_the_package_keeps_its_layers() -> None:
    assert violations(PACKAGE) == []


@pytest.mark.parametrize(
    ("importer", "source", "complaint"),
    [
        pytest.param(
            "models/local.py",
            "def load():\n    from toprope.lab import Lab\n",
            "toprope.models.local:2 imports toprope.lab: upwards",
            id="up, inside a function",
        ),
        pytest.param(
            "errors.py",
            "import toprope.cli as cli\n",
            "toprope.errors:1 imports toprope.cli: upwards",
            id="up, by plain import",
        ),
        pytest.param(
            "evidence.py",
            "from toprope import lab\n",
            "toprope.evidence:1 imports toprope.lab: upwards",
            id="up, as a name of the package",
        ),
        pytest.param(
            "evidence.py",
            "import toprope\n",
            "toprope.evidence:1 imports toprope: upwards",
            id="up, to the front page",
        ),
        pytest.param(
            "models/local.py",
            "from ..lab import Lab\n",
            "toprope.models.local:1 imports toprope.lab: upwards",
            id="up, relative",
        ),
        pytest.param(
            "models/__init__.py",
            "from .. import lab\n",
            "toprope.models:1 imports toprope.lab: upwards",
            id="up, relative to a package",
        ),
        pytest.param(
            "techniques/debate/study.py",
            "from toprope.techniques import redteam\n",
            "toprope.techniques.debate.study:1 imports toprope.techniques.redteam: "
            "another technique",
            id="one technique into another",
        ),
        pytest.param(
            "techniques/redteam/study.py",
            "from toprope.techniques.safeguards.study import Guard\n",
            "toprope.techniques.redteam.study:1 imports toprope.techniques.safeguards.study: "
            "another technique",
            id="the exception, the wrong way round",
        ),
        pytest.param(
            "techniques/debate/report.py",
            "from toprope.techniques.redteam.report import section\n",
            "toprope.techniques.debate.report:1 imports toprope.techniques.redteam.report: "
            "another technique",
            id="one technique's report into another's",
        ),
        pytest.param(
            "techniques/debate/study.py",
            "from toprope.techniques.debate.report import section\n",
            "toprope.techniques.debate.study:1 imports toprope.techniques.debate.report: upwards",
            id="a study into its own report",
        ),
        pytest.param(
            "attic.py",
            "",
            "toprope.attic: name its floor in LAYERS",
            id="a part on no floor",
        ),
    ],
)
def test_a_violation_is_found(tmp_path: Path, importer: str, source: str, complaint: str) -> None:
    package = _house(tmp_path, {importer: source})

    assert violations(package) == [complaint]


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("cli.py", "from toprope.ladder.climb import climb\n"),
        ("evidence.py", "from toprope import __version__\nfrom . import errors\n"),
        ("techniques/debate/study.py", "from .rules import judge\nfrom ...lab import Lab\n"),
        ("techniques/debate/report.py", "from toprope.report.figures import bars\n"),
        ("techniques/safeguards/study.py", "from toprope.techniques.redteam.study import Attack\n"),
        ("data/sources.py", "import json, toprope_extras\nfrom toprope.models import weights\n"),
    ],
)
def test_what_is_allowed_passes(tmp_path: Path, importer: str, source: str) -> None:
    assert violations(_house(tmp_path, {importer: source})) == []


def _house(folder: Path, changes: dict[str, str]) -> Path:
    """A small package with a room on every floor, and `changes` written into it."""
    files = dict.fromkeys(
        (
            "__init__.py",
            "cli.py",
            "errors.py",
            "evidence.py",
            "lab.py",
            "ladder/climb.py",
            "models/__init__.py",
            "models/weights.py",
            "report/figures.py",
            *(
                f"techniques/{technique}/{name}.py"
                for technique in ("debate", "redteam", "safeguards")
                for name in ("__init__", "study", "report", "rules")
            ),
        ),
        "",
    )
    package = folder / "toprope"
    for name, source in (files | changes).items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return package

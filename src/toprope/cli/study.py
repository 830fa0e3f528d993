"""A command for a study, made from its fields: `toprope weak-to-strong --weak A --strong B ...`.

It runs as a ladder of one rung, through the same code as `toprope climb`.
"""

import hashlib
import inspect
import re
from collections.abc import Iterable
from typing import Any

import click

from toprope.cli import fields
from toprope.cli.climb import RunOptions, run
from toprope.cli.options import run_options
from toprope.ladder.config import FROM_RUNG, make_ladder
from toprope.study import NOBODY, Study, make_study, study_class

MORE_FLAGS = {"weak_to_strong": {"overseer": ("--weak",), "target": ("--strong",)}}
"""Study -> field -> what the literature calls it."""

EXAMPLES = {"overseer": "smollm2-135m", "target": "qwen2.5-coder-0.5b", "data": "cities"}
LONGEST_NAME = 80


def study_command(name: str, *, called: str = "") -> click.Command:
    """The command of the study of that name in `toprope.study.STUDIES`.

    Args:
        called: its words after `toprope`, where they aren't the study's name.
    """
    cls = study_class(name)

    @click.pass_context
    def callback(ctx: click.Context, **values: Any) -> None:
        _run(cls, ctx)

    command = click.command(
        name=(called or name).replace("_", "-").split()[-1],
        params=list(fields.options(cls, MORE_FLAGS.get(name, {}))),
        help=_help(cls, called or name.replace("_", "-")),
        epilog=_EPILOG,
    )(run_options(callback))
    names = [param.name for param in command.params]
    if len(set(names)) < len(names):
        raise ValueError(f"study '{name}' has a field named as an option that all runs have")
    return command


_EPILOG = """
Results go to FOLDER/NAME of --runs and --name: evidence.sqlite, report.html, and config.yaml, which
'toprope climb' takes. Without --name it's made from the study, the models and the data, so that the
same command goes on after an interruption, and doesn't run again what has finished.
"""


def _help(cls: type[Study], called: str) -> str:
    """The class's docstring, and an example of its command."""
    about = inspect.getdoc(cls) or f"Run the study {cls.name}."
    words = ["toprope", called]
    for name, field in cls.model_fields.items():
        if not field.is_required():
            continue
        example = field.examples[0] if field.examples else EXAMPLES.get(name, name.upper())
        flags = MORE_FLAGS.get(cls.name, {}).get(name, ())
        words += [[*flags, f"--{name.replace('_', '-')}"][0], str(example)]
    return f"{about}\n\n\b\n{' '.join(words)}"


def _run(cls: type[Study], ctx: click.Context) -> None:
    command = cls.name.replace("_", "-")
    settings = fields.given(cls, ctx)
    make_study(cls.name, settings, where=command)  # says what is wrong without a word of rungs
    rung = {key: settings.pop(key, cls.model_fields[key].get_default()) for key in FROM_RUNG}
    config = make_ladder(
        {
            "name": ctx.params["name"] or default_name(command, rung, settings),
            "seed": ctx.params["seed"] or 0,
            "rungs": [{**rung, "studies": [{cls.name: settings}]}],
        },
        source=command,
    )
    run(config, RunOptions(**{key: ctx.params[key] for key in RunOptions.__annotations__}))


def default_name(command: str, rung: dict[str, str], settings: dict[str, Any]) -> str:
    """A run's name from the command, the models and the data: the same for the same command."""
    of = next(
        (settings[key] for key in ("data", "behaviours", "questions") if settings.get(key)), ""
    )
    parts = [command, rung["overseer"], rung["target"], of]
    return folder_name(str(part) for part in parts if part != NOBODY)


def folder_name(parts: Iterable[str]) -> str:
    """Of those that aren't empty; where an address doesn't fit into a folder's name, a hash of the
    whole tells it from others."""
    whole = "-".join(filter(None, parts))
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", whole).strip("-.")
    if name == whole and len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"

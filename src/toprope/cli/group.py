"""How the commands behave together: loaded when asked for, and a mistake answered by one line.

What a user can mend ends with `toprope: ...` on standard error and exit status 2. Anything else is
a bug of ours and keeps its traceback.
"""

import errno
import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import click

from toprope.errors import UserError, unknown

STATUS = 2

_MENDS = {
    errno.ENOSPC: "make room, then give the same command again",
    errno.EDQUOT: "make room, then give the same command again",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
}


class Lazy(NamedTuple):
    """A command that isn't loaded yet: its section of the help, MODULE:ATTRIBUTE, and a line."""

    section: str
    where: str
    summary: str


class Group(click.Group):
    """A group that shows its help when no command is given, and suggests the nearest command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            raise unknown("command", name, self.list_commands(ctx), where=f"'{ctx.command_path}'")
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """The top-level group: commands by name, and a command for every study.

    Args:
        commands_by_name: in the order in which the help shows them.
        studies: command -> what it asks, for the help.
    """

    def __init__(
        self,
        *args: Any,
        commands_by_name: Mapping[str, Lazy],
        studies: Mapping[str, str],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = commands_by_name
        self.studies = studies

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.studies, *self.lazy]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.lazy:
            module, _, attribute = self.lazy[cmd_name].where.partition(":")
            return getattr(importlib.import_module(module), attribute)
        from toprope.study import STUDIES

        study = cmd_name.replace("-", "_")
        if study not in STUDIES:
            return None
        from toprope.cli.study import study_command

        return study_command(study)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"Studies": list(self.studies.items())}
        for name, command in self.lazy.items():
            sections.setdefault(command.section, []).append((name, command.summary))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        try:
            sys.exit(super().main(*args, standalone_mode=False, **extra))
        except UserError as error:
            _give_up(str(error))
        except click.Abort:  # what click makes of Ctrl-C
            _give_up("stopped: give the same command to go on")
        except click.UsageError as error:
            hint = f" (see '{error.ctx.command_path} --help')" if error.ctx else ""
            _give_up(error.format_message().rstrip(".") + hint)
        except click.ClickException as error:
            _give_up(error.format_message())
        except OSError as error:
            if error.errno not in _MENDS:
                raise
            place = f"{error.filename}: " if error.filename else ""
            _give_up(f"{place}{os.strerror(error.errno)}: {_MENDS[error.errno]}")


def _give_up(message: str) -> NoReturn:
    # One line that can't steer a terminal: it may quote what a file says.
    line = "".join(letter if letter.isprintable() else " " for letter in message)
    click.echo(f"toprope: {line}", err=True)
    sys.exit(STATUS)

"""`toprope models list | pull | path | rm`: the catalog, and what the cache holds of it."""

import click

from toprope.cli.group import Group
from toprope.cli.options import quiet as quiet_option
from toprope.models import weights
from toprope.progress import Progress

NAMES = "NAME is one of 'toprope models list', hf:OWNER/NAME, or a folder."


@click.group(cls=Group)
def models() -> None:
    """See which models there are, fetch them ahead of time, and free the space.

    A study fetches what it needs by itself. The cache is the user's cache folder, or the one that
    the environment variable TOPROPE_CACHE names.

    \b
    toprope models list
    toprope models pull smollm2-135m qwen2.5-coder-0.5b
    """


@models.command(name="list")
def list_models() -> None:
    """List the models of the catalog, and which are ready to use.

    A model's size is what it takes on disk: now if it's there, else once it's pulled.

    \b
    toprope models list
    """
    rows = [("NAME", "STATE", "DISK", "PARAMETERS", "KIND", "LICENCE", "TITLE")]
    for status in weights.statuses():
        entry = status.entry
        size = status.bytes if status.state == "ready" else entry.ready_bytes
        rows.append(
            (
                entry.name,
                status.state,
                _bytes(size),
                f"{entry.parameters / 1e6:,.0f}M",
                entry.kind,
                entry.licence,
                entry.title,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@models.command(
    help=f"""\
Fetch models and verify them; one that is there is checked, and repaired if it was damaged.

{NAMES} A download that was broken off goes on where it stopped. Prints the models' folders.

\b
toprope models pull smollm2-135m
toprope models pull hf:HuggingFaceTB/SmolLM2-360M-Instruct
"""
)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@quiet_option
def pull(names: tuple[str, ...], quiet: bool) -> None:
    progress = Progress(quiet=quiet)
    for name in names:
        click.echo(weights.pull(name, progress=progress))


@models.command(
    help=f"""\
Print the folder of a model that is ready, without fetching anything.

{NAMES}

\b
toprope models path smollm2-135m
"""
)
@click.argument("name")
def path(name: str) -> None:
    click.echo(weights.path(name))


@models.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def rm(names: tuple[str, ...]) -> None:
    """Remove models from the cache, and what is left of broken-off downloads.

    \b
    toprope models rm qwen2.5-coder-1.5b
    """
    for name in names:
        click.echo(f"{name}: {_bytes(weights.remove(name))} freed")


def _bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"

"""`toprope debate text | protocols | show`, and the other studies of debate: a judge is helped by
models that argue."""

from collections.abc import Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path

import click

from toprope.cli import IN_GROUPS
from toprope.cli.group import Group, Lazy
from toprope.cli.study import study_command
from toprope.report.text import clean
from toprope.techniques.debate import kept
from toprope.techniques.debate.arms import KINDS, VARIANTS
from toprope.techniques.debate.showing import shown

STUDIES = {
    name: (study, summary)
    for study, (group, name, summary) in IN_GROUPS.items()
    if group == "debate"
}
"""Command -> its study, and what it asks."""

OTHERS = {
    "questions": Lazy(
        "Commands", "toprope.cli.debate_questions:questions", "List sets of questions, or look in."
    ),
    "rejudge": Lazy(
        "Commands",
        "toprope.cli.debate_rejudge:rejudge",
        "Let another judge hear what was said in a run.",
    ),
    "train-judge": Lazy(
        "Commands",
        "toprope.cli.debate_train:train_judge",
        "Train a judge on transcripts with known answers.",
    ),
}
"""Commands in files of their own."""


class _Debates(Group):
    """Its studies, and commands in other files, are loaded when they're asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*STUDIES, *super().list_commands(ctx), *OTHERS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in STUDIES:
            return study_command(STUDIES[cmd_name][0], called=f"debate {cmd_name}")
        if cmd_name in OTHERS:
            module, _, attribute = OTHERS[cmd_name].where.partition(":")
            return getattr(import_module(module), attribute)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Studies"):
            formatter.write_dl([(name, summary) for name, (_, summary) in STUDIES.items()])
        own = [(name, one.get_short_help_str(200)) for name, one in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl([*own, *((name, one.summary) for name, one in OTHERS.items())])


@click.group(cls=_Debates)
def debate() -> None:
    """Let models argue before a weaker judge, and measure whether it gets more answers right.

    Each protocol is held against the judge alone (blind) and the judge that reads the passage
    itself (expert), on the same questions.

    \b
    toprope debate text --overseer qwen2.5-coder-0.5b --target qwen2.5-coder-1.5b --judge answers
    toprope debate show runs/my-run --wrong
    """


@debate.command()
def protocols() -> None:
    """List the protocols, what each is, and who described it.

    \b
    toprope debate protocols
    """
    for name, kind in KINDS.items():
        click.echo(f"{name}: {kind.about} [{kind.source}]")
    for name, (about, source) in VARIANTS.items():
        click.echo(f"..._{name}_N: {about} [{source}]")


@debate.command()
@click.argument("run_or_file", type=click.Path(path_type=Path))
@click.option(
    "--protocol",
    "names",
    multiple=True,
    help="Games of this protocol only, as the study named it. May be given several times.",
)
@click.option("--question", "ids", multiple=True, help="Games of the question with this id only.")
@click.option("--wrong", is_flag=True, help="Games only that the judge got wrong.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=5, show_default=True, help="At most so many."
)
@click.option("--passage", is_flag=True, help="Print the passage too.")
def show(
    run_or_file: Path,
    names: Sequence[str],
    ids: Sequence[str],
    wrong: bool,
    limit: int,
    passage: bool,
) -> None:
    """Print transcripts: who said what, in private too, and what the judge made of it.

    Of a run of 'toprope debate text' or 'toprope debate self-play', or of a file of transcripts
    such as one of those in its artifacts.

    \b
    toprope debate show runs/my-run --protocol debate --wrong --limit 2
    """
    paths = kept.files(run_or_file, names)
    games = (
        (path.stem, game)
        for path in paths
        for game in kept.load(path)
        if (not ids or game.question.id in ids) and not (wrong and game.correct)
    )
    first = list(islice(games, limit))
    for name, game in first:
        click.echo(clean("\n".join(shown(name, game, passage=passage))) + "\n")
    if not first:
        click.echo("no game is like that", err=True)
    elif next(games, None):
        click.echo(f"there are more: --limit {2 * limit} shows some of them", err=True)

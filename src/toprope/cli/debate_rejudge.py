"""`toprope debate rejudge`: what was said in a run, before another judge."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import click

from toprope.cli.options import OneOf
from toprope.cli.options import device as device_option
from toprope.cli.options import dtype as dtype_option
from toprope.cli.options import quiet as quiet_option
from toprope.cli.study import folder_name
from toprope.errors import UserError
from toprope.journal import Journal, begun_with, key_of
from toprope.lab import Lab
from toprope.progress import Progress
from toprope.techniques.debate import kept
from toprope.techniques.debate.casting import Judging, judge_of, judging_of
from toprope.techniques.debate.judges import Judge
from toprope.techniques.debate.measures import judging
from toprope.techniques.debate.rejudging import Change, rejudged
from toprope.techniques.debate.trained.about import known_by
from toprope.techniques.debate.trained.judge import TrainedJudge
from toprope.techniques.debate.trained.keeping import load_judge
from toprope.techniques.debate.transcript import Transcript

HOW: Mapping[str, Judging] = {by: by for by in get_args(Judging)}

JOURNAL = "rejudged.jsonl"
"""Of what the judge said so far, in the folder of the new transcripts."""

CONCURRENCY = 32
"""Games that are judged at once."""


@click.command()
@click.argument("place", type=click.Path(path_type=Path))
@click.option("--overseer", help="The judge: a local model, or a served one.")
@click.option(
    "--judge",
    type=OneOf(["auto", *HOW]),
    help="How it judges, as in 'toprope debate text'.  [default: auto]",
)
@click.option(
    "--trained",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="A judge of 'toprope debate train-judge', in the overseer's place.",
)
@click.option(
    "--protocol",
    "names",
    multiple=True,
    help="Of a run: games of this protocol only, as the study named it. May be given several "
    "times.",
)
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="Where the new transcripts go, and where a judge that was stopped goes on.  [default: in "
    "rejudged/, in the run's folder or beside the file]",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of the intervals.")
@device_option
@dtype_option
@quiet_option
def rejudge(
    place: Path,
    overseer: str | None,
    judge: str | None,
    trained: Path | None,
    names: Sequence[str],
    to: Path | None,
    seed: int,
    device: str | None,
    dtype: str | None,
    quiet: bool,
) -> None:
    """Let another judge hear what was said, and say how much oftener it is right.

    PLACE is the folder of a run of 'toprope debate text' or 'toprope debate self-play', or a file
    of transcripts. Every word stays as it was, the questions that the first judge asked and the
    speeches that it rated best among them.

    \b
    toprope debate rejudge runs/my-run --overseer qwen2.5-coder-1.5b --judge answers
    toprope debate rejudge runs/my-run --trained my-judge --protocol debate
    """
    if (overseer is None) == (trained is None):
        raise UserError("who is to judge? Give --overseer MODEL, or --trained FOLDER")
    if trained is not None and judge is not None:
        raise UserError("--judge says how --overseer judges: one that is --trained has its own way")
    games, shown = _games(place, names), Progress(quiet=quiet)
    beside = place if place.is_dir() else place.parent
    with tempfile.TemporaryDirectory(prefix="toprope-") as folder:
        lab = Lab(Path(folder), device=device, dtype=dtype, progress=shown)
        if trained:
            of, how, hears = trained.resolve().name, "trained", load_judge(trained, lab.local)
            games = _others(games, hears, trained, shown)
        else:
            of = overseer or ""
            how = HOW.get(judge or "auto") or judging_of(of)
            hears = judge_of(lab, of, how)
        for name, some in games.items():
            if len(set(judging.units(some))) < 2:
                raise UserError(f"{name}: too few questions: an interval takes two at least")
        into = to or beside / "rejudged" / folder_name([of, how, *names])
        heard = key_of(*(one.as_json() for some in games.values() for one in some))
        settings = {"judge": hears.fingerprint, "heard": heard, "precision": lab.precision}
        _check(into, settings)
        into.mkdir(parents=True, exist_ok=True)
        with Journal(into / JOURNAL, settings, what="judging") as journal:
            table = _judged(games, hears, journal, into, seed, shown)
            journal.finish()
    for line in table:
        click.echo(line)
    click.echo(f"the transcripts are in {into}")


def _check(into: Path, settings: Mapping[str, Any]) -> None:
    """
    Raises:
        UserError: something other than what this judge said of the same games is there.
    """
    if not into.exists() or (into.is_dir() and not any(into.iterdir())):
        return
    if begun_with(into / JOURNAL) != settings:
        raise UserError(
            f"{into} holds something else, such as other games or another judge's: name a new "
            "folder by --to"
        )


def _games(place: Path, names: Sequence[str]) -> dict[str, list[Transcript]]:
    """Protocol -> its games.

    Raises:
        UserError: there are none, or several files of a protocol.
    """
    found: dict[str, Path] = {}
    for path in kept.files(place, names):
        if path.stem in found:
            raise UserError(
                f"{place} holds {path.stem} before several judges, or with several settings: name "
                f"one file of them, such as {path}"
            )
        found[path.stem] = path
    return {name: list(kept.load(path)) for name, path in found.items()}


def _others(
    games: Mapping[str, Sequence[Transcript]], judge: TrainedJudge, of: Path, shown: Progress
) -> dict[str, list[Transcript]]:
    """Those of questions that a trained judge didn't learn from.

    Raises:
        UserError: of some protocol there are none.
    """
    if not judge.about.learned:
        raise UserError(
            f"the judge in {of} doesn't say which questions it learned from, as one of an older "
            "version: train it again"
        )
    learned = set(judge.about.learned)
    found: dict[str, list[Transcript]] = {}
    for name, some in games.items():
        found[name] = [one for one in some if not known_by(one.question) & learned]
        if some and not found[name]:
            raise UserError(
                f"the judge in {of} learned from every question of {name}: let it judge others"
            )
        if len(found[name]) < len(some):
            out = len(some) - len(found[name])
            shown.say(
                f"{name}: {out:,} of {len(some):,} games out: it learned from their questions"
            )
    return found


def _judged(
    games: Mapping[str, Sequence[Transcript]],
    judge: Judge,
    journal: Journal,
    into: Path,
    seed: int,
    shown: Progress,
) -> list[str]:
    """Judges and keeps them; the lines of a table."""
    wide = max(map(len, games)) + 2
    lines = [f"{'':<{wide}}{'games':>6}  {'as judged':<22} {'by this judge':<22} gained"]
    for name, before in games.items():
        after = asyncio.run(
            rejudged(
                before,
                judge,
                concurrency=CONCURRENCY,
                journal=journal,
                progress=shown,
                title=f"{name}, before {judge.name}",
            )
        )
        kept.write(into / f"{name}.jsonl", after)
        found = Change.of(before, after, seed)
        lines.append(
            f"{name:<{wide}}{len(before):>6}  {found.before!s:<22} {found.after!s:<22} {found.gain}"
        )
    return lines

"""`toprope data list | show`: which datasets there are, and what is in one."""

import importlib
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice, zip_longest
from pathlib import Path

import click

from toprope.cli.group import Group
from toprope.cli.options import data_dir as data_dir_option
from toprope.data.builtin import BUILTIN
from toprope.data.config import DatasetConfig
from toprope.data.examples import Dataset, Example
from toprope.data.inputs import description_folders
from toprope.data.sources import load
from toprope.data.yaml_file import load_yaml
from toprope.errors import UserError
from toprope.report.text import clean, counted

LONGEST_TITLE = 60


@click.group(cls=Group)
def data() -> None:
    """See which datasets there are, and look into one before a study uses it.

    A dataset is a built-in set, a file (file:PATH), a set on the Hugging Face hub (hf:NAME), or a
    description in YAML: see examples/data for those of public sets, to copy for your own.

    \b
    toprope data list
    toprope data show cities
    toprope data show 'file:reviews.csv?text=sentence&label=stars'
    """


@data.command(name="list")
@data_dir_option
def list_data(data_dir: Path | None) -> None:
    """List the built-in sets and the descriptions found.

    Descriptions are looked for here, in examples/data, and in the data folder. The data files that
    they name are in the data folder too: --data-dir, or the environment variable TOPROPE_DATA.

    \b
    toprope data list
    toprope data list --data-dir ~/datasets
    """
    for name, generator in BUILTIN.items():
        about = importlib.import_module(generator.__module__).__doc__ or ""
        title = about.partition("\n")[0].removeprefix(f"`{name}`: ")
        click.echo(_row(name, "built in", title))
    for path in _descriptions(data_dir):
        try:
            title = load_yaml(path, DatasetConfig).title
        except UserError as error:
            click.echo(f"left out: {error}", err=True)
            continue
        click.echo(_row(path.stem, str(path.parent), title))


@data.command()
@click.argument("name")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many examples.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of what is drawn.")
@click.option(
    "--examples",
    "shown",
    type=click.IntRange(min=0),
    default=4,
    show_default=True,
    help="How many to print, the classes in turn.",
)
@data_dir_option
def show(name: str, limit: int | None, seed: int, shown: int, data_dir: Path | None) -> None:
    """Show what is in a dataset: classes, groups, where it comes from, and how a model is asked.

    NAME is as in a study: a name of 'toprope data list', file:PATH, hf:NAME or a YAML file.

    \b
    toprope data show cities --limit 200
    toprope data show boolq --data-dir ~/datasets
    """
    dataset = load(name, data_dir=data_dir, limit=limit, seed=seed)
    for key, value in _facts(dataset):
        click.echo(f"{key + ':':<13}{clean(value)}")
    for example in _some(dataset, shown):
        click.echo(f"\n{_asked(example, dataset)}")


def _row(name: str, place: str, title: str) -> str:
    short = title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 3]}..."
    return f"{name:<20} {place:<14} {clean(short)}".rstrip()


def _descriptions(data_dir: Path | None) -> Iterator[Path]:
    """Each name once: the first folder that has it is the one that a study would take."""
    seen = set(BUILTIN)
    for folder in description_folders(data_dir):
        for path in sorted(folder.glob("*.yaml")):
            if path.stem not in seen and not path.name.startswith("."):
                seen.add(path.stem)
                yield path


def _facts(dataset: Dataset) -> Iterator[tuple[str, str]]:
    provenance = dataset.provenance
    yield "name", dataset.name
    yield "source", provenance.source or "not stated"
    yield "licence", provenance.licence or "not stated"
    counts = Counter(example.label for example in dataset.examples)
    classes = (f"{counts[label]:,} {name}" for label, name in enumerate(dataset.label_names))
    yield "examples", f"{len(dataset):,}: {', '.join(classes)}"
    yield "groups", _groups(dataset)
    difficulties = [e.difficulty for e in dataset.examples if e.difficulty is not None]
    if difficulties:
        yield "difficulty", f"{min(difficulties):.2f} to {max(difficulties):.2f}"
    yield "rows", provenance.summary
    for note in provenance.notes:
        yield "note", note
    for file, sha256 in provenance.files.items():
        yield "file", f"{file} (SHA-256 {sha256[:16]}...)"
    yield "fingerprint", dataset.fingerprint


def _groups(dataset: Dataset) -> str:
    sizes = Counter(dataset.groups)
    if len(sizes) == len(dataset):
        return "every example is its own"
    return f"{len(sizes):,}, the largest of {counted(max(sizes.values()), 'example')}"


def _some(dataset: Dataset, number: int) -> list[Example]:
    """The first few examples, the classes taking turns."""
    by_class: list[list[Example]] = [[] for _ in dataset.label_names]
    for example in dataset.examples:
        by_class[example.label].append(example)
    in_turns = chain.from_iterable(zip_longest(*by_class))
    return list(islice((example for example in in_turns if example), number))


def _asked(example: Example, dataset: Dataset) -> str:
    """The prompt as a model reads it, and the answers it chooses from, the true one marked."""
    answers = [
        f"{'*' if label == example.label else ' '} {answer!r} ({name})"
        for label, (answer, name) in enumerate(
            zip(dataset.answers, dataset.label_names, strict=True)
        )
    ]
    prompt = "\n".join(f"  | {line}" for line in clean(example.text).split("\n"))
    return f"{example.id}\n{prompt}\n" + "\n".join(f"  {clean(answer)}" for answer in answers)

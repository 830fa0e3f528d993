"""`toprope debate questions`: which questions there are, what is in a set, and a set as a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

import click

from toprope.cli.options import data_dir as data_dir_option
from toprope.data.inputs import description_folders
from toprope.data.yaml_file import load_yaml
from toprope.errors import UserError, unknown
from toprope.files import write_text
from toprope.report.text import clean, counted
from toprope.techniques.debate.description import QuestionsConfig
from toprope.techniques.debate.questions import LETTERS, Question
from toprope.techniques.debate.reading import load_questions
from toprope.techniques.debate.sets import QuestionSet

OTHERS = {
    "passages": ("built in", "Generated documents with planted facts, of four difficulties."),
    "data:NAME": ("", "A labelled dataset of 'toprope data list'; its labels are the options."),
}
"""Names that no description has, and what they are."""

MOST_VALUES = 6
"""Of something that is known of questions, beyond which they aren't counted one by one."""

Count = Callable[[str], int]


@click.command()
@click.argument("name", required=False)
@click.option("--passages", type=click.IntRange(min=1), help="Generate so many, in NAME's place.")
@click.option("--difficulty", help="Of --passages: 1 to 4, or several of them, as 3,4.")
@click.option("--words", type=click.INT, help="Of --passages: the length of a document.")
@click.option("--options", type=click.INT, help="Of --passages: possible answers to a question.")
@click.option("--per-document", type=click.INT, help="Of --passages: questions on one document.")
@click.option("--to", type=click.Path(path_type=Path), help="Write the set to this file.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many questions.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of what is drawn.")
@click.option("--question", "wanted", metavar="ID", help="Print this one; without it, the first.")
@click.option("--model", help="A local model: say lengths in its tokens, and what it can read.")
@data_dir_option
def questions(
    name: str | None,
    passages: int | None,
    to: Path | None,
    limit: int | None,
    seed: int,
    wanted: str | None,
    model: str | None,
    data_dir: Path | None,
    **generated: str | int | None,
) -> None:
    """List sets of questions; look into the one called NAME; or write it to a file.

    NAME is as in a study: passages, file:PATH, hf:NAME, data:NAME, or a description in YAML, which
    is looked for here, in examples/questions and in the data folder.

    \b
    toprope debate questions
    toprope debate questions gsm8k_claims --data-dir DATA --model smollm2-135m
    toprope debate questions --passages 200 --difficulty 3,4 --to hard.jsonl
    """
    address = _address(name, passages, {k: v for k, v in generated.items() if v is not None})
    if not address:
        if to:
            raise UserError("--to writes a set of questions: name one, or give --passages NUMBER")
        _list(data_dir)
        return
    found = load_questions(address, data_dir=data_dir, limit=limit, seed=seed)
    if to:
        click.echo(f"{counted(len(found), 'question')}: {_written(found, to)}")
        return
    shown = _one(found, wanted)
    count, context = _counting(model)
    for key, value in _facts(found, count, context):
        click.echo(f"{key + ':':<13}{clean(value)}")
    click.echo(f"\n{clean(_printed(shown, found, count))}")


def _address(name: str | None, passages: int | None, generated: dict[str, str | int]) -> str:
    """The name of the set that is meant; "": none is."""
    if passages is None:
        if generated:
            option = f"--{next(iter(generated)).replace('_', '-')}"
            raise UserError(f"{option} is of generated passages: give --passages NUMBER too")
        return name or ""
    if name:
        raise UserError(f"--passages makes a set, and '{name}' names one: give one of the two")
    settings = {"size": passages, **generated}
    return "passages?" + "&".join(f"{key}={value}" for key, value in settings.items())


# --- a list ---


def _list(data_dir: Path | None) -> None:
    for name, (place, title) in OTHERS.items():
        click.echo(_row(name, place, title))
    seen: set[str] = set()
    for folder in description_folders(data_dir, "questions"):
        for path in sorted(folder.glob("*.yaml")):
            if path.stem in seen or path.name.startswith("."):
                continue
            seen.add(path.stem)
            try:
                title = load_yaml(path, QuestionsConfig).title
            except UserError as error:
                click.echo(f"left out: {error}", err=True)
                continue
            click.echo(_row(path.stem, str(folder), title))


def _row(name: str, place: str, title: str) -> str:
    return f"{name:<24} {place:<20} {clean(title)}".rstrip()


# --- a file ---


def _written(found: QuestionSet, path: Path) -> str:
    """Writes the set; the address under which it can be read again."""
    lines = [
        json.dumps(_record(one) | dict(found.about.get(one.id, {})), ensure_ascii=False)
        for one in found.questions
    ]
    write_text(path, "".join(f"{line}\n" for line in lines))
    columns = ["passage"] if any(one.passage for one in found.questions) else []
    options = "&".join(f"{key}={key}" for key in (*columns, "options", "answer", "group"))
    return f"file:{path}?{options}"


def _record(one: Question) -> dict[str, object]:
    passage = {"passage": one.passage} if one.passage else {}
    return {
        "id": one.id,
        "question": one.text,
        **passage,
        "options": list(one.options),
        "answer": one.right,
        "group": one.unit,
    }


# --- a look ---


def _one(found: QuestionSet, wanted: str | None) -> Question:
    if wanted is None:
        return found.questions[0]
    by_id = {one.id: one for one in found.questions}
    if wanted not in by_id:
        some = list(by_id)[:5]
        raise unknown("question", wanted, some, where=f"{found.name} (the first ones)")
    return by_id[wanted]


def _counting(model: str | None) -> tuple[Count, int | None]:
    """How the length of a text is said, and the most that can be read; by words without a model."""
    if model is None:
        return lambda text: len(text.split()), None
    from toprope.models.local import LocalModel
    from toprope.progress import Progress

    local = LocalModel.load(model, progress=Progress())
    return lambda text: len(local.tokenizer(text).input_ids), local.context


def _facts(found: QuestionSet, count: Count, context: int | None) -> Iterator[tuple[str, str]]:
    made = found.provenance
    unit = "word" if context is None else "token"
    yield "name", found.name
    yield "source", made.source or "not stated"
    yield "licence", made.licence or "not stated"
    yield "questions", f"{len(found):,} in {len({q.unit for q in found.questions}):,} groups"
    sizes = Counter(len(one.options) for one in found.questions)
    yield "options", ", ".join(f"{n}: {sizes[n]:,} questions" for n in sorted(sizes))
    places = Counter(one.answer for one in found.questions)
    yield "right one", ", ".join(f"{LETTERS[i]}: {places[i]:,}" for i in sorted(places))
    passages = {one.passage for one in found.questions if one.passage}
    if passages:
        lengths = [count(passage) for passage in passages]
        yield "passages", f"{len(passages):,}, {_range(lengths, unit)}"
    asked = [count("\n".join((one.text, *one.options))) for one in found.questions]
    yield "asked", _range(asked, unit)
    if context is not None:
        yield "context", f"{context:,} tokens, instructions and all turns included"
    yield from _known(found)
    yield "rows", made.summary
    for note in made.notes:
        yield "note", note
    for file, sha256 in made.files.items():
        yield "file", f"{file} (SHA-256 {sha256[:16]}...)"
    yield "fingerprint", found.fingerprint


def _range(lengths: Sequence[int], unit: str) -> str:
    return (
        f"{min(lengths):,} to {max(lengths):,} {unit}s, half of them below {median(lengths):,.0f}"
    )


def _known(found: QuestionSet) -> Iterator[tuple[str, str]]:
    """How often what is known of questions has which value, where these are few."""
    for key in dict.fromkeys(key for about in found.about.values() for key in about):
        values = Counter(str(about.get(key)) for about in found.about.values())
        if len(values) <= MOST_VALUES:
            yield key, ", ".join(f"{value}: {values[value]:,}" for value in sorted(values))


def _printed(one: Question, found: QuestionSet, count: Count) -> str:
    """A question with all that there is of it; the right option is marked."""
    lines = [f"{one.id} ({one.source})" if one.source else one.id]
    if one.passage:
        lines += _indented(f"passage ({count(one.passage):,})", one.passage)
    lines += _indented(f"question ({count(one.text):,})", one.text)
    for i, option in enumerate(one.options):
        mark = "*" if i == one.answer else " "
        lines.append(f"  {mark} {LETTERS[i]}. {option} ({count(option):,})")
    lines += [f"  {key}: {value}" for key, value in found.about.get(one.id, {}).items()]
    return "\n".join(lines)


def _indented(title: str, text: str) -> list[str]:
    return [f"  {title}:", *(f"  | {line}" for line in text.split("\n"))]

"""The questions of a name: generated, from any file, or by a description.

    passages                                         generated: see `passages`; with settings,
                                                     passages?difficulty=3&words=800
    file:PATH?question=COLUMN&options=A,B&answer=... jsonl, json, csv, tsv, parquet (also .gz)
    hf:OWNER/NAME?split=test&question=...            through `datasets`
    data:NAME                                        a labelled dataset, by its name as a study
                                                     takes it (data:cities): see `labelled`
    NAME, or PATH/TO/NAME.yaml                       a description, of `QuestionsConfig`'s keys;
                                                     those of public sets are in examples/questions

Options of `file:` and `hf:`: `question`, `passage`, `options`, `separator`, `options_are`,
`answer`, `answer_is`, `group`, `name`, `without`, `max_options`, `balance`; of `file:` also
`format` and `encoding`; of `hf:` also `split`, `config` and `revision`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from pydantic import ValidationError

from toprope.data.choices import options_of
from toprope.data.drafts import Input, kept
from toprope.data.examples import Provenance
from toprope.data.groups import same_text
from toprope.data.inputs import at_address, read_named
from toprope.data.rows import Row, as_text
from toprope.data.sources import load
from toprope.data.templates import fill
from toprope.errors import UserError, unknown
from toprope.progress import Progress
from toprope.techniques.debate.claims import step_options, unfolded
from toprope.techniques.debate.description import QuestionsConfig
from toprope.techniques.debate.labelled import labelled
from toprope.techniques.debate.passages.generate import PassageSettings, passages
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.sets import QuestionSet

BUILT_IN = ("passages",)
DATASET = "data:"
ADDRESS_OPTIONS = (
    "question",
    "passage",
    "options",
    "separator",
    "options_are",
    "answer",
    "answer_is",
    "group",
    "name",
    "without",
    "max_options",
    "balance",
)


def load_questions(
    name: str,
    *,
    data_dir: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> QuestionSet:
    """The questions of a name (this module's docstring lists the kinds of name).

    Args:
        data_dir: the folder that descriptions' file paths are relative to; by default the
            environment variable TOPROPE_DATA.
        limit: at most so many, whole groups; of `passages` without a `size`, and of a built-in
            dataset, so many are made.

    Raises:
        UserError: an unknown name or option; a file or column that isn't there; a question without
            text, with one option, with no answer or one that is no option, named by file and line.
    """
    if name.partition("?")[0] in BUILT_IN:
        return _generated(name, limit, seed)
    if name.startswith(DATASET):
        data = load(
            name.removeprefix(DATASET),
            data_dir=data_dir,
            limit=limit,
            seed=seed,
            progress=progress,
        )
        return labelled(data)
    config, inputs = read_named(
        name,
        QuestionsConfig,
        partial(at_address, QuestionsConfig, ADDRESS_OPTIONS),
        data_dir=data_dir,
        kind="questions",
        examples="questions",
        built_in=BUILT_IN,
    )
    found = _assembled(config, inputs)
    if config.balance:
        found = found.balanced(seed=seed)
    found = found.limited(limit, seed=seed)
    if progress and found.provenance.dropped:
        progress.say(f"{found.name}: {found.provenance.summary}")
    return found


def _generated(name: str, limit: int | None, seed: int) -> QuestionSet:
    options: dict[str, Any] = dict(parse_qsl(name.partition("?")[2], keep_blank_values=True))
    for option in options:
        if option not in PassageSettings.model_fields:
            raise unknown("option", option, PassageSettings.model_fields, where=name)
    if limit is not None:
        options.setdefault("size", limit)
    try:
        settings = PassageSettings.model_validate(options)
    except ValidationError as error:
        mistake = error.errors()[0]
        raise UserError(f"{name}: {mistake['loc'][0]}: {mistake['msg']}") from None
    return passages(settings, seed=seed).limited(limit, seed=seed)


@dataclass(frozen=True)
class _Read:
    """A question with what reports keep of its row."""

    question: Question
    about: Mapping[str, Any]


def _assembled(config: QuestionsConfig, inputs: Sequence[Input]) -> QuestionSet:
    assert config.name is not None
    dropped: Counter[str] = Counter()
    read = list(_read(config, inputs, dropped))
    unique = _each_once(read, again := Counter())
    rows = sum(len(given.rows) for given in inputs)
    if not unique:
        raise UserError(f"questions '{config.name}': none of {rows} rows is left: {dict(dropped)}")
    about = Provenance(
        config.source,
        config.licence,
        {given.name: given.sha256 for given in inputs},
        rows_read=rows,
        rows_dropped=dict(dropped),
        examples_made=len(read),
        examples_dropped=dict(again),
    )
    return QuestionSet(
        config.name,
        tuple(one.question for one in unique),
        about,
        {one.question.id: one.about for one in unique if one.about},
    )


def _read(
    config: QuestionsConfig, inputs: Sequence[Input], dropped: Counter[str]
) -> Iterator[_Read]:
    """Questions in the order of the rows, whose places among all rows name them."""
    number = 0
    for given in inputs:
        for row in given.rows:
            number += 1
            for part, one in enumerate(unfolded(row, config.solutions)):
                name = f"{config.name}/{number:05d}" + (f"-{part}" if config.solutions else "")
                chosen, reason = kept(one, config)
                if chosen is None:
                    dropped[reason] += 1
                    continue
                options, answer = _options(chosen, config)
                if config.max_options and len(options) > config.max_options:
                    dropped[f"more than {config.max_options} options"] += 1
                    continue
                yield _Read(
                    _question(chosen, config, name, options, answer),
                    {column: chosen.value(column) for column in config.meta},
                )


def _question(
    row: Row, config: QuestionsConfig, name: str, options: Sequence[str], answer: int
) -> Question:
    lines = Row(row.file, row.number, row.unit, {k: _in_lines(v) for k, v in row.values.items()})
    passage = _clean(fill(config.passage, lines), config) if config.passage else ""
    if config.passage and not passage:
        raise UserError(f"{row.where}: the passage is empty")
    # Questions on one passage stand and fall with it.
    group = fill(config.group, lines).strip() if config.group else same_text(passage)
    return Question(
        id=name,
        text=_clean(fill(config.question, lines), config),
        options=tuple(_clean(option, config) for option in options),
        answer=answer,
        passage=passage,
        group=group,
        source=row.where,
    )


def _options(row: Row, config: QuestionsConfig) -> tuple[Sequence[str], int]:
    """The options, and which is right."""
    if config.steps:
        return step_options(row, config.steps)
    if config.options_are:
        named = [("", option) for option in config.options_are]
    else:
        named = options_of(row, config.choices)
    return [text for _, text in named], _answer(row, config, named)


def _answer(row: Row, config: QuestionsConfig, named: Sequence[tuple[str, str]]) -> int:
    """The place of the right option.

    Raises:
        UserError: nothing is said, or nothing that is an option.
    """
    said = row.text(config.answer)
    if not said:
        raise UserError(f"{row.where}: no answer: '{config.answer}' is empty")
    said = config.answer_values.get(said, said)
    if config.answer_is == "letter":
        known = [chr(ord("a") + place) for place in range(len(named))]
    elif config.answer_is in ("number", "number from 1"):
        start = int(config.answer_is == "number from 1")
        known = [str(place) for place in range(start, start + len(named))]
    else:
        known = [name if config.answer_is == "name" else text for name, text in named]
    if said in known:
        return known.index(said)
    folded = [one.casefold() for one in known]
    if said.casefold() not in folded:
        raise UserError(
            f"{row.where}: the answer '{said}' (in '{config.answer}', as the option's "
            f"{config.answer_is}) is none of the {len(known)} options: {' | '.join(known)}"
        )
    return folded.index(said.casefold())


def _in_lines(value: Any) -> Any:
    return "\n".join(map(as_text, value)) if isinstance(value, list | tuple) else value


def _clean(text: str, config: QuestionsConfig) -> str:
    return (re.sub(config.without, "", text) if config.without else text).strip()


def _each_once(read: Sequence[_Read], dropped: Counter[str]) -> list[_Read]:
    """A question that is there twice once, and not at all where its answers differ; those without a
    group of their own share one with the questions of the same passage."""
    answers: dict[tuple[str, ...], set[str]] = {}
    for one in read:
        answers.setdefault(_key(one.question), set()).add(one.question.right)
    found: dict[tuple[str, ...], _Read] = {}
    heads: dict[str, str] = {}
    for one in read:
        key = _key(one.question)
        if len(answers[key]) > 1:
            dropped["the same question with two answers"] += 1
        elif key in found:
            dropped["repeated question"] += 1
        else:
            # A group is named by its first member: a passage is too long for a name.
            head = heads.setdefault(one.question.group or one.question.id, one.question.id)
            found[key] = replace(one, question=replace(one.question, group=head))
    return list(found.values())


def _key(question: Question) -> tuple[str, ...]:
    texts = (question.passage, question.text, *sorted(question.options))
    return tuple(same_text(text) for text in texts)

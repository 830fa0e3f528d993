"""A judge that is asked after what was said, beside one that is asked before it.

    python benchmarks/judge_order.py --model qwen2.5-coder-0.5b --dtype bfloat16

The debates are scripted: each side says its answer and quotes a sentence of the passage, the one
that proves the right answer or one that gives the other. Both quotes are verified, so that who
reads them for what they are about is right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import click
import numpy as np
import torch

from timing import machine
from toprope.models.local import LocalModel
from toprope.models.placement import dtype_named
from toprope.progress import Progress
from toprope.techniques.debate import judges
from toprope.techniques.debate.measures import judging
from toprope.techniques.debate.measures.positions import debiased
from toprope.techniques.debate.passages.generate import PassageSettings, passages
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.sets import QuestionSet
from toprope.techniques.debate.transcript import Seating, Transcript, Turn, rotations

CASE = "Question: {{question}}"


@click.command()
@click.option("--model", "name", default="smollm2-135m", show_default=True)
@click.option("--dtype", default="float32", show_default=True)
@click.option("--questions", "many", default=60, show_default=True)
@click.option("--seed", default=1, show_default=True, help="Of the passages.")
@click.option("--threads", default=2, show_default=True)
def main(name: str, dtype: str, many: int, seed: int, threads: int) -> None:
    """Prints the accuracy of both, by letters and by the answers' words."""
    torch.set_num_threads(threads)
    model = LocalModel.load(name, dtype=dtype_named(dtype), device="cpu")
    found = passages(PassageSettings(size=many, words=200, difficulty=(1,)), seed=seed)
    usual = judges._open_prompt
    orders = {"asked last": usual, "asked first": _asked_first(usual)}
    progress = Progress()
    for by in judges.ASKED:
        for order, form in orders.items():
            judges._open_prompt = form
            heard = asyncio.run(_heard(judges.LocalJudge(model, by), found, progress))
            rng = np.random.default_rng(0)
            accuracy = judging.accuracy(heard, rng=rng)
            apart = judging.accuracy(debiased(heard), rng=rng)
            click.echo(f"by {by}, {order}: {accuracy}, apart from places {apart}")
    click.echo(machine())


def _asked_first(usual: Callable[..., str]) -> Callable[..., str]:
    """The same parts, with the question and its answers before everything else."""

    def form(asked: judges.Asked, *, passage: bool, heard: str) -> str:
        text = usual(asked, passage=passage, heard=heard)
        case, ask = text.index(CASE), text.rindex("\n\n")
        return f"{text[case:ask]}\n\n{text[:case].rstrip()}{text[ask:]}"

    return form


async def _heard(
    judge: judges.LocalJudge, found: QuestionSet, progress: Progress
) -> list[Transcript]:
    cases = [(one, seating) for one in found.questions for seating in rotations(one)]
    with progress.task(f"{judge.name} by {judge.by}", len(cases)) as task:

        async def one(question: Question, seating: Seating) -> Transcript:
            turns = tuple(_turn(found, question, seating, option) for option in seating.speaks)
            verdict = await judge(judges.Hearing(question.hidden(), seating, turns, 1))
            task.advance()
            return Transcript("scripted", question, seating, turns, (verdict,))

        return await asyncio.gather(*(one(*case) for case in cases))


def _turn(found: QuestionSet, question: Question, seating: Seating, option: int) -> Turn:
    about = found.about[question.id]
    told = about["proof"] if option == question.answer else about["misleading"]
    quote = next(text for text in told if question.options[option] in text)
    said = f"The answer is {question.options[option]}. <v_quote>{quote}</v_quote>"
    return Turn(f"Debater {seating.letter(option)}", "debater", said, option, verified=1)


if __name__ == "__main__":
    main()

"""The command line: `toprope COMMAND`.

This module lists the commands and loads none of them, so that `toprope --help` is quick: each lives
in a module of its own, imported when it's asked for.
"""

import click

from toprope.cli.group import Lazy, LazyGroup

COMMANDS = {
    "debate": Lazy(
        "Studies", "toprope.cli.debate:debate", "Does a debate help a weaker judge? Also on images."
    ),
    "climb": Lazy(
        "Runs", "toprope.cli.climb:climb", "Run the studies of a ladder; write a report."
    ),
    "evidence": Lazy(
        "Runs", "toprope.cli.results:evidence", "Print or export what a run measured."
    ),
    "report": Lazy("Runs", "toprope.cli.results:report", "Write a run's report again."),
    "findings": Lazy(
        "Runs", "toprope.cli.findings:findings", "List or replay what red-teaming found."
    ),
    "guard": Lazy("Models and data", "toprope.cli.guard:guard", "Make a guard for a model."),
    "features": Lazy(
        "Models and data",
        "toprope.cli.features:features",
        "Find out what a model thinks in; label it.",
    ),
    "judges": Lazy(
        "Models and data", "toprope.cli.judges:judges", "Check judges against people; train one."
    ),
    "models": Lazy("Models and data", "toprope.cli.models:models", "List, fetch or remove models."),
    "serve": Lazy(
        "Models and data", "toprope.cli.serve:serve", "Serve a local model to other programs."
    ),
    "data": Lazy("Models and data", "toprope.cli.data:data", "List datasets, or look into one."),
}

STUDY_COMMANDS = {
    "interpretability": "What does a model think in? Labels the features of its states.",
    "redteam": "How does a model fail? Attacks it, and measures how often it does.",
    "safeguards": "How well does a guard hold? Trains one, and attacks it afresh.",
    "weak-to-strong": "Can a weak model's labels bring out what a stronger model knows?",
}
"""Studies of `toprope.study.STUDIES` by command: what each asks, in a line."""

IN_GROUPS = {
    "debate": (
        "debate",
        "text",
        "Which protocols help a judge that can't read the passage?",
    ),
    "self_play": (
        "debate",
        "self-play",
        "Do debaters that are trained to win make their judge more accurate?",
    ),
    "sparse_mnist": (
        "debate",
        "mnist",
        "Does debate help a judge that sees a few pixels of a digit?",
    ),
}
"""The other studies: the group of commands that each is in, its name there, and what it asks."""


@click.group(cls=LazyGroup, name="toprope", commands_by_name=COMMANDS, studies=STUDY_COMMANDS)
@click.version_option(package_name="toprope", message="toprope %(version)s")
def main() -> None:
    """Measure whether a weaker or more trusted model, the overseer, can oversee a stronger one, the
    target.

    Every study ends as evidence: numbers with their intervals, their controls and their cost, in
    a run's folder, runs/NAME, with a report that a person can read. A run that was stopped goes on
    when the same command is given again.

    \b
    toprope climb examples/quickstart.yaml
    toprope weak-to-strong --weak smollm2-135m --strong qwen2.5-coder-0.5b --data cities
    toprope evidence runs/quickstart --format csv
    """

"""`toprope features ...`: dictionaries of a model's states: make them, label and score their
latents, look into them, use them, and hand them to other tools."""

import click

from toprope.cli.features.handing import export, import_, review
from toprope.cli.features.looking import info, search, show
from toprope.cli.features.making import label, score, train
from toprope.cli.features.measuring import absorption, plan, probe
from toprope.cli.features.using import attribute, contrast, steer
from toprope.cli.group import Group


class InOrder(Group):
    """A group whose help lists its commands in the order in which one needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InOrder)
def features() -> None:
    """Find out what a model thinks in: features of its states, with labels that were scored.

    A folder of features holds a model's states on some texts, the dictionaries trained on them, and
    what was found of their latents. 'toprope interpretability' does all of it as a study, with its
    controls, and leaves such a folder among the run's artifacts.

    \b
    toprope features train my-features --target smollm2-135m --texts mixed
    toprope features label my-features
    toprope features search my-features "legal language"
    toprope features show my-features
    """


for command in (
    *(train, info, label, score, search, show),
    *(contrast, steer, attribute, probe, absorption),
    *(review, export, import_, plan),
):
    features.add_command(command)

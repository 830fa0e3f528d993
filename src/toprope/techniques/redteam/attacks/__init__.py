"""The attacks, by family. A campaign's arms are the members of the families that it's given."""

from collections.abc import Sequence
from pathlib import Path

from toprope.errors import UserError, unknown
from toprope.techniques.redteam.attacks import evasions, persuasion, pyrit, templated
from toprope.techniques.redteam.attacks.attack import Attack
from toprope.techniques.redteam.attacks.best_of_n import BestOfN
from toprope.techniques.redteam.attacks.crescendo import Crescendo
from toprope.techniques.redteam.attacks.direct import Direct
from toprope.techniques.redteam.attacks.encodings import ENCODINGS
from toprope.techniques.redteam.attacks.gcg import Gcg
from toprope.techniques.redteam.attacks.many_shot import ManyShot
from toprope.techniques.redteam.attacks.pair import Pair
from toprope.techniques.redteam.attacks.prefill import PREFILLS
from toprope.techniques.redteam.attacks.tap import Tap

TEMPLATES = (
    "prefix_injection",
    "refusal_suppression",
    "persona",
    "fiction",
    "write_as_code",
    "few_turn_setup",
)
WITHOUT_A_MODEL = (*TEMPLATES, "encoding", "best_of_n", "many_shot", "prefill")
WITH_A_MODEL = ("pair", "tap", "crescendo", "persuasion")
AGAINST_A_FILTER = ("reconstruction", "output_encoding")
FAMILIES = (*WITHOUT_A_MODEL, *AGAINST_A_FILTER, *WITH_A_MODEL, "gcg", "in_the_wild", "pyrit")
SHOTS = (4, 16)


def known(families: Sequence[str]) -> None:
    """
    Raises:
        ValueError: one of them is no family.
    """
    for family in families:
        if family not in FAMILIES:
            raise ValueError(str(unknown("attack", family, FAMILIES)))


def arms(
    families: Sequence[str],
    *,
    templates: str | None = None,
    techniques: str | None = None,
    root: Path | None = None,
) -> list[Attack]:
    """The attacks of some families, in their order.

    Args:
        templates: a file of templates, for `in_the_wild`.
        techniques: a file of techniques, for `persuasion`, in place of the built-in ones.
        root: what the files' paths are relative to.

    Raises:
        UserError: an unknown family, or a file that can't be used.
    """
    found: list[Attack] = []
    for family in dict.fromkeys(families):
        found += _family(family, templates, techniques, root or Path())
    return found


def _family(
    family: str, templates: str | None, techniques: str | None, root: Path
) -> Sequence[Attack]:
    if family in TEMPLATES:
        return templated.built_in()[family]
    if family in AGAINST_A_FILTER:
        return evasions.built_in()[family]
    if family == "in_the_wild":
        if not templates:
            raise UserError("the attack 'in_the_wild' needs a file: templates: PATH")
        return templated.from_file(templates, root=root)
    if family == "pyrit":
        return pyrit.converters()
    if family == "persuasion":
        if techniques:
            return persuasion.from_file(techniques, root=root)
        return persuasion.built_in()
    single = {
        "direct": [Direct()],
        "encoding": ENCODINGS,
        "best_of_n": [BestOfN()],
        "many_shot": [ManyShot(shots) for shots in SHOTS],
        "prefill": PREFILLS,
        "pair": [Pair()],
        "tap": [Tap()],
        "crescendo": [Crescendo()],
        "gcg": [Gcg()],
    }
    if family not in single:
        raise unknown("attack", family, FAMILIES)
    return single[family]

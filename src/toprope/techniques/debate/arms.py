"""The protocols by the names under which a study has them, and the games that these are.

`debate`, `consultancy`, ...; with `_best_of_N`, `_critique_of_N` or `_quotes_N` behind it, the same
game with debaters that choose what they say, such as `debate_best_of_4`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from toprope.errors import UserError, unknown
from toprope.techniques.debate.debaters import Debater
from toprope.techniques.debate.judges import Judge
from toprope.techniques.debate.protocols.best_of import BestOf, Persuasion
from toprope.techniques.debate.protocols.blind import Blind
from toprope.techniques.debate.protocols.consultancy import Consultancy
from toprope.techniques.debate.protocols.critique import Critique
from toprope.techniques.debate.protocols.critique_of import CritiqueOf
from toprope.techniques.debate.protocols.cross_examination import CrossExamination
from toprope.techniques.debate.protocols.debate import Debate
from toprope.techniques.debate.protocols.expert import Expert
from toprope.techniques.debate.protocols.propaganda import Propaganda
from toprope.techniques.debate.protocols.prover_estimator import ProverEstimator
from toprope.techniques.debate.protocols.quoting import Quoting
from toprope.techniques.debate.protocols.stage import Game

BLIND, EXPERT = "blind", "expert"
CONTROLS = (BLIND, EXPERT)
"""Arms in which nobody argues: the floor and the ceiling."""

Asks = Literal["never", "may", "always"]


@dataclass(frozen=True)
class Rules:
    """Settings that protocols share; each takes those that it knows.

    Attributes:
        depth, width: of prover-estimator.
    """

    rounds: int = 2
    order: Literal["simultaneous", "sequential"] = "simultaneous"
    bets: bool = False
    each_round: bool = False
    depth: int = 2
    width: int = 3


@dataclass(frozen=True)
class Kind:
    """A protocol, as users name it.

    Attributes:
        about: a sentence.
        source: who described it.
        make: the game.
        turns: the most turns that a judge reads, from the rules and the number of options.
        asks: whether the judge asks questions.
        checks: whether an overseer checks steps.
    """

    about: str
    source: str
    make: Callable[[Rules], Game]
    turns: Callable[[Rules, int], int] = lambda rules, options: 0
    asks: Asks = "never"
    checks: bool = False


def _debate(role: Literal["assigned", "open"]) -> Callable[[Rules], Game]:
    return lambda r: Debate(r.rounds, r.order, role, r.bets, r.each_round)


def _consultancy(role: Literal["assigned", "open"]) -> Callable[[Rules], Game]:
    return lambda r: Consultancy(r.rounds, role, r.each_round)


KINDS: Mapping[str, Kind] = {
    BLIND: Kind(
        "The judge answers alone, without the passage: the floor.",
        "Khan et al. 2024, arXiv 2402.06782 (naive)",
        lambda r: Blind(),
    ),
    EXPERT: Kind(
        "The judge reads the passage itself: the ceiling.",
        "Khan et al. 2024, arXiv 2402.06782",
        lambda r: Expert(),
    ),
    "propaganda": Kind(
        "One side speaks once, and nobody answers it.",
        "Pallavi Sudhir et al. 2025, arXiv 2504.03731",
        lambda r: Propaganda(),
        lambda r, n: 1,
    ),
    "consultancy": Kind(
        "One consultant argues for an answer that it is assigned, each in turn.",
        "Michael et al. 2023, arXiv 2311.08702",
        _consultancy("assigned"),
        lambda r, n: 2 * r.rounds - 1,
        asks="may",
    ),
    "open_consultancy": Kind(
        "One consultant argues for the answer that it chooses.",
        "Kenton et al. 2024, arXiv 2407.04622",
        _consultancy("open"),
        lambda r, n: 2 * r.rounds - 1,
        asks="may",
    ),
    "debate": Kind(
        "Each answer has a debater, and the judge decides between them.",
        "Irving et al. 2018, arXiv 1805.00899; on text Khan et al. 2024, arXiv 2402.06782",
        _debate("assigned"),
        lambda r, n: n * r.rounds,
    ),
    "open_debate": Kind(
        "One debater chooses the answer that it argues for, and is opposed on it.",
        "Kenton et al. 2024, arXiv 2407.04622",
        _debate("open"),
        lambda r, n: n * r.rounds,
    ),
    "critique": Kind(
        "One side argues, and a critic says once what is wrong with it.",
        "Saunders et al. 2022, arXiv 2206.05802",
        lambda r: Critique(),
        lambda r, n: 2,
    ),
    "cross_examination": Kind(
        "A debate in which the judge asks each debater, and each answers.",
        "Barnes and Christiano 2020; Michael et al. 2023, arXiv 2311.08702",
        lambda r: CrossExamination(max(2, r.rounds)),
        lambda r, n: n * (2 * max(2, r.rounds) - 1),
        asks="always",
    ),
    "prover_estimator": Kind(
        "A claim is broken into smaller ones, whose probabilities are estimated and checked.",
        "Brown-Cohen et al. 2025, arXiv 2506.13609",
        lambda r: ProverEstimator(r.depth, r.width),
        lambda r, n: 5 * r.depth + 3,
        checks=True,
    ),
}
"""Name -> what it is, in the order in which studies and lists have them."""

OPPOSED = ("debate", "open_debate", "cross_examination")
"""Kinds in which several speak for answers, in an order."""

VARIANTS: Mapping[str, tuple[str, str]] = {
    "best_of": (
        "Each speech is the most persuasive of N; behind a protocol's name, as debate_best_of_4.",
        "Khan et al. 2024, arXiv 2402.06782",
    ),
    "critique_of": (
        "Each speech is mended after N critiques, and the most persuasive of these and the draft "
        "said; as debate_critique_of_2.",
        "Khan et al. 2024, arXiv 2402.06782",
    ),
    "quotes": (
        "Each speech is the N sentences of the passage that most support its answer, as the "
        "debater's model reads each alone; as debate_quotes_1.",
        "Perez et al. 2019, arXiv 1909.05863",
    ),
}

VARIANT = rf"({'|'.join(VARIANTS)})_(\d+)"
"""How a variant is written, with its number."""

RATED = ("best_of", "critique_of")
"""Variants that say what a rater finds most persuasive."""

WITHOUT_SPEECHES = (*CONTROLS, "prover_estimator")
"""Kinds of which there are no variants."""


@dataclass(frozen=True)
class Arm:
    """A protocol of a study.

    Attributes:
        name: as the user wrote it.
        kind: of `KINDS`.
        variant: of `VARIANTS`; "": debaters say the first thing that comes.
        n: of the variant.
    """

    name: str
    kind: str
    game: Game
    variant: str = ""
    n: int = 1

    @property
    def is_control(self) -> bool:
        return self.kind in CONTROLS

    @property
    def about(self) -> Kind:
        return KINDS[self.kind]

    @property
    def is_rated(self) -> bool:
        """Whether somebody says which of several speeches is the most persuasive."""
        return self.variant in RATED

    @property
    def is_quoting(self) -> bool:
        """Whether debaters say sentences of the passage."""
        return self.variant == "quotes"

    def debater(self, plain: Debater, rater: Judge, reader: Judge | None) -> Debater:
        """Who debates in it.

        Args:
            rater: who says which of several speeches is best.
            reader: who says which sentences support an answer, where speeches are quotes.
        """
        match self.variant:
            case "best_of":
                return BestOf(plain, Persuasion(rater), self.n)
            case "critique_of":
                return CritiqueOf(plain, Persuasion(rater), self.n)
            case "quotes":
                assert reader is not None
                return Quoting(plain, reader, self.n)
            case _:
                return plain


def arms(names: Sequence[str], rules: Rules) -> list[Arm]:
    """The arms of these names, in their order.

    Raises:
        UserError: an unknown name, a repeated one, a variant of a protocol without speeches, or of
            too few.
    """
    found: dict[str, Arm] = {}
    for name in names:
        if name in found:
            raise UserError(f"the protocol '{name}' is there twice")
        found[name] = _arm(name, rules)
    return list(found.values())


def _arm(name: str, rules: Rules) -> Arm:
    kind, variant, n = name, "", 1
    if parts := re.fullmatch(rf"(\w+?)_{VARIANT}", name):
        kind, variant, n = parts[1], parts[2], int(parts[3])
    if kind not in KINDS:
        raise unknown("protocol", name, [*KINDS, *(f"debate_{one}_4" for one in VARIANTS)])
    if variant and kind in WITHOUT_SPEECHES:
        raise UserError(f"'{name}': nobody makes a speech in {kind}, of which there could be {n}")
    if variant == "best_of" and n < 2:
        raise UserError(
            f"'{name}': the best of {n} is the protocol '{kind}' itself: give 2 or more"
        )
    if variant and n < 1:
        what = "critique" if variant == "critique_of" else "quote"
        raise UserError(f"'{name}': give 1 {what} or more")
    return Arm(name, kind, KINDS[kind].make(rules), variant, n)


def counterpart(headline: Arm, among: Sequence[Arm]) -> Arm | None:
    """The consultancy that an arm is held against: as open, and with the same variant, if there's
    one; None: there is no other consultancy."""
    others = [one for one in among if "consultancy" in one.kind and one.name != headline.name]

    def likeness(other: Arm) -> tuple[bool, bool]:
        is_open = headline.kind.startswith("open"), other.kind.startswith("open")
        return is_open[0] == is_open[1], (headline.variant, headline.n) == (other.variant, other.n)

    return max(others, key=likeness, default=None)

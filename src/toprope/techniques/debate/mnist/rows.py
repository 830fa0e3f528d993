"""A row of evidence of the sparse MNIST study; and which rows and files the study leaves.

Rows, study "sparse_mnist". `overseer` is the kind of judge ("strided judge"), `target` is
"debaters". Values are means over judges and images; `n` counts judges, and `unit` is "judges":
images are resampled too, as the notes say. With one judge, or where all scores are alike, n counts
images, and `unit` is "images". *: role "result"; the others are diagnostics but where it's said.

Arm "K_pixels_RULES": games by tree search, K pixels revealed in each. RULES are
precommitted_liar_first, precommitted_liar_second, free_liar_first, free_liar_second, those that the
settings ask for, in this order (`arms.Arm.named` takes a name apart).

    accuracy *             how often the judge sides with the truth: with precommitment an image
                           counts as won by the worst of the nine lies. controls: random_pixels;
                           cost: seconds of one core
    gain_over_random *     over the same judges on random pixels, paired by image and judge
    gain_over_free *       precommitted arms: over the free arm in the same order, paired; controls:
                           free
    gain_over_liar_second *  liar_first arms: over the same games with the liar second, paired;
                           controls: liar_second
    honest_win_rate        of single games, one lie each, the truth's
    seed_S_accuracy        before judge S (from 0); unit "images"

    baseline, of accuracy and gain_over_random: the published figure with precommitment. It stands
    at precommitted_liar_first alone, for 4 and 6 pixels.

Arm "K_pixels_random", role "control": the judges on random non-zero pixels.

    accuracy               baseline: the published figure, for 4 and 6 pixels
    seed_S_accuracy        a diagnostic

Arm "K_pixels_RULES_by_agents": the same games, played by agents that were trained on other images.

    accuracy *             controls: random_pixels, untrained (agents), search
    gain_over_random *, gain_over_untrained *
    gain_over_search       mostly below zero: what the agents haven't learned
    honest_win_rate, seed_S_accuracy

Arm "K_pixels_RULES_by_untrained_agents", role "control": accuracy.

Arm "headline": the arm that the conclusion is about, named in the notes: precommitted, the liar
first, and the most pixels, of those that there are. A note says how it stands to the publication.

    accuracy *, gain_over_random *     as that arm's

Files, in the run's `artifacts/sparse_mnist` (`gallery.summaries` and `gallery.games` read them):

    XXXXXXXX/summary.json  for each study: overseer, dataset, settings, config_hash, seed, headline
                           (an arm's name), judges (K -> a list of seed, folder, random_accuracy),
                           agents (K -> by judge: folder, and losses by round), and arms: name ->
                           pixels, rules, by, accuracy, games, won (games), seconds, scores (by
                           judge: what the truth got of each image, in the images' order)
    XXXXXXXX/games.json    arm -> games to look at, as `records.GameRecord`: some that the truth
                           won, then some that it lost; with precommitment the liar's best of nine.
                           `report.mnist_game.game_picture` draws one
    judges/KEY/, agents/KEY/   networks, which other studies of the run share
    journal.jsonl          games as they came, from which a killed study goes on
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from toprope.evidence import Cost, Evidence, interval_fields
from toprope.statistics import Interval, bootstrap_clustered
from toprope.techniques.debate.mnist.arms import Arm, headline
from toprope.techniques.debate.mnist.contest import Outcome
from toprope.techniques.debate.mnist.game import Rules
from toprope.techniques.debate.mnist.measuring import Scores, gain_of, interval_of, unit_of
from toprope.techniques.debate.mnist.playing import Played

PUBLISHED = {4: (0.482, 0.852), 6: (0.594, 0.889)}
"""Pixels -> the judge's accuracy on random pixels, and by debate with precommitment (Irving,
Christiano and Amodei 2018, section 3.1). The order of play isn't said with them."""


@dataclass(frozen=True)
class Measures:
    """What was played, as evidence.

    Attributes:
        arms: of the study, in order.
        fields: that all rows share.
        training: images that the judges learned from.
        rng: a generator for a name.
    """

    outcome: Outcome
    arms: list[Arm]
    fields: Mapping[str, Any]
    training: int
    rng: Callable[..., np.random.Generator]
    resamples: int

    def evidence(self) -> Iterator[Evidence]:
        for arm in self.arms:
            yield from self._of_arm(arm)
        yield from self._headline()

    @cached_property
    def scores(self) -> dict[Arm, Scores]:
        """[S, N] by arm: what the truth got of each image before each judge."""
        return {arm: self._scores(arm) for arm in self.arms}

    def played(self, arm: Arm) -> list[Played]:
        """The games before each judge, of all rules."""
        return self.outcome.played[arm.pixels, arm.by]

    def games(self, arm: Arm) -> tuple[int, int]:
        """(how many single games, how many the truth won)."""
        wins = [self._wins(played, arm) for played in self.played(arm)]
        return sum(map(len, wins)), int(sum(map(np.sum, wins)))

    def seconds(self, arm: Arm) -> float:
        """Of one core."""
        number = self._number(arm, self.played(arm)[0])
        return self.outcome.seconds[arm.pixels, arm.by, number]

    # --- rows ---

    def _of_arm(self, arm: Arm) -> Iterator[Evidence]:
        yield self._accuracy(arm)
        if arm.by in ("search", "agents"):
            yield from self._gains(arm)
            wins_SN = np.stack([self._share_of_games(one, arm) for one in self.played(arm)])
            interval = interval_of(wins_SN, rng=self._rng(arm, "games"), resamples=self.resamples)
            yield self._row(arm.name, "honest_win_rate", interval)
        if arm.by != "untrained_agents":
            for seed, score_N in enumerate(self.scores[arm]):
                rng = self._rng(arm, "seed", seed)
                images_N = np.arange(len(score_N))
                interval = bootstrap_clustered(score_N, images_N, rng=rng, resamples=self.resamples)
                yield self._row(arm.name, f"seed_{seed}_accuracy", interval)

    def _accuracy(self, arm: Arm, name: str = "", notes: str = "") -> Evidence:
        score_SN = self.scores[arm]
        interval = interval_of(score_SN, rng=self._rng(arm), resamples=self.resamples)
        controls = {}
        if arm.by in ("search", "agents"):
            controls["random_pixels"] = self._mean(self._random(arm))
        if arm.by == "agents":
            controls["untrained"] = self._mean(Arm(arm.pixels, arm.rules, "untrained_agents"))
            controls["search"] = self._mean(Arm(arm.pixels, arm.rules, "search"))
        learned = "" if arm.rules else f"The judges learned from {self.training:,} images."
        return self._row(
            name or arm.name,
            "accuracy",
            interval,
            role="result" if controls else "control",
            controls=controls,
            baseline=_published(arm),
            cost=Cost(seconds=self.seconds(arm)),
            notes=" ".join(filter(None, (notes, learned, _resampled(interval, score_SN)))),
        )

    def _gains(self, arm: Arm) -> Iterator[Evidence]:
        yield self._gain(arm, "gain_over_random", "random_pixels", self._random(arm))
        rules = arm.rules
        if rules is None:
            return
        if arm.by == "agents":
            untrained = Arm(arm.pixels, rules, "untrained_agents")
            search = Arm(arm.pixels, rules, "search")
            yield self._gain(arm, "gain_over_untrained", "untrained", untrained)
            yield self._gain(arm, "gain_over_search", "search", search, role="diagnostic")
            return
        free = Arm(arm.pixels, Rules(precommit=False, liar_first=rules.liar_first), arm.by)
        second = Arm(arm.pixels, Rules(precommit=rules.precommit, liar_first=False), arm.by)
        if rules.precommit and free in self.scores:
            yield self._gain(arm, "gain_over_free", "free", free)
        if rules.liar_first and second in self.scores:
            yield self._gain(arm, "gain_over_liar_second", "liar_second", second)

    def _gain(
        self,
        arm: Arm,
        metric: str,
        control: str,
        other: Arm,
        *,
        role: str = "result",
        name: str = "",
        notes: str = "",
    ) -> Evidence:
        interval = gain_of(
            self.scores[arm],
            self.scores[other],
            rng=self._rng(arm, metric),
            resamples=self.resamples,
        )
        debated, alone = _published(arm), _published(other)
        baseline = None
        if metric == "gain_over_random" and debated is not None and alone is not None:
            baseline = round(debated - alone, 3)
        return self._row(
            name or arm.name,
            metric,
            interval,
            role=role,
            controls={control: self._mean(other)},
            baseline=baseline,
            notes=notes,
        )

    def _headline(self) -> Iterator[Evidence]:
        arm = headline(self.arms)
        notes = f"{arm.name}: {self._beside_publication(arm)}"
        yield self._accuracy(arm, "headline", notes)
        random = self._random(arm)
        yield self._gain(
            arm, "gain_over_random", "random_pixels", random, name="headline", notes=notes
        )

    def _beside_publication(self, arm: Arm) -> str:
        published = _published(arm)
        if published is None:
            return "there is no published figure for it."
        interval = interval_of(self.scores[arm], rng=self._rng(arm), resamples=self.resamples)
        if interval.low > published:
            return f"above the published {published:.1%}."
        if interval.high < published:
            return f"below the published {published:.1%}."
        return f"the published {published:.1%} is within its interval."

    def _row(
        self,
        arm: str,
        metric: str,
        interval: Interval,
        *,
        role: str = "diagnostic",
        controls: Mapping[str, float] | None = None,
        baseline: float | None = None,
        cost: Cost | None = None,
        notes: str = "",
    ) -> Evidence:
        return Evidence.model_validate(
            {
                **self.fields,
                **interval_fields(interval),
                "arm": arm,
                "metric": metric,
                "role": role,
                "controls": dict(controls or {}),
                "baseline": baseline,
                "better": "higher",
                "unit": unit_of(interval),
                "cost": cost or Cost(),
                "notes": notes,
            }
        )

    # --- what they are made of ---

    def _scores(self, arm: Arm) -> Scores:
        return np.stack(
            [one.by_image(one.rules[self._number(arm, one)]) for one in self.played(arm)]
        )

    def _number(self, arm: Arm, played: Played) -> int:
        return 0 if arm.rules is None else played.rules.index(arm.rules)

    def _wins(self, played: Played, arm: Arm) -> np.ndarray:
        return played.wins_G[played.games.rules_G == self._number(arm, played)]

    def _share_of_games(self, played: Played, arm: Arm) -> np.ndarray:
        """[N], of an image's single games, those that the truth won."""
        return self._wins(played, arm).reshape(len(played.games.boards), -1).mean(axis=1)

    def _random(self, arm: Arm) -> Arm:
        return Arm(arm.pixels, None, "random")

    def _mean(self, arm: Arm) -> float:
        return float(self.scores[arm].mean())

    def _rng(self, arm: Arm, *names: str | int) -> np.random.Generator:
        return self.rng(arm.name, *names)


def _published(arm: Arm) -> float | None:
    if arm.pixels not in PUBLISHED:
        return None
    random, debated = PUBLISHED[arm.pixels]
    if arm.by == "random":
        return random
    is_theirs = arm.by == "search" and arm.rules == Rules(precommit=True, liar_first=True)
    return debated if is_theirs else None


def _resampled(interval: Interval, score_SN: Scores) -> str:
    judges, images = score_SN.shape
    if unit_of(interval) == "judges":
        return f"{judges} judges and {images} images are resampled."
    if judges == 1:
        return f"{images} images are resampled, and the judge is one: others may differ."
    return f"All scores of {judges} judges and {images} images are alike."

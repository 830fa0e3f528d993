"""Whether more persuasive debaters make a more accurate judge: the slope of one over the other.

Khan et al. 2024 (arXiv 2402.06782): in debate accuracy rises with persuasiveness, in
consultancy it falls. Each point is one setting of the debaters (a model, an N of best-of-N).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from toprope.errors import UserError
from toprope.resampling import Floats, draws, expanded_percentile, unit_codes
from toprope.statistics import LEVEL, RESAMPLES, Interval
from toprope.techniques.debate.measures.gaps import paired
from toprope.techniques.debate.transcript import Transcript


def slope(
    settings: Mapping[str, Sequence[Transcript]],
    persuasiveness: Mapping[str, float],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Interval:
    """The least-squares slope of judge accuracy over persuasiveness.

    The interval is over new questions: whole groups are drawn, the same for every setting. The
    persuasiveness of each setting, such as its Elo rating, is taken as it is.

    Args:
        settings: each with its transcripts, on the same questions.
        persuasiveness: of each, in any unit; the slope is in accuracy per unit.

    Raises:
        UserError: fewer than two settings, or all equally persuasive.
    """
    pairs = paired(settings)
    x_A = np.array([persuasiveness[name] for name in pairs.arms], float)
    if len(x_A) < 2 or not np.isfinite(x_A).all() or np.ptp(x_A) == 0:
        raise UserError(
            "a slope needs debaters of two or more different (and finite) persuasivenesses"
        )
    codes_N, n = unit_codes(pairs.units, len(pairs.units))
    sums_AG = np.stack([np.bincount(codes_N, weights=one_N) for one_N in pairs.accuracies_AN])
    counts_G = np.bincount(codes_N).astype(float)

    def slopes(accuracies_RA: Floats) -> Floats:
        away_A = x_A - x_A.mean()
        return accuracies_RA @ away_A / (away_A @ away_A)

    value = float(slopes(pairs.accuracies_AN.mean(1)[None]).item())
    slopes_R = np.concatenate(
        [
            slopes((w_RG @ sums_AG.T) / (w_RG @ counts_G)[:, None])
            for w_RG in draws(n, resamples, rng)
        ]
    )
    low, high = expanded_percentile(slopes_R, LEVEL, n - 1)
    return Interval(value, low, high, LEVEL, n, "clustered bootstrap of a slope")

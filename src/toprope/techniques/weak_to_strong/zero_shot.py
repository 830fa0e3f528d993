"""The strong model asked as it is: the likelier of the answers as the prompt's next words.

A small model often leans to one answer whatever the question. Batch calibration (Zhou et al. 2023,
arXiv 2309.17249) divides that out: it needs unlabelled questions, and no training.
"""

import numpy as np


def calibrated(probs_NC: np.ndarray) -> np.ndarray:
    """Each answer's probability over its mean probability in the batch, normalised, [N, C]."""
    weighed_NC = probs_NC / probs_NC.mean(0)
    return weighed_NC / weighed_NC.sum(1, keepdims=True)

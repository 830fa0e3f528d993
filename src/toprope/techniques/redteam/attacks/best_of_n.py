"""Best-of-N jailbreaking (Hughes et al. 2024, arXiv 2412.03556): the request again and again, each
time with other random noise, sampled at temperature 1.

The noise is that of the paper's section 2 for text: letters within words scrambled, capitals at
random, characters shifted by one in ASCII.
"""

from collections.abc import AsyncGenerator

import numpy as np

from toprope.techniques.redteam.attempts import Attempt, Case, user

SCRAMBLED = 0.6
CAPITAL = 0.6
SHIFTED = 0.06


class BestOfN:
    family = "best_of_n"
    name = "best_of_n"
    needs_attacker = False
    needs_insides = False

    async def search(self, case: Case) -> AsyncGenerator[Attempt, None]:
        while True:
            text = noisy(case.behaviour.request, case.rng)
            seed = int(case.rng.integers(2**31))
            yield await case.attempt(user(text), temperature=1.0, seed=seed)


def noisy(text: str, rng: np.random.Generator, strength: float = 1.0) -> str:
    """The text with the paper's three kinds of noise.

    Args:
        strength: of the paper's rates, the share that is used.
    """
    words = [
        _scrambled(word, rng) if rng.random() < SCRAMBLED * strength else word
        for word in text.split(" ")
    ]
    letters = [_shifted(_cased(one, rng, strength), rng, strength) for one in " ".join(words)]
    return "".join(letters)


def _scrambled(word: str, rng: np.random.Generator) -> str:
    """Its inner letters in another order; words of up to three letters stay."""
    if len(word) < 4:
        return word
    return word[0] + "".join(rng.permutation(list(word[1:-1]))) + word[-1]


def _cased(letter: str, rng: np.random.Generator, strength: float) -> str:
    changes = letter.isalpha() and rng.random() < CAPITAL / 2 * strength
    return letter.swapcase() if changes else letter


def _shifted(letter: str, rng: np.random.Generator, strength: float) -> str:
    if not 32 < ord(letter) < 126 or rng.random() >= SHIFTED * strength:
        return letter
    return chr(ord(letter) + int(rng.choice([-1, 1])))

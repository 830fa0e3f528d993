"""What is random in a search, as functions of where it happens: at each node, its own random order
of the actions.

Ties in a search are broken at random (Irving, Christiano and Amodei 2018, section 3.1). Here each
node has a key, a hash of the game's seed, the image and the pixels revealed up to it, in order; the
key gives the node's order, and of equally good actions the first in that order is taken. So what
is drawn doesn't depend on how searches are interleaved, and games of one image that stand at the
same place share their sets of pixels.

Shapes: X nodes, D pixels revealed at a node, M slots, L sets, K pixels of a game.
"""

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_STEP = np.uint64(0xD1B54A32D192ED03)
_LAST = np.uint64(0xFFFFFFFFFFFFFFFF)


def mixed(x: Keys) -> Keys:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def game_keys(image_keys_X: Keys, seeds_X: NDArray[np.int64]) -> Keys:
    """The keys of games' first nodes, of images' keys and seeds."""
    return mixed(image_keys_X + mixed(seeds_X.astype(np.uint64) * _GOLDEN + _STEP))


def child_keys(keys_X: Keys, slots_X: NDArray[np.int64]) -> Keys:
    """The keys after one more pixel each."""
    return mixed(keys_X + (slots_X.astype(np.uint64) + np.uint64(1)) * _GOLDEN)


def first_actions(
    keys_X: Keys, count_X: NDArray[np.int64], revealed_XD: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The first slot in the order of each node, by itself: any unrevealed one equally likely."""
    left_X = (count_X - revealed_XD.shape[1]).astype(np.uint64)
    slots_X = (((keys_X >> np.uint64(32)) * left_X) >> np.uint64(32)).astype(np.int64)
    # From its number among the unrevealed to its number among all.
    sorted_XD = np.sort(revealed_XD, axis=1)
    for d in range(revealed_XD.shape[1]):
        slots_X += slots_X >= sorted_XD[:, d]
    return slots_X


def orders(
    keys_X: Keys, count_X: NDArray[np.int64], revealed_XD: NDArray[np.int64], width: int
) -> NDArray[np.int16]:
    """The order of each node's actions, [X, M] slots; revealed and missing slots come last.

    Args:
        count_X: how many slots the node's board has.
        width: M.
    """
    rows_X = np.arange(len(keys_X))
    slots_M = np.arange(width)
    priority_XM = mixed(keys_X[:, None] + (slots_M.astype(np.uint64) + np.uint64(1)) * _STEP)
    priority_XM[rows_X, first_actions(keys_X, count_X, revealed_XD)] = 0
    priority_XM[slots_M >= count_X[:, None]] = _LAST
    priority_XM[rows_X[:, None], revealed_XD] = _LAST
    return priority_XM.argsort(axis=1).astype(np.int16)


def completed(
    keys_L: Keys, count_L: NDArray[np.int64], revealed_LD: NDArray[np.int64], pixels: int
) -> NDArray[np.int64]:
    """The ends of games [L, K] in which every further action is the first in its node's order.

    Args:
        keys_L: of the nodes at which `revealed_LD` is revealed.
    """
    slots_LK = np.empty((len(keys_L), pixels), dtype=np.int64)
    depth = revealed_LD.shape[1]
    slots_LK[:, :depth] = revealed_LD
    for d in range(depth, pixels):
        slots_LK[:, d] = first_actions(keys_L, count_L, slots_LK[:, :d])
        keys_L = child_keys(keys_L, slots_LK[:, d])
    return slots_LK

"""Prompts that begin alike: which are grouped, and that reading them once changes no answer."""

import numpy as np
import pytest
import torch
from transformers import DynamicCache, MistralConfig, MistralForCausalLM

from toprope.models import shared_prefix
from toprope.models.generation import Request, StateWatch
from toprope.models.local import LocalModel
from toprope.models.shared_prefix import Group, groups, near_batches

from ..local_models import passes

pytestmark = pytest.mark.usefixtures("nothing_kept")

TEXT = "A weaker partner on the ground keeps a stronger climber safe on the rope. "
PASSAGES = (TEXT * 4, "The tower was built in 1889, and its architect lived nearby. " * 4)
PROMPTS = [
    *(f"{passage}{end}" for end in ("Who fell?", "Why was it so?", "No") for passage in PASSAGES),
    "Twelve plus",
    "The capital of France is a place that has nothing to do with the others",
]


def test_every_prompt_is_in_one_group_and_begins_as_it_says():
    rng = np.random.default_rng(0)
    prompts = [rng.integers(0, 2, size=rng.integers(1, 9)).tolist() for _ in range(60)]
    own = [1 + i % 3 for i in range(60)]
    own = [min(n, len(prompt)) for n, prompt in zip(own, prompts, strict=True)]
    found = groups(prompts, own)
    assert sorted(i for group in found for i in group.members) == list(range(60))
    assert any(len(group.members) > 2 for group in found)
    for group in found:
        first = prompts[group.members[0]][: group.shared]
        for i in group.members:
            assert prompts[i][: group.shared] == first
            assert len(prompts[i]) - group.shared >= own[i]


def test_what_saves_most_is_shared():
    """Two passages with two ends each; all four begin alike, for less."""
    a, b = [1] * 3 + [2] * 9, [1] * 3 + [3] * 9
    found = groups([[*a, 4], [*b, 4], [*a, 5], [*b, 5]])
    assert found == [Group([0, 2], 12), Group([1, 3], 12)]


def test_equal_prompts_keep_a_token_of_their_own():
    assert groups([[7, 8, 9]] * 3) == [Group([0, 1, 2], 2)]
    assert groups([[7]] * 2) == [Group([0], 0), Group([1], 0)]


def test_prompts_of_other_lengths_are_not_grouped_for_a_short_beginning():
    found = groups([[1, 1, *range(100, 200)], [1, 1, 2]])
    assert [group.shared for group in found] == [0, 0]


def test_batches_hold_all_within_the_budget_and_alike_beside_each_other():
    rng = np.random.default_rng(0)
    heads = [rng.integers(0, 99, size=20).tolist() for _ in range(5)]
    prompts = [heads[i % 5] + rng.integers(0, 99, size=3 + i % 4).tolist() for i in range(40)]
    lengths = [len(prompt) + 10 for prompt in prompts]
    found = list(near_batches(prompts, lengths, budget=300))
    assert sorted(i for batch in found for i in batch) == list(range(40))
    for batch in found:
        assert len(batch) * max(lengths[i] for i in batch) <= 300
    assert all(len({i % 5 for i in batch}) <= 2 for batch in found)


@pytest.mark.parametrize("settings", [{}, {"temperature": 1.0}])
def test_answers_are_those_of_prompts_read_alone(tiny_model: LocalModel, settings: dict):
    with passes(tiny_model.module) as shapes:
        together = tiny_model.generate(PROMPTS, max_tokens=12, seed=3, **settings)
    longest = max(len(tiny_model.tokens(prompt)) for prompt in PROMPTS)
    assert sum(n * t for n, t in shapes[:2]) < 0.6 * len(PROMPTS) * longest, "nothing was shared"
    for i, prompt in enumerate(PROMPTS):
        assert [together[i]] == tiny_model.generate([prompt], max_tokens=12, seed=3 + i, **settings)


def test_who_watches_sees_all_that_it_asked_for(tiny_model: LocalModel):
    """States of ten positions before the answer, of prompts that differ in their last word."""

    def states(prompts: list[str]) -> list[np.ndarray]:
        seen: list[list[np.ndarray]] = [[] for _ in prompts]
        requests = []
        for prompt, mine in zip(prompts, seen, strict=True):

            def read(x_TF: np.ndarray, mine: list = mine) -> bool:
                mine.append(x_TF)
                return False

            tokens = tiny_model.tokens(prompt)
            requests.append(Request(tokens, max_tokens=4, watch=StateWatch((1, 2), 10, read)))
        tiny_model.complete(requests)
        return [np.concatenate(mine) for mine in seen]

    prompts = [PASSAGES[0] + end for end in ("yes", "no", "so")]
    with passes(tiny_model.module) as shapes:
        together = states(prompts)
    apart = len(prompts) * len(tiny_model.tokens(prompts[0]))
    assert sum(n * t for n, t in shapes[:2]) < 0.8 * apart
    for prompt, found in zip(prompts, together, strict=True):
        [alone] = states([prompt])
        np.testing.assert_allclose(found, alone, rtol=1e-3, atol=1e-3)


def test_a_sliding_window_that_would_lose_positions_is_read_in_one():
    """Padding between the two parts would push what the model still sees out of its window."""
    config = MistralConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        sliding_window=12,
    )
    torch.manual_seed(0)
    module = MistralForCausalLM(config).eval()
    head = list(range(1, 31))

    def left(window: int, prompts: list[list[int]]) -> int:
        config.sliding_window = window
        cache = DynamicCache(config=config)
        with torch.inference_mode():
            ids_BT, _, _ = shared_prefix.begin(module, cache, prompts, 0, [1] * len(prompts))
        return ids_BT.shape[1]

    prompts = [[*head, 40], [*head, 41, 42]]
    assert left(12, prompts) == 32, "read in two"
    assert left(64, prompts) == 2, "its window holds everything"

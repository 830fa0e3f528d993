"""What was read before isn't read again, changes no answer, and is forgotten with the model."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from toprope.models import prefix_cache
from toprope.models.adapters import Adapter, Lora, twin
from toprope.models.generation import Request
from toprope.models.local import LocalModel
from toprope.models.prefix_cache import BLOCK, PrefixCache

from ..local_models import passes

A, B = (list(range(10 + 50 * i, 10 + 50 * i + 3 * BLOCK)) for i in range(2))
"""Two beginnings of three blocks."""

SMALL: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


@pytest.fixture
def model(tiny_model: LocalModel) -> Iterator[LocalModel]:
    """With nothing kept."""
    tiny_model.prefixes = PrefixCache()
    yield tiny_model
    tiny_model.prefixes = PrefixCache()


def ask(model: LocalModel, *prompts: list[int], tokens: int = 6) -> list[list[int]]:
    """Sampled, so that a small difference would show."""
    requests = [
        Request(one, max_tokens=tokens, temperature=1.0, seed=i) for i, one in enumerate(prompts)
    ]
    return [answer.tokens for answer in model.complete(requests)]


def fresh(model: LocalModel, *prompts: list[int]) -> list[list[int]]:
    """The answers of the model without a memory, each prompt alone."""
    kept, model.prefixes = model.prefixes, PrefixCache(room=0)
    found = []
    for i, one in enumerate(prompts):
        request = Request(one, max_tokens=6, temperature=1.0, seed=i)
        found += [answer.tokens for answer in model.complete([request])]
    model.prefixes = kept
    return found


def test_a_later_prompt_is_read_from_where_it_differs(model: LocalModel):
    ask(model, [*A, 7, 8])
    with passes(model.module) as shapes:
        found = ask(model, [*A, 9, 7, 8])
    assert shapes[0] == (1, 3)
    assert found == fresh(model, [*A, 9, 7, 8])
    assert model.prefixes.reused == len(A)


def test_the_same_prompt_is_read_for_its_last_token(model: LocalModel):
    """A whole number of blocks: the last is read again, as its last token's logits are needed."""
    first = ask(model, A)
    with passes(model.module) as shapes:
        assert ask(model, A) == first
    assert shapes[0] == (1, BLOCK)


def test_a_chat_goes_on_from_what_was_said(model: LocalModel):
    prompt = [*A, 5]
    for turn in range(3):
        with passes(model.module) as shapes:
            [said] = ask(model, prompt)
        assert said == fresh(model, prompt)[0]
        if turn:
            assert shapes[0][1] < len(said) + BLOCK + 8
        prompt = [*prompt, *said, 6, 7]


def test_prompts_that_are_known_partly_whole_and_not_at_all(model: LocalModel):
    """In one batch: a beginning that is kept, one that two share and is kept in part, one that two
    share and is new, and prompts that are alone."""
    ask(model, [*A, 7], [*B[:BLOCK], 1, 2, 3])
    prompts = [
        [*A, 8, 9],
        [*A[: 2 * BLOCK], 3],
        [*B, 4],
        [*B, 5, 6],
        [*range(200, 290), 1],
        [*range(200, 290), 2],
        [3, 2, 1],
        [9],
    ]
    with passes(model.module) as shapes:
        found = ask(model, *prompts)
    assert found == fresh(model, *prompts)
    assert shapes[0][0] < len(prompts)
    whole = len(prompts) * max(map(len, prompts))
    assert sum(rows * tokens for rows, tokens in shapes[:2]) < 0.5 * whole


def test_random_prompts_of_a_small_tree_are_answered_as_alone(model: LocalModel):
    """With so little room that blocks go again and again."""
    generator = torch.Generator().manual_seed(0)

    def some(n: int) -> list[int]:
        return torch.randint(5, 250, (n,), generator=generator).tolist()

    def number(n: int) -> int:
        return int(torch.randint(0, n, (), generator=generator))

    model.prefixes = PrefixCache(room=_bytes(model, blocks=30))
    trunk = [some(BLOCK * (2 + i)) for i in range(4)]
    for _ in range(12):
        prompts = []
        for _ in range(1 + number(6)):
            head = trunk[number(4)]
            prompts.append(head[: 1 + number(len(head))] + some(number(2 * BLOCK)))
        assert ask(model, *prompts) == fresh(model, *prompts)
    assert model.prefixes.reused > 20 * BLOCK


def test_no_more_is_kept_than_there_is_room_for(model: LocalModel):
    model.prefixes = PrefixCache(room=_bytes(model, blocks=4))
    prompts = [[*A, 7], [*B, 7]]  # six blocks
    ask(model, *prompts)
    assert len(model.prefixes.find(A)) + len(model.prefixes.find(B)) == 4
    ask(model, [*B, 8])
    assert len(model.prefixes.find(B)) == 3, "the newest used"
    assert len(model.prefixes.find(A)) == 1, "its end went first"


def test_of_a_prompt_longer_than_the_room_its_beginning_is_kept(model: LocalModel):
    model.prefixes = PrefixCache(room=_bytes(model, blocks=4))
    for _ in range(2):
        ask(model, [*A, *B])
        assert len(model.prefixes.find([*A, *B])) == 4


def test_the_same_words_behind_others_are_read_again(model: LocalModel):
    ask(model, [*A, *B, 7])
    for prompt in ([*B, 7], [*B, *A, 7], [*A[:BLOCK], *B, 7]):
        assert ask(model, prompt) == fresh(model, prompt)


def test_no_room_at_all_is_no_memory(model: LocalModel):
    for room in (0, 1):
        model.prefixes = PrefixCache(room=room)
        ask(model, [*A, 7])
        with passes(model.module) as shapes:
            ask(model, [*A, 8])
        assert shapes[0] == (1, len(A) + 1)


def test_an_adapter_doesnt_read_what_the_base_kept(model: LocalModel):
    before = ask(model, [*A, 7])
    adapter = Adapter.on(model, Lora(rank=2, seed=1))
    _make_strong(adapter, 1.0)
    with adapter.active():
        with passes(model.module) as shapes:
            adapted = ask(model, [*A, 7])
        assert shapes[0] == (1, len(A) + 1)
        assert adapted == fresh(model, [*A, 7])
        _make_strong(adapter, 0.5)  # as a training's step does
        assert ask(model, [*A, 7]) == fresh(model, [*A, 7])
    assert adapted != before, "it does nothing"
    with passes(model.module) as shapes:
        assert ask(model, [*A, 7]) == before
    assert shapes[0] == (1, len(A) + 1)


def test_a_model_of_its_own_has_a_memory_of_its_own(model: LocalModel):
    adapter = Adapter.on(model, Lora(rank=2, seed=1))
    _make_strong(adapter, 1.0)
    own = adapter.applied()
    ask(model, [*A, 7])
    assert ask(own, [*A, 7]) == fresh(own, [*A, 7])
    with passes(model.module) as shapes:
        ask(model, [*A, 8])
    assert shapes[0] == (1, 1), "the other's pass made it forget"


def test_a_steered_model_doesnt_read_what_was_kept_before(model: LocalModel):
    before = ask(model, [*A, 7])
    push = 50 * torch.randn(model.d_model, generator=torch.Generator())
    with model.steer(1, push):
        steered = ask(model, [*A, 7])
        assert steered == fresh(model, [*A, 7])
    assert steered != before
    with passes(model.module) as shapes:
        assert ask(model, [*A, 7]) == before
    assert shapes[0] == (1, 1), "what the model itself had read was lost"


def test_what_is_hooked_to_a_layer_sees_every_prompt_whole(model: LocalModel):
    seen: list[int] = []
    ask(model, [*A, 7])
    handle = model.blocks[0].register_forward_hook(lambda _m, _a, out: seen.append(_length(out)))
    ask(model, [*A, 7], tokens=1)
    handle.remove()
    assert seen == [len(A) + 1]


def test_transformers_own_hooks_are_none(model: LocalModel):
    """It hooks every block when it is asked for hidden states, and leaves them there."""
    other = with_module(model, LlamaForCausalLM(LlamaConfig(**SMALL)).eval())
    with torch.inference_mode():
        other.module(torch.tensor([A]), output_hidden_states=True)
    assert other.blocks[0]._forward_hooks
    ask(other, [*A, 7])
    with passes(other.module) as shapes:
        ask(other, [*A, 7])
    assert shapes[0] == (1, 1)


def test_weights_that_replace_others_at_the_same_place_are_others(model: LocalModel):
    """A layer goes, and the next lies where it was."""
    layer: Any = model.blocks[0].get_submodule("mlp.down_proj")
    own = layer.weight
    try:
        for scale in (2.0, 3.0, 4.0):
            layer.weight = torch.nn.Parameter(own * scale, requires_grad=False)
            assert ask(model, [*A, 7]) == fresh(model, [*A, 7])
    finally:
        layer.weight = own


def test_weights_with_other_numbers_are_others(model: LocalModel):
    """The weight itself stays, and isn't changed in place."""
    other = with_module(model, twin(model.module))
    layer: Any = other.blocks[0].get_submodule("mlp.down_proj")
    layer.weight = torch.nn.Parameter(layer.weight.clone(), requires_grad=False)
    ask(other, [*A, 7])
    layer.weight.data = layer.weight.data * 3
    assert ask(other, [*A, 7]) == fresh(other, [*A, 7])
    small: Any = LlamaForCausalLM(LlamaConfig(**SMALL)).eval()
    other = with_module(model, small)
    ask(other, [*A, 7])
    small.to(torch.bfloat16)
    assert ask(other, [*A, 7]) == fresh(other, [*A, 7])


def test_chats_that_have_no_room_together_go_on_one_after_another(model: LocalModel):
    model.prefixes = PrefixCache(room=_bytes(model, blocks=6))
    chats = [[*A], [*B]]
    for _ in range(4):
        for i, chat in enumerate(chats):
            chats[i] = [*chat, *range(100 + 20 * i, 100 + 20 * i + BLOCK)]
            ask(model, chats[i])
            whole = min(len(chats[i]) // BLOCK, 6)
            assert len(model.prefixes.find(chats[i])) == whole, "it doesn't grow"


def test_what_is_broken_off_is_not_believed(model: LocalModel, monkeypatch: pytest.MonkeyPatch):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(torch.Tensor, "argsort", stop)
        with pytest.raises(KeyboardInterrupt):
            ask(model, [*A, 7])
    assert model.prefixes.find(A) == []
    assert ask(model, [*A, 8]) == fresh(model, [*A, 8])


def test_a_model_without_memory_to_spare_goes_on_without(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError

    with monkeypatch.context() as patched:
        patched.setattr(torch.Tensor, "argsort", full)
        assert ask(model, [*A, 7]) == fresh(model, [*A, 7])
    with passes(model.module) as shapes:
        ask(model, [*A, 7])
    assert shapes[0] == (1, len(A) + 1)


def test_room_is_made_as_it_is_needed(model: LocalModel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prefix_cache, "FIRST_SLOTS", 2)
    model.prefixes = PrefixCache(room=_bytes(model, blocks=7))
    for prompt in ([*A, 7], [*B, 7], [*A, *B], [*B, 8], [*A, 9]):
        assert ask(model, prompt) == fresh(model, prompt)
    assert len(model.prefixes.find([*A, 9])) == 3
    assert len(model.prefixes.find([*B, 9])) == 3


@pytest.mark.parametrize(
    "module",
    [
        lambda: MambaForCausalLM(MambaConfig(vocab_size=300, hidden_size=16, num_hidden_layers=2)),
        lambda: MistralForCausalLM(MistralConfig(**SMALL, sliding_window=12)),
        lambda: LlamaForCausalLM(
            LlamaConfig(**SMALL, rope_parameters={"rope_type": "dynamic", "factor": 2.0})
        ),
    ],
    ids=["a state that is carried on", "a window", "angles by length"],
)
def test_models_whose_keys_depend_on_more_than_what_is_before_read_all(
    model: LocalModel, module: Callable[[], Any]
):
    torch.manual_seed(0)
    other = with_module(model, module().eval())
    ask(other, [*A, 7])
    with passes(other.module) as shapes:
        ask(other, [*A, 7])
    assert shapes[0] == (1, len(A) + 1)


def test_weights_that_do_not_count_their_changes_are_not_trusted(model: LocalModel):
    with torch.inference_mode():
        module = LlamaForCausalLM(LlamaConfig(**SMALL)).eval()
    other = with_module(model, module)
    for _ in range(2):
        with passes(other.module) as shapes:
            ask(other, [*A, 7])
        assert shapes[0] == (1, len(A) + 1)


def test_to_forget_gives_the_memory_back(model: LocalModel):
    ask(model, [*A, 7])
    model.forget()
    with passes(model.module) as shapes:
        ask(model, [*A, 7])
    assert shapes[0] == (1, len(A) + 1)


def with_module(model: LocalModel, module: Any) -> LocalModel:
    return replace(model, module=module, name="other")


def _length(output: Any) -> int:
    return (output[0] if isinstance(output, tuple) else output).shape[1]


def _bytes(model: LocalModel, *, blocks: int) -> int:
    config = model.module.config
    heads = config.num_key_value_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token = 2 * config.num_hidden_layers * heads * width * model.module.dtype.itemsize
    return blocks * BLOCK * token


def _make_strong(adapter: Adapter, by: float) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in adapter.weights().values():
            weight.copy_(by * torch.randn(weight.shape, generator=generator))

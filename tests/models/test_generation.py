"""Answers: greedy as transformers decodes, sampled as the distribution says, whatever the batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from toprope.errors import UserError
from toprope.models import generation
from toprope.models.generation import Request, StateWatch
from toprope.models.local import LocalModel

pytestmark = pytest.mark.usefixtures("nothing_kept")

PROMPTS = [
    "The capital of France is",
    "Twelve",
    [{"role": "user", "content": "Is Lagos in Norway?"}],
    "A weaker partner on the ground keeps a stronger climber safe on the rope. " * 3,
    [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hello"}],
    "no",
]


def final_logits(model: LocalModel, tokens: list[int]) -> torch.Tensor:
    """The logits [V] of the next token, from a plain forward pass of transformers."""
    with torch.no_grad():
        return model.module(torch.tensor([tokens])).logits[0, -1].double()


def test_greedy_answers_are_those_of_transformers(tiny_model: LocalModel):
    for prompt, ours in zip(PROMPTS, tiny_model.generate(PROMPTS, max_tokens=16), strict=True):
        tokens = tiny_model.tokens(prompt)
        ids_BT = torch.tensor([tokens])
        theirs_BT = tiny_model.module.generate(
            ids_BT, attention_mask=torch.ones_like(ids_BT), do_sample=False, max_new_tokens=16
        )
        assert ours.tokens == theirs_BT[0, len(tokens) :].tolist()
        assert ours.text == tiny_model.tokenizer.decode(ours.tokens, skip_special_tokens=True)
        assert ours.prompt_tokens == len(tokens)


@pytest.mark.parametrize("settings", [{}, {"temperature": 1.0}, {"temperature": 0.7, "top_p": 0.9}])
def test_an_answer_does_not_depend_on_its_batch(tiny_model: LocalModel, settings: dict):
    together = tiny_model.generate(PROMPTS, max_tokens=24, seed=5, **settings)
    for i, prompt in enumerate(PROMPTS):
        [alone] = tiny_model.generate([prompt], max_tokens=24, seed=5 + i, **settings)
        assert together[i] == alone


@pytest.mark.model
def test_an_answer_of_a_real_model_does_not_depend_on_its_batch(smollm: LocalModel):
    """Half of the answers greedy, half sampled, in one batch."""
    requests = [
        Request(smollm.tokens(prompt), max_tokens=10, temperature=i % 2, top_p=0.95, seed=i)
        for i, prompt in enumerate(PROMPTS)
    ]
    together = smollm.complete(requests)
    alone = [smollm.complete([request])[0] for request in requests]
    assert [answer.tokens for answer in together] == [answer.tokens for answer in alone]


def test_rows_that_end_early_leave_the_others_alone(
    tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch
):
    """Rows of one batch end after 1 to 20 tokens, some by an end token, and the batch shrinks."""
    long = tiny_model.generate(["Twelve plus"], max_tokens=20)[0].tokens
    monkeypatch.setattr(generation, "end_tokens", lambda *_: {long[6]})
    requests = [
        Request(tiny_model.tokens(prompt), max_tokens=n, temperature=t, seed=n)
        for n, (prompt, t) in enumerate([(p, t) for p in PROMPTS for t in (0.0, 1.0)], start=1)
    ]
    together = tiny_model.complete([*requests, Request(tiny_model.tokens("Twelve plus"))])
    assert together[-1].tokens == long[: long.index(long[6]) + 1]
    assert together[-1].stopped == "end"
    for request, answer in zip(requests, together, strict=False):
        assert tiny_model.complete([request]) == [answer]
    assert {answer.stopped for answer in together} == {"end", "length"}


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.6), (1.5, 0.3)])
def test_tokens_are_sampled_from_the_nucleus(
    tiny_model: LocalModel, temperature: float, top_p: float
):
    """The nucleus (Holtzman et al. 2020, section 3.1) computed here, token by token."""
    tokens, n = tiny_model.tokens("The capital of France is"), 1500
    probs_V = torch.softmax(final_logits(tiny_model, tokens) / temperature, -1).numpy()
    nucleus, mass = [], 0.0
    for token in np.argsort(-probs_V):
        if mass >= top_p:
            break
        nucleus.append(int(token))
        mass += probs_V[token]
    answers = tiny_model.complete(
        [Request(tokens, 1, temperature, top_p, seed=seed) for seed in range(n)]
    )
    drawn = [answer.tokens[0] for answer in answers]

    assert set(drawn) <= set(nucleus)
    # Tokens expected fewer than five times are counted together.
    expected = np.array([n * probs_V[token] / mass for token in nucleus])
    observed = np.array([drawn.count(token) for token in nucleus])
    often = expected >= 5
    if not often.all():
        expected = np.append(expected[often], expected[~often].sum())
        observed = np.append(observed[often], observed[~often].sum())
    assert len(expected) > 2
    assert stats.chisquare(observed, expected).pvalue > 0.001


def test_a_seed_repeats_an_answer_and_another_changes_it(tiny_model: LocalModel):
    def answer(seed: int) -> list[int]:
        return tiny_model.generate(PROMPTS[:1], temperature=1.0, max_tokens=12, seed=seed)[0].tokens

    assert answer(1) == answer(1)
    assert answer(1) != answer(2)


def test_equal_prompts_get_different_samples(tiny_model: LocalModel):
    answers = tiny_model.generate(["Twelve"] * 4, temperature=1.0, max_tokens=12)
    assert len({tuple(answer.tokens) for answer in answers}) == 4


def test_the_global_randomness_is_left_alone(tiny_model: LocalModel):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # pyright: ignore[reportArgumentType]
    tiny_model.generate(PROMPTS, temperature=1.0, max_tokens=3)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()  # pyright: ignore[reportArgumentType]


def test_a_stop_string_ends_the_answer_and_is_not_in_it(tiny_model: LocalModel):
    """Of two that come with the same token, the one that begins first cuts."""
    [whole] = tiny_model.generate(["The capital of"], max_tokens=30)
    first, second = whole.text[2:5], whole.text[4:5]
    assert second not in whole.text[:4]

    [cut] = tiny_model.generate(["The capital of"], max_tokens=30, stop=[second, first])

    assert cut.text == whole.text[:2]
    assert cut.stopped == "stop"
    assert len(cut.tokens) < len(whole.tokens)


def test_a_stop_string_that_never_comes_changes_nothing(tiny_model: LocalModel):
    plain, stopped = (
        tiny_model.generate(PROMPTS, max_tokens=12, stop=stop) for stop in ([], ["never said"])
    )
    assert plain == stopped


def test_prefill_is_read_as_the_answers_first_words(tiny_model: LocalModel):
    chat = PROMPTS[2]
    text = tiny_model.render(chat)
    [prefilled] = tiny_model.generate([chat], prefill="Sure: ", max_tokens=10)
    tokens = tiny_model.tokenizer(text + "Sure: ", add_special_tokens=False).input_ids
    [plain] = tiny_model.complete([Request(tokens, max_tokens=10)])
    assert prefilled == plain
    assert prefilled.tokens != tiny_model.generate([chat], max_tokens=10)[0].tokens


@pytest.mark.parametrize(
    ("prompt", "prefill", "before_it"),
    [
        (PROMPTS[2], "Sure: yes", PROMPTS[2]),
        (PROMPTS[2], "", PROMPTS[2]),
        ("A weaker par", "tner on", "A weaker"),  # "partner" is one token
    ],
)
def test_a_request_says_where_its_answer_begins(tiny_model: LocalModel, prompt, prefill, before_it):
    request = tiny_model.request(prompt, prefill=prefill, max_tokens=3)
    assert request.tokens == tiny_model.tokens(prompt, prefill=prefill)
    at = len(request.tokens) if request.answer_at is None else request.answer_at
    assert request.tokens[:at] == tiny_model.tokens(before_it)


@pytest.mark.parametrize(("before", "prefill"), [(3, ""), (3, "Sure: yes"), (1000, "Sure: yes")])
def test_a_watch_reads_from_before_the_answer_on(tiny_model: LocalModel, before: int, prefill: str):
    """In a batch with others, which pad it."""
    read: list[np.ndarray] = []

    def watch(x_TF: np.ndarray) -> bool:
        read.append(x_TF)
        return len(read) == 3

    request = tiny_model.request(PROMPTS[2], prefill=prefill, max_tokens=9)
    watched = replace(request, watch=StateWatch((2, 3), before, watch))
    [answer, other] = tiny_model.complete([watched, Request(tiny_model.tokens(PROMPTS[3]), 9)])
    assert (answer.stopped, len(answer.tokens), other.stopped) == ("flagged", 2, "length")
    tokens = [*request.tokens, *answer.tokens]
    states = tiny_model.module(torch.tensor([tokens]), output_hidden_states=True).hidden_states
    whole_TF = torch.cat([states[2][0], states[3][0]], dim=1)
    since = max(0, len(tiny_model.tokens(PROMPTS[2])) - before)
    found_TF = np.concatenate(read)
    assert [len(x) for x in read] == [len(request.tokens) - since, 1, 1]
    np.testing.assert_allclose(found_TF, whole_TF[since:].detach().numpy(), atol=1e-4)


def test_logprobs_are_those_of_a_plain_forward_pass(tiny_model: LocalModel):
    [answer] = tiny_model.generate(
        ["Twelve plus"], temperature=1.3, top_p=0.8, max_tokens=6, top_logprobs=3
    )
    assert answer.logprobs is not None
    assert len(answer.logprobs) == len(answer.tokens)
    tokens = tiny_model.tokens("Twelve plus")
    for token, noted in zip(answer.tokens, answer.logprobs, strict=True):
        logprobs_V = torch.log_softmax(final_logits(tiny_model, tokens), -1)
        assert noted.logprob == pytest.approx(float(logprobs_V[token]), abs=1e-4)
        assert noted.token == tiny_model.tokenizer.decode([token])
        values, ids = logprobs_V.topk(3)
        assert [value for _, value in noted.top] == pytest.approx(values.tolist(), abs=1e-4)
        assert [text for text, _ in noted.top] == [tiny_model.tokenizer.decode([i]) for i in ids]
        tokens.append(token)


def test_no_logprobs_unless_asked(tiny_model: LocalModel):
    assert tiny_model.generate(["Twelve"], max_tokens=2)[0].logprobs is None


@pytest.mark.parametrize(("configured", "more"), [(None, set()), (7, {7}), ([7, 8], {7, 8})])
def test_the_end_tokens_are_the_tokenizers_and_the_generation_settings(
    tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch, configured, more: set[int]
):
    monkeypatch.setattr(tiny_model.module.generation_config, "eos_token_id", configured)
    found = generation.end_tokens(tiny_model.module, tiny_model.tokenizer)
    assert found == {tiny_model.tokenizer.eos_token_id} | more


def test_what_is_read_and_written_is_counted(tiny_model: LocalModel):
    model = replace(tiny_model)
    answers = model.generate(PROMPTS, max_tokens=5)
    assert model.tokens_read == sum(a.prompt_tokens + len(a.tokens) for a in answers)


def test_a_model_without_a_chat_template_says_so(base_model: LocalModel):
    with pytest.raises(UserError, match=r"has no chat template.*: give it plain text"):
        base_model.generate([[{"role": "user", "content": "Hello"}]])
    assert base_model.generate(["Hello"], max_tokens=2)


def test_an_encoder_can_not_generate(tiny_encoder: LocalModel):
    with pytest.raises(UserError, match="is an encoder: it can't generate text"):
        tiny_encoder.generate(["Hello"])


def test_an_empty_prompt_is_an_error(tiny_model: LocalModel):
    with pytest.raises(UserError, match="empty prompt"):
        tiny_model.generate(["fine", ""])


def test_no_prompts_get_no_answers(tiny_model: LocalModel):
    assert tiny_model.generate([]) == []

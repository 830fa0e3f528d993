"""Absorption on a linear model of our own making, in which it's known which words are absorbed, and
by which latent."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from toprope.errors import UserError
from toprope.models.local import LocalModel
from toprope.techniques.interpretability.dictionaries.dictionary import make
from toprope.techniques.interpretability.quality.absorption import (
    AbsorptionSettings,
    absorption,
)
from toprope.techniques.interpretability.quality.spelling import (
    at_words,
    check_spelling,
    spelled_right,
    spelling,
)
from toprope.techniques.interpretability.quality.split_latents import L1, ranked, split

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
EACH = 40
ABSORBED = 8
"""Of each letter's words, those with a latent of their own."""
FREE = "aeiou"


def words() -> list[str]:
    ends = [a + b + c for a in FREE for b in "bdfg" for c in FREE][:EACH]
    return [f"{letter.lower()}{end}" for letter in "ABC" for end in ends]


class Carry(nn.Module):
    """Adds the state of the word, so many tokens back, twice to the last token's."""

    def __init__(self, back: int) -> None:
        super().__init__()
        self.back = back

    def forward(self, x_BTD):
        moved = torch.zeros_like(x_BTD)
        if x_BTD.shape[1] > self.back:
            moved[:, -1] = x_BTD[:, -1 - self.back]
        return x_BTD + 2 * moved


class Linear(nn.Module):
    """As `transformers` has a causal model, with a linear residual stream."""

    def __init__(self, embeddings_VD, output_VD, back: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(
            num_hidden_layers=2, hidden_size=embeddings_VD.shape[1], model_type="linear"
        )
        self.embed = nn.Embedding.from_pretrained(embeddings_VD)
        self.blocks = nn.ModuleList([nn.Identity(), Carry(back)])
        self.head = nn.Linear(*output_VD.T.shape, bias=False)
        self.head.weight = nn.Parameter(output_VD, requires_grad=False)
        self.device = torch.device("cpu")

    @property
    def base_model(self):
        return self.run

    def run(self, input_ids, use_cache):
        x_BTD = self.embed(input_ids)
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return x_BTD

    def forward(self, input_ids, use_cache, logits_to_keep):
        return SimpleNamespace(
            logits=self.head(self.run(input_ids, use_cache))[:, -logits_to_keep:]
        )


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["a", ":", "\n", " has", " the", " first", " letter", "?"]
    pieces += [f" {letter}" for letter in LETTERS] + [f" {word}" for word in words()]
    core = Tokenizer(models.WordLevel({p: i for i, p in enumerate(pieces)}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?[A-Za-z]+|\n|:"), "isolated")
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="?", pad_token="?")


def linear_model(tokenizer, states: dict[str, torch.Tensor]) -> LocalModel:
    d = len(next(iter(states.values())))
    embeddings = torch.zeros(len(tokenizer), d)
    output = torch.zeros(len(tokenizer), d)
    vocabulary = tokenizer.get_vocab()
    for word, state in states.items():
        embeddings[vocabulary[f" {word}"]] = state
    for i, letter in enumerate(LETTERS):
        output[vocabulary[f" {letter}"], i] = 1.0
    return LocalModel("linear", Linear(embeddings, output, back=5), tokenizer, "0")


@pytest.fixture
def absorbed_model(tokenizer):
    """Each word's state is three times its letter's direction. The words of `own` have a direction
    of their own besides, and the dictionary has a latent for the two together, which silences the
    letter's."""
    chosen = np.random.default_rng(5)
    own = [
        word
        for letter in "abc"
        for word in chosen.choice([w for w in words() if w[0] == letter], ABSORBED, replace=False)
    ]
    eye = torch.eye(26 + len(own))
    states, decoder, encoder = {}, list(eye[:26]), list(eye[:26].clone())
    for word in words():
        letter = "abc".index(word[0])
        states[word] = 3 * eye[letter]
        if word in own:
            alone = eye[26 + own.index(word)]
            states[word] = states[word] + 3 * alone
            decoder.append((eye[letter] + alone) / 2**0.5)
            encoder.append(2**0.5 * alone)
            encoder[letter] = encoder[letter] - alone
    # In the order of `own`, which is that of the specific directions.
    order = sorted(range(len(own)), key=lambda i: [w for w in words() if w in own].index(own[i]))
    names = [own[i] for i in order]
    dictionary = make({"kind": "topk", "width": len(decoder), "d_model": len(eye), "active": 2})
    with torch.no_grad():
        dictionary.decoder_FD.copy_(torch.stack(decoder))
        dictionary.encoder_FD.copy_(torch.stack(encoder))
    return linear_model(tokenizer, states), dictionary, names


SETTINGS = AbsorptionSettings(words=200, examples=4, test=0.5, least_words=5)


def test_absorbed_words_are_found_with_the_latent_that_absorbs_them(absorbed_model):
    model, dictionary, own = absorbed_model
    found = absorption(model, dictionary, 1, SETTINGS, rng=np.random.default_rng(0))
    assert found.measurable
    assert found.f1 > 0.95
    assert found.spelled.value == 1  # a linear model that copies the letter's direction
    assert [letter.letter for letter in found.letters] == ["A", "B", "C"]
    rates = []
    for i, letter in enumerate(found.letters):
        assert letter.split.latents == (i,)
        assert {word.word for word in letter.words} <= set(own)
        assert letter.words
        assert letter.missed == letter.sampled == len(letter.words)
        for word in letter.words:
            assert word.absorbed
            assert word.latent == 26 + own.index(word.word)
            # Activation 3 sqrt 2 on a direction of which 1 / sqrt 2 is the letter's; carried twice.
            assert word.effect == pytest.approx(-6, abs=1e-4)
            assert word.ablated == pytest.approx(-6, abs=1e-4)
            assert word.ahead == pytest.approx(6, abs=1e-4)
            assert not word.absorbed_by_control
        rates.append(len(letter.words) / letter.found)
        assert letter.projection == pytest.approx(letter.rate)
        assert letter.projection_by_control == 0
        assert letter.fraction == pytest.approx(letter.rate)
    assert found.rate is not None
    assert found.rate.value == pytest.approx(np.mean(rates))
    assert found.rate.control == 0


def test_a_word_on_which_the_letters_latent_is_weakly_active_is_absorbed_in_part(absorbed_model):
    model, dictionary, own = absorbed_model
    with torch.no_grad():
        for i, word in enumerate(own):
            # 0.1 of what it silences: the letter's latent is at 0.3 instead of 3.
            dictionary.encoder_FD["abc".index(word[0]), 26 + i] = -0.9
    found = absorption(model, dictionary, 1, SETTINGS, rng=np.random.default_rng(0))
    assert found.rate is not None
    assert found.projection is not None
    assert found.fraction is not None
    assert found.rate.value == found.projection.value == 0
    assert all(letter.missed == 0 for letter in found.letters)
    with torch.no_grad():
        dictionary.encoder_FD[:26, 26:] /= 0.9
    whole = absorption(model, dictionary, 1, SETTINGS, rng=np.random.default_rng(0))
    assert whole.rate is not None
    assert found.fraction.value == pytest.approx(0.9 * whole.rate.value, rel=0.02)


def test_a_sample_stands_for_all_missed_words(absorbed_model):
    model, dictionary, _ = absorbed_model
    few = SETTINGS.model_copy(update={"samples": 2})
    found = absorption(model, dictionary, 1, few, rng=np.random.default_rng(0))
    whole = absorption(model, dictionary, 1, SETTINGS, rng=np.random.default_rng(0))
    assert all(letter.sampled == 2 for letter in found.letters)
    assert found.rate is not None
    assert whole.rate is not None
    assert found.rate.value == pytest.approx(whole.rate.value)


def test_a_dictionary_that_absorbs_nothing_has_a_rate_of_nothing(absorbed_model):
    model, dictionary, _ = absorbed_model
    plain = make({"kind": "topk", "width": 30, "d_model": dictionary.d_model, "active": 2})
    with torch.no_grad():
        plain.decoder_FD.copy_(torch.eye(dictionary.d_model)[:30])
        plain.encoder_FD.copy_(plain.decoder_FD)
    found = absorption(model, plain, 1, SETTINGS, rng=np.random.default_rng(0))
    assert found.rate is not None
    assert found.rate.value == found.projection.value == found.fraction.value == 0  # type: ignore[union-attr]


def test_a_model_without_letters_is_not_measurable(tokenizer):
    rng = torch.Generator().manual_seed(0)
    model = linear_model(tokenizer, {w: torch.randn(40, generator=rng) for w in words()})
    dictionary = make({"kind": "topk", "width": 50, "d_model": 40, "active": 4})
    found = absorption(model, dictionary, 1, SETTINGS, rng=np.random.default_rng(0))
    assert not found.measurable
    assert found.f1 < 0.6
    assert found.rate is found.projection is found.fraction is None
    assert found.letters == []
    assert found.spelled.value < 0.5
    assert found.reason is not None
    assert re.search(r"layer 1 with a mean F1 of 0\.\d\d, under 0\.6", found.reason)


def test_prompts_show_training_words_and_ask_for_another(absorbed_model):
    model, _, _ = absorbed_model
    rng = np.random.default_rng(1)
    task = spelling(model, words=90, examples=3, test=0.3, rng=rng)
    assert len(task.words) == 90
    training = {w for w, train in zip(task.words, task.train_N, strict=True) if train}
    assert len(training) == 63
    for row, word, letter in zip(task.ids_NT.tolist(), task.words, task.letters_N, strict=True):
        text = model.tokenizer.decode(row)
        *shown, asked = text.split("\n")
        assert asked == f" {word} has the first letter:"
        assert word[0].upper() == task.alphabet[letter]
        assert len(shown) == 3
        for example in shown:
            other, answer = example.split(" has the first letter: ")
            assert other.strip() in training - {word}
            assert other.strip()[0].upper() == answer
        assert model.tokenizer.decode(row[task.position : task.position + 1]) == f" {word}"


def test_states_are_those_at_the_words(absorbed_model):
    model, _, _ = absorbed_model
    task = spelling(model, words=40, examples=2, test=0.3, rng=np.random.default_rng(1))
    states = at_words(model, task, 1)
    expected = model.module.embed(task.ids_NT[:, task.position])
    assert torch.equal(states, expected)
    assert spelled_right(model, task, range(40)).all()
    with pytest.raises(UserError, match="layers 1 to 2, not 7"):
        at_words(model, task, 7)


def test_whether_a_model_can_be_asked_is_known_before(absorbed_model, tiny_model, tiny_encoder):
    model, _, _ = absorbed_model
    check_spelling(model)
    with pytest.raises(UserError, match="no single token for each letter"):
        check_spelling(tiny_model)
    with pytest.raises(UserError, match="encoder"):
        check_spelling(tiny_encoder)
    with pytest.raises(UserError, match="words of one token: too few"):
        check_spelling(model, examples=10**4)


def test_of_a_model_that_cannot_be_asked_the_reason_is_told(tiny_model):
    dictionary = make({"kind": "topk", "width": 50, "d_model": 32, "active": 4})
    found = absorption(tiny_model, dictionary, 2, SETTINGS, rng=np.random.default_rng(0))
    assert not found.measurable
    assert "no single token for each letter" in (found.reason or "")
    assert found.rate is found.projection is found.fraction is None
    assert found.spelled.n == 0


def test_letters_must_be_tokens(tiny_model, tiny_encoder):
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="no single token for each letter"):
        spelling(tiny_model, words=10, examples=2, test=0.3, rng=rng)
    with pytest.raises(UserError, match="encoder"):
        spelling(tiny_encoder, words=10, examples=2, test=0.3, rng=rng)


def test_penalised_weights_meet_the_conditions_of_optimality():
    """Karush, Kuhn and Tucker: the slope is -L1 times the sign of a weight, and within L1 at 0."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(300, 12)).clip(0)
    labels = (codes[:, :2].sum(1) + rng.normal(size=300) > 1.2)[:, None]
    weights = ranked(codes, labels, steps=3000).numpy()[0]
    logits = codes @ weights
    # The bias isn't returned: at the optimum the mean excess is zero.
    low, high = -20.0, 20.0
    for _ in range(60):
        bias = (low + high) / 2
        excess = 1 / (1 + np.exp(-(logits + bias))) - labels[:, 0]
        low, high = (bias, high) if excess.mean() < 0 else (low, bias)
    slope = codes.T @ excess / 300
    assert 0 < (weights == 0).sum() < 12
    assert slope[weights != 0] == pytest.approx(-L1 * np.sign(weights[weights != 0]), abs=1e-4)
    assert np.abs(slope[weights == 0]).max() < L1 + 1e-4


def test_a_property_is_split_among_the_latents_that_each_have_a_part_of_it():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(400, 6)).clip(0) * 0.1
    kind = rng.integers(0, 4, 400)
    codes[kind == 0, 2], codes[kind == 1, 4] = 3.0, 3.0
    labels = kind < 2
    weights = ranked(codes[:200], labels[:200, None])[0]
    halves = (codes[:200], labels[:200]), (codes[200:], labels[200:])
    probe = split(weights, *halves, most=5, jump=0.03)
    assert probe is not None
    assert set(probe.latents) == {2, 4}
    assert probe.f1 == 1.0
    alone = split(weights, *halves, most=1, jump=0.03)
    assert alone is not None
    assert len(alone.latents) == 1
    assert 0.5 < alone.f1 < 0.8
    assert split(torch.zeros(6), *halves, most=5, jump=0.03) is None

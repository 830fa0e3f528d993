"""Search, output side, steering, probing and attribution, against the model itself."""

import numpy as np
import pytest
import torch

from toprope.errors import UserError
from toprope.techniques.interpretability.use.attribution import attribute
from toprope.techniques.interpretability.use.probing import probing
from toprope.techniques.interpretability.use.search import search
from toprope.techniques.interpretability.use.steering import steering
from toprope.techniques.interpretability.use.unembedding import output_side

LABELS = {4: "the word France", 9: "numbers in words", 2: "Capital of France", 7: "a rope"}


def test_words_are_found_first():
    hits = search(LABELS, "  france ")
    assert [(hit.latent, hit.contains) for hit in hits] == [(2, True), (4, True)]
    assert search(LABELS, "Paris") == []
    with pytest.raises(UserError, match="nothing to search for"):
        search(LABELS, "  ")
    with pytest.raises(UserError, match="no latent has a label"):
        search({}, "x")


def test_meaning_is_found_by_embedding(tiny_encoder):
    hits = search(LABELS, "a rope", embedder=tiny_encoder, least_similarity=-1)
    assert hits[0].latent == 7
    assert hits[0].similarity == pytest.approx(1, abs=1e-5)
    assert len(hits) == 4
    rest = [hit.similarity or 0.0 for hit in hits[1:]]
    assert rest == sorted(rest, reverse=True)
    other = {i: f"{'a rope and ' * (i % 2)}{'twelve ' * i}" for i in range(1, 11)}
    mixed = search(other, "a rope", embedder=tiny_encoder, least_similarity=-1)
    assert [hit.contains for hit in mixed] == [True] * 5 + [False] * 5
    assert len(search(LABELS, "a rope", embedder=tiny_encoder, most=2, least_similarity=-1)) == 2
    assert [
        h.latent for h in search(LABELS, "a rope", embedder=tiny_encoder, least_similarity=1.1)
    ] == [7]


def test_the_output_side_is_the_unembedding_of_the_scaled_direction(tiny_model, dictionary):
    with torch.no_grad():  # a gain that matters
        gain = tiny_model.module.model.norm.weight
        kept = gain.clone()
        gain.copy_(torch.linspace(0.2, 2, 32))
    try:
        (side,) = output_side(tiny_model, dictionary, [11], top=5)
        direction = dictionary.decoder_FD[11].detach() * dictionary.scale_D
        effects = tiny_model.module.lm_head.weight @ (direction * gain)
    finally:
        with torch.no_grad():
            gain.copy_(kept)
    z = (effects - effects.mean()) / effects.std()
    assert [one.token for one in side.promoted] == z.topk(5).indices.tolist()
    assert [one.effect for one in side.promoted] == pytest.approx(
        z.topk(5).values.tolist(), abs=1e-3
    )
    assert [one.token for one in side.suppressed] == (-z).topk(5).indices.tolist()
    assert side.promoted[0].text == tiny_model.tokenizer.decode([side.promoted[0].token])


def test_an_encoder_has_no_output_side(tiny_encoder, tiny_model, dictionary):
    with pytest.raises(UserError, match="encoder"):
        output_side(tiny_encoder, dictionary, [1])
    with pytest.raises(UserError, match="no latent 80: the dictionary's are 0 to 79"):
        output_side(tiny_model, dictionary, [80])


def test_steering_is_measured_against_the_unsteered_model(tiny_model, dictionary, texts, rng):
    found = steering(
        tiny_model, dictionary, 2, 5, texts, typical_maximum=2.0, multiples=(0.0, 1.0, 4.0), rng=rng
    )
    assert [one.multiple for one in found] == [0.0, 1.0, 4.0]
    assert found[0].kl.value == pytest.approx(0, abs=1e-6)
    assert found[2].kl.value > found[1].kl.value > 0.001
    direction = dictionary.decoder_FD[5].detach() * dictionary.scale_D
    assert found[1].norm == pytest.approx(float(2 * direction.norm()), rel=1e-5)
    total, change, n = 0.0, torch.zeros(1), 0
    for text in texts:
        ids = torch.tensor([tiny_model.tokens(text)])
        with torch.no_grad():
            plain = tiny_model.module(ids).logits[0, 1:].log_softmax(-1)
            with tiny_model.steer(2, 2 * direction):
                steered = tiny_model.module(ids).logits[0, 1:].log_softmax(-1)
        total += float((plain.exp() * (plain - steered)).sum())
        change = change + (steered - plain).sum(0)
        n += ids.shape[1] - 1
    assert found[1].kl.value == pytest.approx(total / n, rel=1e-4)
    assert found[1].promoted[0].token == int((change / n).argmax())
    assert found[1].promoted[0].effect == pytest.approx(float((change / n).max()), abs=1e-4)
    assert found[1].kl.control is not None
    assert found[1].kl.control > 0.001
    assert found[1].kl.n == 4


def test_steering_needs_an_active_latent_and_prompts(tiny_model, dictionary, texts, rng):
    with pytest.raises(UserError, match="must be active"):
        steering(tiny_model, dictionary, 2, 5, texts, typical_maximum=0.0, rng=rng)
    with pytest.raises(UserError, match="two prompts"):
        steering(tiny_model, dictionary, 2, 5, texts[:1], typical_maximum=1.0, rng=rng)


def probed(rng, n=400):
    """Latents 3 and 8 say it together; the dense activations have it in one direction."""
    labels = rng.integers(0, 2, n)
    latents = (rng.random((n, 40)) < 0.3) * rng.exponential(size=(n, 40))
    part = rng.random(n) < 0.6
    latents[:, 3] = 2.0 * (labels & part)
    latents[:, 8] = 1.5 * (labels & ~part)
    dense = rng.normal(size=(n, 10))
    dense[:, 4] += 3 * labels
    return latents.astype(np.float32), dense.astype(np.float32), labels, np.arange(n) % 2 == 0


def test_sparse_probes_find_the_latents_that_carry_a_property(rng):
    latents, dense, labels, train = probed(rng)
    found = probing(latents, dense, labels, train, ks=(1, 2), rng=rng)
    assert found.sparse[1].latents == (3,)
    assert set(found.sparse[2].latents) == {3, 8}
    # One latent sees six in ten of one class, and the other class whole.
    assert found.sparse[1].accuracy.value == pytest.approx(0.8, abs=0.06)
    assert found.sparse[2].accuracy.value == 1.0
    assert found.sparse[2].accuracy.control is not None
    assert found.sparse[2].accuracy.control < 0.75
    assert found.dense.accuracy.value > 0.85
    assert found.dense.accuracy.control == found.majority == pytest.approx(0.5, abs=0.1)
    low, high = found.sparse[1].accuracy.low, found.sparse[1].accuracy.high
    assert low < found.sparse[1].accuracy.value < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.16 / 200), rel=0.2)


def test_labels_of_the_test_split_are_not_seen(rng):
    latents, dense, labels, train = probed(rng)
    mixed = labels.copy()
    mixed[~train] = rng.permutation(mixed[~train])
    found = probing(latents, dense, mixed, train, ks=(2,), rng=rng)
    assert set(found.sparse[2].latents) == {3, 8}
    assert found.sparse[2].accuracy.value == pytest.approx(0.5, abs=0.12)


def test_groups_stay_on_one_side(rng):
    latents, dense, labels, train = probed(rng)
    with pytest.raises(UserError, match="group 'a' is in the training and in the test split"):
        probing(latents, dense, labels, train, groups=["a"] * 400, rng=rng)
    with pytest.raises(UserError, match="both classes"):
        probing(latents, dense, np.zeros(400, int), train, rng=rng)
    pairs = [f"{i // 2}{'ab'[i % 2]}" for i in range(400)]
    assert probing(latents, dense, labels, train, groups=pairs, rng=rng).dense.accuracy.n == 200


def logit_difference(model, ids, up, down):
    with torch.no_grad():
        logits = model.module(ids).logits[0, -1]
    return float(logits[up] - logits[down])


def test_attributions_are_checked_by_ablation(tiny_model, dictionary, texts):
    found = attribute(tiny_model, dictionary, 2, texts[0], " yes", " no", top=12)
    ids = torch.tensor([tiny_model.tokens(texts[0])])
    up, down = (tiny_model.continuation(text)[0] for text in (" yes", " no"))
    whole = logit_difference(tiny_model, ids, up, down)
    assert found.output == pytest.approx(whole, abs=1e-4)
    assert len(found.parts) == 12
    sizes = [abs(part.attribution) for part in found.parts]
    assert sizes == sorted(sizes, reverse=True)

    states = torch.tensor(tiny_model.activations([texts[0]], [2], pool="none").item(2, 0))
    codes = dictionary.encode(dictionary.standardise(states)).dense()
    codes[0] = 0
    part = found.parts[0]
    push = codes[:, part.latent, None] * (dictionary.decoder_FD[part.latent] * dictionary.scale_D)
    block = tiny_model.blocks[1]
    handle = block.register_forward_hook(
        lambda _m, _a, out: (out[0] - push, *out[1:]) if isinstance(out, tuple) else out - push
    )
    try:
        without = logit_difference(tiny_model, ids, up, down)
    finally:
        handle.remove()
    assert part.ablation == pytest.approx(whole - without, abs=1e-4)
    assert codes[part.position, part.latent] > 0


def test_gradient_times_activation_is_exact_for_small_latents(tiny_model, dictionary, texts):
    """As a latent's direction shrinks, its estimate and its ablation become one."""
    with torch.no_grad():
        dictionary.decoder_FD.mul_(1e-2)
    found = attribute(tiny_model, dictionary, 3, texts[1], " yes", " no", top=8)
    for part in found.parts:
        assert part.attribution == pytest.approx(part.ablation, rel=0.15, abs=1e-4)
    assert found.correlation is not None
    assert found.correlation.value > 0.98
    assert found.correlation.low < found.correlation.value <= found.correlation.high
    assert found.correlation.control is not None


def test_latents_and_error_make_up_the_whole_slope(tiny_model, dictionary, texts):
    from toprope.techniques.interpretability.quality.patching import slopes

    found = attribute(tiny_model, dictionary, 2, texts[2], " yes", " no")
    ids = torch.tensor([tiny_model.tokens(texts[2])])
    up, down = (tiny_model.continuation(text)[0] for text in (" yes", " no"))
    slope = slopes(
        tiny_model, 2, ids, torch.zeros(1, ids.shape[1], 32), lambda z: z[:, up] - z[:, down]
    )[0]
    states = torch.tensor(tiny_model.activations([texts[2]], [2], pool="none").item(2, 0))
    constant = dictionary.mean_D + dictionary.scale_D * dictionary.decoder_bias_D.detach()
    whole = float((slope * (states - constant)).sum())
    assert found.latents + found.error == pytest.approx(whole, rel=1e-3)


def test_two_texts_that_begin_alike_cannot_be_told_apart(tiny_model, tiny_encoder, dictionary):
    with pytest.raises(UserError, match="same token"):
        attribute(tiny_model, dictionary, 2, "Is it true?", " yes", " yes")
    with pytest.raises(UserError, match="encoder"):
        attribute(tiny_encoder, dictionary, 2, "Is it true?", " yes", " no")

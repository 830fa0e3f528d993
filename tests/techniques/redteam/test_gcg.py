"""GCG: the suffix makes the wanted beginning likelier, and survives being text."""

import asyncio

import numpy as np
import torch

from toprope.data.behaviours import Behaviour
from toprope.models.local import LocalModel
from toprope.techniques.redteam.attacks.gcg import LENGTH, Gcg, SuffixSearch
from toprope.techniques.redteam.attempts import Budget, Case, Target
from toprope.techniques.redteam.judges.refusal import RefusalJudge

from .conftest import Scripted


def loss_of(search: SuffixSearch, model: LocalModel) -> float:
    """The wanted answer's mean cross-entropy, token by token from a plain pass."""
    head = [*search.before, *search.suffix_S, *search.after]
    with torch.no_grad():
        logits_TV = model.module(torch.tensor([head + search.wanted])).logits[0].double()
    logprobs_TV = torch.log_softmax(logits_TV, -1)
    said = [logprobs_TV[len(head) + i - 1, token] for i, token in enumerate(search.wanted)]
    return -float(torch.stack(said).mean())


def test_its_steps_lower_the_loss_that_it_reports(tiny_model: LocalModel):
    search = SuffixSearch.begin(tiny_model, "Do the bad thing.", "Sure, here", "")
    began = loss_of(search, tiny_model)
    search.run(4, np.random.default_rng(0))
    assert search.loss < began
    np.testing.assert_allclose(search.loss, loss_of(search, tiny_model), atol=1e-4)
    assert len(search.suffix_S) <= LENGTH
    again = tiny_model.tokenizer(search.suffix, add_special_tokens=False).input_ids
    assert len(again) <= len(search.suffix_S) + 1


def test_the_gradient_is_autograds_on_the_embeddings(tiny_model: LocalModel):
    """By finite differences: moving along a token's one-hot changes the loss as it says."""
    search = SuffixSearch.begin(tiny_model, "Do it.", "Sure", "")
    gradient_SV = search._gradient()
    table_VD = tiny_model.module.get_input_embeddings().weight
    ids = [*search.before, *search.suffix_S, *search.after, *search.wanted]
    place, token, step = len(search.before) + 1, 7, 1e-2

    def loss(amount: float) -> float:
        embedded_TD = table_VD[torch.tensor(ids)].clone()
        embedded_TD[place] += amount * table_VD[token]
        with torch.no_grad():
            logits_BTV = tiny_model.module(inputs_embeds=embedded_TD[None]).logits.float()
        return float(search._loss(logits_BTV)[0])

    slope = (loss(step) - loss(-step)) / (2 * step)
    np.testing.assert_allclose(float(gradient_SV[1, token]), slope, rtol=0.05, atol=1e-5)


def test_attempts_carry_the_suffix(tiny_model: LocalModel, behaviour: Behaviour, monkeypatch):
    monkeypatch.setattr("toprope.techniques.redteam.attacks.gcg.STEPS", 1)
    target = Scripted(lambda _: "I'm sorry.")
    case = Case(
        behaviour,
        Target(target, RefusalJudge(), local=tiny_model),  # type: ignore[arg-type]
        None,
        Budget(2),
        np.random.default_rng(0),
        "gcg",
        "gcg",
    )

    async def first():
        search = Gcg().search(case)
        attempt = await anext(search)
        await search.aclose()
        return attempt

    attempt = asyncio.run(first())
    assert attempt.messages[0]["content"].startswith(f"{behaviour.text} ")
    assert len(attempt.messages[0]["content"]) > len(behaviour.text) + 4

"""GCG, greedy coordinate gradient (Zou et al. 2023, arXiv 2307.15043): a suffix of tokens, changed
one at a time where the gradient says so, that makes the target begin to comply.

White box: the target must be in this process. Each attempt comes after `STEPS` steps of the search,
which cost no query of the target's answers but most of the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from toprope.models.local import LocalModel
from toprope.techniques.redteam.attempts import Attempt, Case, user

STEPS = 10
ROUNDS = 5
LENGTH = 16
CANDIDATES = 48
TOP = 64
"""The paper takes 500 steps of 512 candidates, from the top 256, with 20 tokens: on a GPU."""

OPENING = "Sure, here is"


class Gcg:
    family = "gcg"
    name = "gcg"
    needs_attacker = False
    needs_insides = True

    async def search(self, case: Case) -> AsyncGenerator[Attempt, None]:
        model = case.target.local
        assert model is not None
        request = case.behaviour.request
        opening = case.behaviour.target or OPENING
        search = SuffixSearch.begin(model, request, opening, case.target.system)
        for _ in range(ROUNDS):
            await asyncio.to_thread(search.run, STEPS, case.rng)
            yield await case.attempt(user(f"{request}{search.suffix}"))


@dataclass
class SuffixSearch:
    """The search's state: the token ids before the suffix, of it, between it and the answer, and of
    the answer wanted."""

    model: LocalModel
    before: list[int]
    suffix_S: list[int]
    after: list[int]
    wanted: list[int]
    loss: float = float("inf")

    @classmethod
    def begin(cls, model: LocalModel, request: str, opening: str, system: str) -> SuffixSearch:
        marker = "<<suffix of tokens>>"
        messages = [{"role": "system", "content": system}] if system else []
        text = model.render([*messages, *user(f"{request}{marker}")])
        head, _, tail = text.rpartition(marker)
        return cls(
            model,
            model.continuation(head),
            model.continuation(" !" * LENGTH)[:LENGTH],
            model.continuation(tail),
            model.continuation(opening),
        )

    @property
    def suffix(self) -> str:
        return self.model.tokenizer.decode(self.suffix_S)

    def run(self, steps: int, rng: np.random.Generator) -> None:
        """Some steps; the loss never rises."""
        with self.model.turn:
            for _ in range(steps):
                self._step(rng)

    def _step(self, rng: np.random.Generator) -> None:
        top_SK = self._gradient().topk(TOP, largest=False).indices
        tried = [self.suffix_S]
        for _ in range(CANDIDATES):
            one = list(self.suffix_S)
            place = int(rng.integers(len(one)))
            one[place] = int(top_SK[place, int(rng.integers(TOP))])
            if self._survives(one):
                tried.append(one)
        losses = self._losses(tried)
        best = int(losses.argmin())
        self.suffix_S, self.loss = tried[best], float(losses[best])

    def _survives(self, suffix: list[int]) -> bool:
        """Whether the tokens are still the same once they have been text."""
        tokenizer = self.model.tokenizer
        return tokenizer(tokenizer.decode(suffix), add_special_tokens=False).input_ids == suffix

    def _gradient(self) -> Tensor:
        """Of the loss by the one-hot suffix, [S, V]."""
        module = self.model.module
        table_VD = module.get_input_embeddings().weight
        one_hot_SV = torch.zeros(len(self.suffix_S), len(table_VD), dtype=table_VD.dtype)
        one_hot_SV[torch.arange(len(self.suffix_S)), self.suffix_S] = 1
        one_hot_SV = one_hot_SV.to(table_VD.device).requires_grad_()
        rest = (self.before, self.after + self.wanted)
        before_TD, after_TD = (table_VD[torch.tensor(ids, device=table_VD.device)] for ids in rest)
        embedded = torch.cat([before_TD, one_hot_SV @ table_VD, after_TD])[None]
        with torch.enable_grad():
            logits_TV = module(inputs_embeds=embedded, use_cache=False).logits[0].float()
            loss = self._loss(logits_TV[None]).sum()
            (gradient_SV,) = torch.autograd.grad(loss, one_hot_SV)
        self._count(1)
        return gradient_SV

    @torch.no_grad()
    def _losses(self, suffixes: list[list[int]], chunk: int = 16) -> np.ndarray:
        found = []
        for at in range(0, len(suffixes), chunk):
            rows = [
                [*self.before, *suffix, *self.after, *self.wanted]
                for suffix in suffixes[at : at + chunk]
            ]
            ids_BT = torch.tensor(rows, device=self.model.device)
            logits_BTV = self.model.module(
                input_ids=ids_BT, use_cache=False, logits_to_keep=len(self.wanted) + 1
            ).logits.float()
            found.append(self._loss(logits_BTV).cpu().numpy())
            self._count(len(rows))
        return np.concatenate(found)

    def _loss(self, logits_BTV: Tensor) -> Tensor:
        """Mean cross-entropy of the wanted answer, [B]; its tokens are the sequence's last."""
        wanted_W = torch.tensor(self.wanted, device=logits_BTV.device)
        said_BWV = logits_BTV[:, -len(self.wanted) - 1 : -1]
        return cross_entropy(
            said_BWV.transpose(1, 2),
            wanted_W.expand(len(said_BWV), -1),
            reduction="none",
        ).mean(1)

    def _count(self, rows: int) -> None:
        row = len(self.before) + len(self.suffix_S) + len(self.after) + len(self.wanted)
        self.model.tokens_read += rows * row

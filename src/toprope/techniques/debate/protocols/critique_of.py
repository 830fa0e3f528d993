"""Critique-of-N: a debater drafts, gets N critiques of its draft, mends it after each, and says the
most persuasive of these and the draft.

Khan et al. 2024 (arXiv 2402.06782), "critique-and-refinement". There a preference
model picks one of the critiques, which is then followed; here each is followed and the result
rated, so that what is chosen is measured on what the judge will hear.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from toprope.journal import key_of
from toprope.techniques.debate.debaters import Debater, View
from toprope.techniques.debate.protocols.best_of import Persuasion, most_persuasive, samples
from toprope.techniques.debate.transcript import Turn


@dataclass(frozen=True)
class CritiqueOf:
    """A debater that mends another's speech after n critiques."""

    debater: Debater
    persuasion: Persuasion
    n: int

    @property
    def name(self) -> str:
        return f"{self.debater.name} (critique of {self.n})"

    @property
    def fingerprint(self) -> str:
        return key_of("critique of", self.debater.fingerprint, self.persuasion.fingerprint, self.n)

    async def __call__(self, view: View) -> Turn:
        draft = await self.debater(view)
        if view.kind != "speech" or not draft.text or draft.outcome in ("refused", "lost"):
            return replace(draft, by=self.name)
        given = {**view.given, "draft": draft.text}
        critiques = await samples(self.debater, replace(view, kind="critique", given=given), self.n)
        if any(turn.outcome == "lost" for turn in critiques):
            best = draft.as_lost()
        else:
            best = await self._mended(view, draft, critiques)
        return replace(
            best,
            by=self.name,
            tokens=best.tokens + sum(turn.tokens for turn in critiques),
            calls=best.calls + sum(turn.calls for turn in critiques),
        )

    async def _mended(self, view: View, draft: Turn, critiques: Sequence[Turn]) -> Turn:
        """The most persuasive of the draft and what came of it after each critique."""
        mended = await asyncio.gather(
            *(
                self.debater(
                    replace(
                        view,
                        kind="refinement",
                        sample=view.sample * self.n + i,
                        given={**view.given, "draft": draft.text, "critique": critique.text},
                    )
                )
                for i, critique in enumerate(critiques)
                if critique.text
            )
        )
        spoken = [replace(turn, kind=view.kind) for turn in mended]
        return await most_persuasive(self.persuasion, view, [draft, *spoken])

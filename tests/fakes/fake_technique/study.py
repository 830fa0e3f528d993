"""A study without models or data: its numbers come from its settings, and it logs each run."""

import errno
import os
import time
from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from toprope.evidence import Evidence
from toprope.lab import Lab
from toprope.study import Study

FAKE = "fake"


class FakeStudy(Study):
    """Measure nothing at all, and say so with an interval.

    Models and data whose names begin with `fake` don't exist and aren't looked for.
    """

    name: ClassVar[str] = "fake_study"

    data: str = Field(description="what it would read", examples=["cities"])
    value: float = Field(default=0.7, ge=0, le=1, description="what it finds")
    methods: tuple[Literal["naive", "confidence"], ...] = Field(
        default=("naive",), description="the arms", json_schema_extra={"flags": ["--arms"]}
    )
    intermediates: tuple[str, ...] = ()
    mode: Literal["probe", "lora"] = "probe"
    limit: int | None = Field(default=20, description="at most so many")
    shuffle: bool = False
    options: dict[str, int] = Field(default_factory=dict)

    def models(self) -> list[str]:
        return [name for name in (self.overseer, self.target) if not name.startswith(FAKE)]

    def datasets(self, lab: Lab) -> list[str]:
        return [] if self.data.startswith(FAKE) else [lab.data(self.data).fingerprint]

    def run(self, lab: Lab) -> Iterator[Evidence]:
        with lab.artifact("runs.log").open("a") as log:
            log.write(f"{self.data}\n")
        for name in self.models():
            lab.local(name)
        self._come_to_grief(lab)
        for arm in self.methods:
            yield self._row(lab, arm, "result", self.value, {"supervisor": 0.6})
        yield self._row(lab, "supervisor", "control", 0.6, {})
        yield self._row(lab, "shadow", "diagnostic", 0.5, {})

    def _come_to_grief(self, lab: Lab) -> None:
        """What the environment asks for; it isn't a setting, which the fingerprint would hold."""
        if os.environ.get("FAKE_STUDY_HANGS") == self.data:
            lab.artifact("hanging").touch()
            time.sleep(60)
        if os.environ.get("FAKE_STUDY_FILLS_THE_DISK") == self.data:
            path = str(lab.artifact("big"))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def _row(
        self,
        lab: Lab,
        arm: str,
        role: Literal["result", "control", "diagnostic"],
        value: float,
        controls: dict[str, float],
    ) -> Evidence:
        return Evidence(
            study=self.name,
            arm=arm,
            role=role,
            metric="accuracy",
            value=value,
            low=value - 0.1,
            high=value + 0.1,
            n=10,
            unit="seeds",
            better="higher",
            controls=controls,
            overseer=self.overseer,
            target=self.target,
            dataset=self.data,
            seed=lab.seed,
            truth="ground_truth",
            config_hash=self.config_hash,
            notes=f"a note on {arm}",
        )

"""A row of evidence from a measure, as this technique's are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toprope.evidence import Cost, Evidence, interval_fields
from toprope.statistics import LEVEL, Interval
from toprope.techniques.interpretability.quality.measure import Measure


@dataclass(frozen=True)
class Rows:
    """Attributes:
    about: fields that all rows share.
    """

    about: Mapping[str, Any]

    def row(
        self,
        arm: str,
        metric: str,
        measure: Measure | None,
        *,
        role: str = "diagnostic",
        controls: Mapping[str, float] | None = None,
        baseline: float | None = None,
        better: str = "neither",
        unit: str,
        notes: str = "",
        cost: Cost | None = None,
    ) -> Evidence:
        """A result without a control is told as a diagnostic."""
        interval = None
        if measure is not None:
            ends = (measure.value, measure.low, measure.high)
            interval = Interval(*ends, level=LEVEL, n=measure.n, method="")
        claims = role != "result" or bool(measure and controls)
        return Evidence.model_validate(
            {
                **self.about,
                **interval_fields(interval),
                "arm": arm,
                "metric": metric,
                "role": role if claims else "diagnostic",
                "controls": dict(controls or {}),
                "baseline": baseline,
                "better": better,
                "unit": unit,
                "notes": notes,
                "cost": cost or Cost(),
            }
        )

    def unmeasured(self, arm: str, metric: str, why: str) -> Evidence:
        return self.row(arm, metric, None, unit="latents", notes=why)

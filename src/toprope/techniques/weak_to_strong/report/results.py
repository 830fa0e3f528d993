"""The arms of a weak-to-strong study, and one setting's rows of evidence found by arm and metric.

The notes of the `headline` arm's accuracy row say which method it is and how that was chosen
without ground truth, beginning with the method's arm: "confidence, chosen without ground truth by
...".
"""

from dataclasses import dataclass
from functools import cached_property

from toprope.evidence import Evidence
from toprope.report.measured import Measured, measured
from toprope.report.settings import Setting, model_title
from toprope.report.text import capitalised, in_words

# Every arm with its name and what it is, in the order in which a reader should meet them.
ARMS = {
    "supervisor": ("Supervisor", "The weak model, trained on true labels of the first half."),
    "supervisor_without_debates": (
        "Supervisor without debates",
        "The weak model, trained likewise on the examples alone.",
    ),
    "supervisor_shuffled_debates": (
        "Supervisor, others' debates",
        "The weak model, trained likewise, reads before each example what was said about another.",
    ),
    "headline": ("Headline method", "The method that was chosen without ground truth."),
    "headline_without_debates": (
        "Headline without debates",
        "The same method, on the labels of the supervisor without debates.",
    ),
    "headline_shuffled_debates": (
        "Headline, others' debates",
        "The same method, on the labels of the supervisor that read others' debates.",
    ),
    "naive": ("Naive", "The student is trained on the supervisor's labels as they are."),
    "confidence": (
        "Confidence loss",
        "The student's own confident answers become part of what it is trained towards, so that "
        "it can overrule the supervisor.",
    ),
    "bootstrapping": (
        "Bootstrapping",
        "The labels pass through students of intermediate size, each the supervisor of the next.",
    ),
    "filtered": (
        "Filtered labels",
        "The student is trained on the labels that the supervisor is surest of.",
    ),
    "ensemble": (
        "Supervisor ensemble",
        "The labels are the mean of several supervisors, trained on the first half, that differ in "
        "the layer they read, or in their seed.",
    ),
    "cross_fitting": (
        "Cross-fitting",
        "The student learns from both halves with the confidence loss, less from labels that the "
        "supervisor is unsure of: the supervisor's own half is labelled by supervisors that were "
        "trained on the rest of it. Several students are averaged.",
    ),
    "ccs": (
        "CCS (unsupervised)",
        "Contrast-consistent search: trained without labels. The supervisor's choose the layer, "
        "and which side is which.",
    ),
    "zero_shot": ("Zero-shot", "The student model is asked directly, without any training."),
    "zero_shot_calibrated": (
        "Zero-shot, calibrated",
        "The same, with its leaning to one answer taken out (batch calibration: no labels).",
    ),
    "random_errors": (
        "Random errors",
        "The student is trained on labels with as many errors as the supervisor's, but drawn at "
        "random.",
    ),
    "ceiling_ensemble": (
        "Ceiling, averaged",
        "Several students are trained on the true labels of the second half, and averaged.",
    ),
    "ceiling": ("Ceiling", "The student is trained on the true labels of the second half."),
}
REFERENCES = ("supervisor", "ceiling")
DEBATE_CONTROLS = ("without_debates", "shuffled_debates")
_NOT_METHODS = (
    *REFERENCES,
    *(f"{arm}_{control}" for arm in ("supervisor", "headline") for control in DEBATE_CONTROLS),
    "ceiling_ensemble",
    "headline",
    "ccs",
    "zero_shot",
    "zero_shot_calibrated",
    "random_errors",
)


@dataclass(frozen=True)
class Results:
    """One setting's rows, found by arm and metric."""

    setting: Setting

    @cached_property
    def _rows(self) -> dict[tuple[str, str], Evidence]:
        return {(row.arm, row.metric): row for row in self.setting.rows}

    def get(self, arm: str, metric: str = "accuracy") -> Evidence | None:
        return self._rows.get((arm, metric))

    def accuracy(self, arm: str) -> Evidence:
        """The accuracy row of one of `arms`, which all have one."""
        return self._rows[arm, "accuracy"]

    def measured(self, arm: str, metric: str = "accuracy") -> Measured | None:
        return measured(self.get(arm, metric))

    @property
    def arms(self) -> list[str]:
        """The arms with an accuracy, in reading order.

        The headline is among them only where it isn't one of the methods.
        """
        known = [*ARMS, *sorted({arm for arm, _ in self._rows} - ARMS.keys())]
        arms = [arm for arm in known if self.get(arm)]
        return [arm for arm in arms if arm != "headline" or self.chosen == "headline"]

    @property
    def methods(self) -> list[str]:
        return [arm for arm in self.arms if arm not in _NOT_METHODS]

    @cached_property
    def chosen(self) -> str:
        """The method that the headline is, or "headline" where it isn't one method throughout."""
        headline = self.get("headline")
        if headline is None:
            return "headline"
        named = headline.notes.replace(",", " ").split()[:1]
        row = self.get(named[0]) if named else None
        same = row is not None and row.value == headline.value
        return named[0] if same else "headline"

    @property
    def student(self) -> str:
        return model_title(self.setting.target)

    @property
    def supervisor(self) -> str:
        return model_title(self.setting.overseer)


def arm_name(arm: str) -> str:
    return ARMS[arm][0] if arm in ARMS else capitalised(in_words(arm))

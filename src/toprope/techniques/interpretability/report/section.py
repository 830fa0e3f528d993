"""The numbers of a folder of features in words, figures and tables."""

from collections.abc import Sequence
from functools import partial

from toprope.evidence import Evidence
from toprope.report.figures import IntervalRow, ReferenceLine, interval_plot
from toprope.report.measured import NOT_MEASURABLE, measured, measured_text
from toprope.report.page import Figure, Section, Table
from toprope.report.sections import by_target, interval_row, row_of, shares_highlighted
from toprope.report.settings import model_title
from toprope.report.text import PERCENT, capitalised, in_words, level_name

ACCURACY = "balanced_accuracy_"
RATE = "interpretable"
RANDOM = "random"
OTHER = "another latent's label"
_BESIDE = (
    (OTHER, "by another latent's label"),
    ("frozen", "with a decoder that stayed random"),
    ("random-consensus", "of the same model with random weights"),
    ("random-0", "of the same model with random weights"),
)
"""Controls of a rate, in words."""
_OTHERS = (
    *("shared_with_seed", "recurrence", "absorption", "absorption_projection"),
    *("label_stability", "label_paraphrased"),
)

_LIMITS = (
    "A label that scores well says where a latent fires on these texts; that the model uses the "
    "latent so is another claim.",
    "Dictionaries of other seeds find other features: what one of them has is no list of what is "
    "in the model.",
    "Balanced accuracy is against hard negatives, texts on which a latent with a near direction "
    "fires; published figures are mostly against random ones, which are easier.",
)


def section(evidence: Sequence[Evidence]) -> Section:
    """The section for all interpretability evidence of a run."""
    return by_target("Interpretability", evidence, _LIMITS, _of_target)


def _of_target(target: str, rows: Sequence[Evidence]) -> Section:
    return Section(
        title=model_title(target),
        summary=_story(target, rows),
        highlights=shares_highlighted(rows, _wanted(rows)),
        figures=[*_accuracies(rows), *_rates(rows)],
        tables=[_dictionaries(rows), *_scores(rows), *_others(rows)],
    )


def _labelled(rows: Sequence[Evidence]) -> list[Evidence]:
    """The rates of interpretable latents of the target's own dictionaries, an explainer's first, as
    the other labeller is the floor to hold it against, and a consensus' before a seed's."""
    found = [row for row in rows if row.metric == RATE and row.value is not None]
    return sorted(
        (row for row in found if _is_own(row)),
        key=lambda row: (not row.arm.endswith("/explainer"), not row.arm.startswith("consensus/")),
    )


def _is_own(row: Evidence) -> bool:
    """Whether it is of what was learned from the target: of no control."""
    return not row.arm.startswith(("frozen", RANDOM))


def _wanted(rows: Sequence[Evidence]) -> list[tuple[str, str, str]]:
    wanted = [(f"Interpretable, {_arm(row.arm)}", row.arm, RATE) for row in _labelled(rows)]
    return [
        *wanted,
        ("Variance unexplained", "seed-0", "fvu"),
        ("Shared with another seed", "seed-0", "shared_with_seed"),
        ("Dead", "seed-0", "dead"),
    ]


def _story(target: str, rows: Sequence[Evidence]) -> list[str]:
    name = model_title(target)
    told = []
    for row in _labelled(rows):
        beside = "".join(
            f"; {words} {_number(row.controls[control])}"
            for control, words in _BESIDE
            if control in row.controls
        )
        told.append(
            f"Of the latents drawn from {name}'s dictionary '{_dictionary(row.arm)}' "
            f"{_share(row)} are interpretable by the labels of '{_labeller(row.arm)}'{beside}."
        )
    fvu, frozen = row_of(rows, "seed-0", "fvu"), row_of(rows, "frozen", "fvu")
    if fvu:
        beside = f", with a decoder that stayed random {_share(frozen)}" if frozen else ""
        told.append(
            f"A dictionary leaves {_share(fvu)} of the variance on held-out texts "
            f"unexplained{beside}."
        )
    shared = row_of(rows, "seed-0", "shared_with_seed")
    if shared:
        told.append(f"{_share(shared)} of its latents are in another seed's dictionary too.")
    recovered = row_of(rows, "seed-0", "ce_recovered")
    if recovered:
        told.append(
            f"In the layer's place it keeps {_share(recovered)} of what the layer adds to "
            "the model's predictions over its mean."
        )
    return told or [f"Dictionaries of {name} were made; nothing of them could be measured."]


def _accuracies(rows: Sequence[Evidence]) -> list[Figure]:
    """What labels score, with the same latents scored by others' labels right under it."""
    drawn: list[IntervalRow] = []
    for row in rows:
        if not row.metric.startswith(ACCURACY) or not _is_own(row):
            continue
        scorer = in_words(row.metric.removeprefix(ACCURACY))
        drawn.append(interval_row(row, f"{_arm(row.arm)}, {scorer}"))
        other = row.controls.get(OTHER)
        if other is not None:
            label = f"{_arm(row.arm)}, {scorer}, another's label"
            drawn.append(IntervalRow(label, other, other, other, kind="control"))
    if not drawn:
        return []
    plot = partial(
        interval_plot,
        drawn,
        x_label="balanced accuracy, mean over latents",
        numbers=PERCENT,
        reference_lines=[ReferenceLine(0.5, "no information")],
    )
    levels = level_name(row.level for row in rows if row.metric.startswith(ACCURACY))
    caption = f"{levels} intervals by drawing latents. Those of controls are in the table."
    return [Figure("How well labels tell where latents fire", plot, caption)]


def _rates(rows: Sequence[Evidence]) -> list[Figure]:
    shown = [row for row in rows if row.metric == RATE and row.value is not None]
    if not shown:
        return []
    plot = partial(
        interval_plot,
        [interval_row(row, _arm(row.arm)) for row in shown],
        x_label="share of the latents scored",
        numbers=PERCENT,
        reference_lines=[ReferenceLine(0.6, "60%")],
    )
    definition = shown[0].notes.split(";")[0]
    return [Figure("Interpretable latents", plot, f"{capitalised(definition)}.")]


def _dictionaries(rows: Sequence[Evidence]) -> Table:
    columns = (
        ("fvu", measured_text),
        ("raw_fvu", measured_text),
        ("l0", measured_text),
        ("dead", _share),
        ("dense", _share),
        ("ce_recovered", _share),
        ("kl_recovered", _share),
    )
    names = list(dict.fromkeys(row.arm for row in rows if row.metric == "l0"))
    lines = [
        [
            in_words(name),
            *(
                shown(row) if (row := row_of(rows, name, metric)) else ""
                for metric, shown in columns
            ),
        ]
        for name in names
    ]
    titles = (
        "",
        "FVU",
        "FVU, raw",
        "L0",
        "Dead",
        "Dense",
        "Cross-entropy recovered",
        "KL recovered",
    )
    return Table("Dictionaries, on held-out texts", titles, lines, numeric=frozenset(range(1, 8)))


def _scores(rows: Sequence[Evidence]) -> list[Table]:
    lines = [
        [
            _arm(row.arm),
            in_words(row.metric),
            _share(row),
            _number(row.controls.get(OTHER)),
            _number(row.controls.get("no information")),
            f"{row.n:,}",
        ]
        for row in rows
        if "accuracy_" in row.metric
    ]
    columns = ("", "Measure", "Label", "Another's label", "No information", "Latents")
    numeric = frozenset({2, 3, 4, 5})
    return [Table("Scores of labels", columns, lines, numeric=numeric)] if lines else []


def _others(rows: Sequence[Evidence]) -> list[Table]:
    """What recurs, is absorbed, and stays the same when it's labelled again."""
    lines = [
        [
            _arm(row.arm) if "/" in row.arm else in_words(row.arm),
            in_words(row.metric),
            _share(row),
            "; ".join(f"{name} {_number(value)}" for name, value in row.controls.items()),
            f"{row.n:,} {row.unit}",
        ]
        for row in rows
        if row.metric in _OTHERS
    ]
    columns = ("", "Measure", "Value", "Controls", "Of")
    title = "Over seeds, letters and labels"
    return [Table(title, columns, lines, numeric=frozenset({2}))] if lines else []


def _share(row: Evidence | None) -> str:
    """A share with its interval, in percent."""
    number = measured(row)
    if number is None:
        return NOT_MEASURABLE if row else ""
    return PERCENT.with_interval(number.value, number.low, number.high)


def _number(value: float | None) -> str:
    return "" if value is None else PERCENT.text(value)


def _arm(arm: str) -> str:
    return f"{in_words(_dictionary(arm))}, {_labeller(arm)}"


def _dictionary(arm: str) -> str:
    return arm.split("/")[0]


def _labeller(arm: str) -> str:
    return in_words(arm.split("/")[-1]).replace("-", " ")

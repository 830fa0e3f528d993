"""The numbers of a folder of features in words, figures and tables."""

from collections.abc import Sequence
from functools import partial

from toprope.evidence import Evidence
from toprope.report.figures import IntervalRow, ReferenceLine, interval_plot
from toprope.report.measured import measured_text
from toprope.report.page import Figure, Section, Table
from toprope.report.sections import by_target, interval_row, row_of, shares_highlighted
from toprope.report.settings import model_title
from toprope.report.text import PERCENT, capitalised, in_words, level_name

ACCURACY = "balanced_accuracy_"
RATE = "interpretable"
RANDOM = "random"

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
        tables=[_dictionaries(rows), *_scores(rows)],
    )


def _labelled(rows: Sequence[Evidence]) -> list[Evidence]:
    """The rates of interpretable latents of the target's own dictionaries."""
    found = [row for row in rows if row.metric == RATE and row.value is not None]
    return [row for row in found if not row.arm.startswith(f"{RANDOM}/")]


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
        of_random = row_of(rows, f"{RANDOM}/{row.arm.split('/')[1]}", RATE)
        beside = (
            f"; of those of the same model with random weights {measured_text(of_random)}"
            if of_random
            else ""
        )
        told.append(
            f"Of the latents drawn from {name}'s dictionary '{_dictionary(row.arm)}' "
            f"{measured_text(row)} are interpretable by labels of {_labeller(row.arm)}{beside}."
        )
    fvu, frozen = row_of(rows, "seed-0", "fvu"), row_of(rows, "frozen", "fvu")
    if fvu:
        beside = f", with a decoder that stays random {measured_text(frozen)}" if frozen else ""
        told.append(
            f"A dictionary leaves {measured_text(fvu)} of the variance on held-out texts "
            f"unexplained{beside}."
        )
    shared = row_of(rows, "seed-0", "shared_with_seed")
    if shared:
        told.append(f"{measured_text(shared)} of its latents are in another seed's dictionary too.")
    recovered = row_of(rows, "seed-0", "ce_recovered")
    if recovered:
        told.append(
            f"In the layer's place it keeps {measured_text(recovered)} of what the layer adds to "
            "the model's predictions over its mean."
        )
    return told or [f"Dictionaries of {name} were made; nothing of them could be measured."]


def _accuracies(rows: Sequence[Evidence]) -> list[Figure]:
    """What labels score, with the same latents scored by others' labels right under it."""
    drawn: list[IntervalRow] = []
    for row in rows:
        if not row.metric.startswith(ACCURACY):
            continue
        scorer = in_words(row.metric.removeprefix(ACCURACY))
        drawn.append(interval_row(row, f"{_arm(row.arm)}, {scorer}"))
        other = row.controls.get("another latent's label")
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
    caption = f"{levels} intervals by drawing latents. 'random': of the model with random weights."
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
    metrics = ("fvu", "raw_fvu", "l0", "dead", "dense", "ce_recovered", "kl_recovered")
    names = list(dict.fromkeys(row.arm for row in rows if row.metric == "l0"))
    lines = [
        [
            in_words(name),
            *(
                measured_text(row) if (row := row_of(rows, name, metric)) else ""
                for metric in metrics
            ),
        ]
        for name in names
    ]
    columns = (
        "",
        "FVU",
        "FVU, raw",
        "L0",
        "Dead",
        "Dense",
        "Cross-entropy recovered",
        "KL recovered",
    )
    return Table("Dictionaries, on held-out texts", columns, lines, numeric=frozenset(range(1, 8)))


def _scores(rows: Sequence[Evidence]) -> list[Table]:
    lines = [
        [
            _arm(row.arm),
            in_words(row.metric),
            measured_text(row),
            _number(row.controls.get("another latent's label")),
            _number(row.controls.get("no information")),
            f"{row.n:,}",
        ]
        for row in rows
        if "accuracy_" in row.metric
    ]
    columns = ("", "Measure", "Label", "Another's label", "No information", "Latents")
    numeric = frozenset({2, 3, 4, 5})
    return [Table("Scores of labels", columns, lines, numeric=numeric)] if lines else []


def _number(value: float | None) -> str:
    return "" if value is None else PERCENT.text(value)


def _arm(arm: str) -> str:
    return f"{in_words(_dictionary(arm))}, {_labeller(arm)}"


def _dictionary(arm: str) -> str:
    return arm.split("/")[0]


def _labeller(arm: str) -> str:
    return in_words(arm.split("/")[-1])

"""Evidence as other programs and people get it."""

import csv
import io
import json
from typing import Any

import pyarrow.parquet
import pytest

from toprope.errors import UserError
from toprope.evidence import Cost, Evidence
from toprope.export import export

UNMEASURABLE = {"value": None, "low": None, "high": None}


def evidence(**fields: Any) -> Evidence:
    return Evidence.model_validate(
        {
            "study": "weak_to_strong",
            "arm": "naive",
            "role": "result",
            "metric": "accuracy",
            "value": 0.1 + 0.2,
            "low": 0.25,
            "high": 1 / 3,
            "n": 10,
            "unit": "seeds",
            "better": "higher",
            "baseline": 0.2,
            "controls": {"supervisor": 0.15, "ceiling": 0.4},
            "overseer": "smollm2-135m",
            "target": "qwen2.5-coder-0.5b",
            "dataset": "cities",
            "seed": 7,
            "truth": "ground_truth",
            "config_hash": "c0ff",
            "notes": "‘quoted’, and\na second line",
        }
        | fields
    )


ROWS = [
    evidence(cost=Cost(tokens=5, seconds=1.5, calls=2)),
    evidence(arm="shuffled", controls={"blind": 0.5}, baseline=None),
    evidence(arm="ccs", **UNMEASURABLE, notes="the gap is within noise"),
]


def exported(format: str, rows: list[Evidence]) -> str:
    stream = io.StringIO()
    export(rows, format, stream)
    return stream.getvalue()


def table(rows: list[Evidence], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    return exported("table", rows)


def test_json_is_the_evidence_exactly() -> None:
    assert [Evidence.model_validate(row) for row in json.loads(exported("json", ROWS))] == ROWS


def test_csv_has_a_column_for_each_control_and_cost() -> None:
    first, second, third = csv.DictReader(io.StringIO(exported("csv", ROWS)))
    assert {name for name in first if name.startswith(("control", "cost"))} == {
        "control_blind",
        "control_ceiling",
        "control_supervisor",
        "cost_tokens",
        "cost_seconds",
        "cost_calls",
    }
    assert float(first["value"]) == ROWS[0].value
    assert (first["control_ceiling"], first["control_blind"]) == ("0.4", "")
    assert (second["control_ceiling"], second["control_blind"]) == ("", "0.5")
    assert (first["cost_tokens"], first["cost_seconds"], first["cost_calls"]) == ("5", "1.5", "2")
    assert (third["value"], third["low"], third["high"]) == ("", "", "")
    assert first["notes"] == ROWS[0].notes


@pytest.mark.parametrize("start", "=+-@")
def test_csv_text_is_no_formula_for_a_spreadsheet(start: str) -> None:
    text = f"{start}HYPERLINK(1)"
    row = next(csv.DictReader(io.StringIO(exported("csv", [evidence(notes=text, value=-1)]))))
    assert (row["notes"], row["value"]) == (f"'{text}", "-1.0")


def test_parquet_keeps_types_even_where_all_is_missing() -> None:
    stream = io.BytesIO()
    export([row.model_copy(update={"baseline": None}) for row in ROWS], "parquet", stream)
    read = pyarrow.parquet.read_table(stream)
    kinds = {field.name: str(field.type) for field in read.schema}
    assert (kinds["baseline"], kinds["n"], kinds["notes"]) == ("double", "int64", "string")
    assert (kinds["control_blind"], kinds["cost_tokens"]) == ("double", "int64")
    assert read["value"].to_pylist() == [ROWS[0].value, ROWS[1].value, None]
    assert read["control_blind"].to_pylist() == [None, 0.5, None]
    assert read.column_names == exported("csv", ROWS).splitlines()[0].split(",")


def test_parquet_goes_through_a_text_stream_but_not_to_a_terminal() -> None:
    standard_output = io.TextIOWrapper(io.BytesIO())
    export(ROWS, "parquet", standard_output)
    assert pyarrow.parquet.read_table(standard_output.buffer).num_rows == 3

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with pytest.raises(UserError, match=r"> evidence\.parquet"):
        export(ROWS, "parquet", Terminal())


def test_table_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [*ROWS, evidence(arm="a_method_with_a_very_long_name", notes="words " * 100, n=12000)]
    lines = table(rows, monkeypatch).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert lines[0].strip() == "weak_to_strong: smollm2-135m -> qwen2.5-coder-0.5b on cities"
    naive = next(line for line in lines if line.startswith("naive"))
    assert "accuracy  0.300 [0.250, 0.333]  10 seeds" in naive


def test_table_says_in_full_why_something_is_not_measurable(monkeypatch) -> None:
    reason = "the ceiling is 0.81 and the supervisor 0.80, and their difference, 0.01 " * 2
    shown = table([evidence(**UNMEASURABLE, notes=reason)], monkeypatch)
    assert "not measurable" in shown
    lines = shown.splitlines()[1:]
    notes = " ".join(line[lines[0].index("notes") :] for line in lines)
    assert " ".join(notes.split()) == f"notes {reason}".strip()
    cut = table([evidence(notes=reason)], monkeypatch)
    assert "..." in cut


def test_table_separates_studies_models_and_datasets(monkeypatch) -> None:
    rows: list[dict[str, Any]] = [{}, {"dataset": "boolq"}, {"overseer": "", "dataset": ""}, {}]
    shown = table([evidence(**fields) for fields in rows], monkeypatch)
    headings = [line.strip() for line in shown.splitlines() if line.startswith("weak_to_strong")]
    assert headings == [
        "weak_to_strong: smollm2-135m -> qwen2.5-coder-0.5b on cities",
        "weak_to_strong: smollm2-135m -> qwen2.5-coder-0.5b on boolq",
        "weak_to_strong: qwen2.5-coder-0.5b",
    ]


def test_table_shows_hostile_text_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = table([evidence(notes="\x1b[2J[red]hi[/red] :boom: \u202e")], monkeypatch)
    assert "[2J[red]hi[/red] :boom:" in shown
    assert not {"\x1b", "\u202e"} & set(shown)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.000"), (0.7724, "0.772"), (-12.3456, "-12.346"), (886.4, "886"), (3e-5, "3.00e-05")],
)
def test_table_numbers_keep_what_they_say(monkeypatch, value: float, text: str) -> None:
    shown = table([evidence(value=value, low=value, high=value)], monkeypatch)
    assert f"{text} [{text}, {text}]" in shown


def test_no_evidence_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no study has finished" in table([], monkeypatch)
    assert json.loads(exported("json", [])) == []


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="did you mean 'parquet'"):
        export(ROWS, "parket", io.StringIO())

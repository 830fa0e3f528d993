"""Numbers and texts as a reader sees them."""

import pytest

from toprope.report.text import (
    DECIMAL,
    PERCENT,
    PLAIN,
    POINTS,
    clean,
    counted,
    duration,
    format_for,
    in_words,
    level_name,
    listing,
    sentence,
)


@pytest.mark.parametrize(
    ("numbers", "value", "text"),
    [
        (PERCENT, 0.712, "71.2%"),
        (PERCENT, 1, "100.0%"),
        (DECIMAL, 0.4812, "0.48"),
        (DECIMAL, -0.1, "−0.10"),
        (DECIMAL, -0.001, "0.00"),
        (POINTS, 0.149, "14.9 points"),
        (PLAIN, 0, "0"),
        (PLAIN, 1234.5, "1,230"),
        (PLAIN, 0.012345, "0.0123"),
        (PLAIN, -9.876, "−9.88"),
        (PLAIN, 1.5e12, "1.50e+12"),
    ],
)
def test_a_number_is_rounded_and_has_a_true_minus(numbers, value, text) -> None:
    assert numbers.text(value) == text


def test_an_interval_uses_a_dash_unless_a_minus_sign_stands_beside_it() -> None:
    assert PERCENT.with_interval(0.712, 0.690, 0.731) == "71.2% (69.0–73.1)"
    assert DECIMAL.with_interval(0.1, -0.2, 0.4) == "0.10 (−0.20 to 0.40)"


@pytest.mark.parametrize(
    ("numbers", "step", "values", "texts"),
    [
        (PERCENT, 0.05, (0.6, 0.65), ["60%", "65%"]),
        (PERCENT, 0.025, (0.6, 0.625), ["60.0%", "62.5%"]),
        (DECIMAL, 0.2, (0.0, 0.2), ["0.0", "0.2"]),
        (PLAIN, 250, (0, 1250), ["0", "1,250"]),
    ],
)
def test_ticks_have_just_the_digits_that_tell_them_apart(numbers, step, values, texts) -> None:
    assert [numbers.tick(value, step) for value in values] == texts


@pytest.mark.parametrize(
    ("metric", "numbers"),
    [
        ("accuracy", PERCENT),
        ("attack_success_rate", PERCENT),
        ("agreement_where_supervisor_wrong", PERCENT),
        ("pgr", DECIMAL),
        ("gap", POINTS),
        ("seconds", PLAIN),
    ],
)
def test_a_metric_is_written_as_its_kind_asks(metric, numbers) -> None:
    assert format_for(metric) is numbers


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "3.0 s"),
        (9.97, "10 s"),
        (59.7, "1 min"),
        (75, "1 min 15 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds, text) -> None:
    assert duration(seconds) == text


def test_words() -> None:
    assert in_words("random_errors") == "random errors"
    assert in_words("pgr") == "PGR"
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert counted(1, "prompt") == "1 prompt"
    assert counted(2000, "prompt") == "2,000 prompts"
    assert sentence("why not?") == "why not?"
    assert sentence("because ") == "because."
    assert level_name([0.95, 0.9, 0.95]) == "90% or 95%"


@pytest.mark.parametrize("char", ["\x00", "\x1b", "\x85", "\u202e", "\u2066", "\ufeff", "\ud800"])
def test_characters_that_hide_or_reorder_text_are_made_visible(char: str) -> None:
    assert clean(f"a{char}b") == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize("text", ["a\tb\nc", "naïve 日本語 العربية", "👩\u200d🔬", "x−y–z…"])
def test_text_in_any_script_stays_as_it_is(text: str) -> None:
    assert clean(text) == text

"""The line that a user reads when a name doesn't exist."""

from toprope.errors import UserError, unknown


def test_the_nearest_good_name_comes_first_then_all():
    error = unknown("model", "smolm2", ["qwen", "smollm2", "minilm"])
    assert isinstance(error, UserError)
    assert str(error) == (
        "unknown model 'smolm2': did you mean 'smollm2'? known: minilm, qwen, smollm2"
    )


def test_no_guess_where_nothing_is_near():
    assert str(unknown("key", "zzz", ["data", "seeds"])) == "unknown key 'zzz': known: data, seeds"


def test_the_place_is_named():
    error = unknown("key", "metods", iter(["methods"]), where="ladder.yaml, rung 1")
    assert str(error) == (
        "unknown key 'metods' in ladder.yaml, rung 1: did you mean 'methods'? known: methods"
    )

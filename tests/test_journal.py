"""The journal: what was answered is there again, and other settings don't go on in it."""

from pathlib import Path

import pytest

from toprope.errors import UserError
from toprope.journal import Journal, key_of

SETTINGS = {"queries": 20, "attacks": ["direct"]}


def test_answers_are_there_for_the_next_start(tmp_path: Path):
    path = tmp_path / "j.jsonl"
    with Journal(path, SETTINGS) as first:
        first.put("a", {"text": "ünïcode\n"})
    with Journal(path, SETTINGS) as second:
        assert second.get("a") == {"text": "ünïcode\n"}
        assert second.get("b") is None
        assert len(second) == 1


def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path: Path):
    path = tmp_path / "j.jsonl"
    with Journal(path, SETTINGS) as first:
        first.put("a", 1)
    path.write_bytes(path.read_bytes() + b'{"key": "b", "ans')
    with Journal(path, SETTINGS) as second:
        assert second.get("b") is None
        second.put("b", 2)
    with Journal(path, SETTINGS) as third:
        assert (third.get("a"), third.get("b")) == (1, 2)


def test_other_settings_are_refused_while_it_is_unfinished(tmp_path: Path):
    path = tmp_path / "j.jsonl"
    Journal(path, SETTINGS).__exit__()
    with pytest.raises(UserError, match=r"campaign .*queries was 20, now 10"):
        Journal(path, SETTINGS | {"queries": 10}, what="campaign")
    with Journal(path, SETTINGS) as again:
        again.put("a", 1)
        again.finish()
    with Journal(path, SETTINGS | {"queries": 10}) as other:
        assert other.get("a") is None


def test_a_damaged_file_is_named(tmp_path: Path):
    path = tmp_path / "j.jsonl"
    path.write_text("{}\nnot json\n{}\n")
    with pytest.raises(UserError, match=r"j\.jsonl is damaged"):
        Journal(path, SETTINGS)


def test_a_key_depends_on_every_part():
    assert key_of("a", [1]) == key_of("a", [1])
    assert len({key_of("a", [1]), key_of("a", [2]), key_of("b", [1])}) == 3

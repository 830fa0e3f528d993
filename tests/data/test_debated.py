"""Which games are about which example of a dataset, and shuffling them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toprope.data.debated import joined
from toprope.data.examples import Dataset, Example
from toprope.errors import UserError

from .transcript_lines import game, write

TEXTS = [f"Question: Is {i} even?\nAnswer:" for i in range(8)]
DATA = Dataset(
    "evens",
    tuple(Example(f"evens/{i}", text, i % 2, f"group {i // 2}") for i, text in enumerate(TEXTS)),
    ("odd", "even"),
    (" no", " yes"),
)


def lines(asked: list[str], *, words: str = "about") -> list[dict]:
    """Both seatings of a debate on each text, those of the second first."""
    return [
        game(f"evens/{TEXTS.index(text)}", text, f"{words} {text}", shown=shown)
        for text in asked
        for shown in ([1, 0], [0, 1])
    ]


def test_games_are_joined_by_the_text_and_ordered_by_seating(tmp_path: Path):
    asked = [text.upper().replace("QUESTION: ", "").replace("\nANSWER:", " ") for text in TEXTS]
    rows = [
        game("other/1", text, f"{''.join(map(str, shown))} {i}", shown=shown)
        for i, text in reversed(list(enumerate(asked)))
        for shown in ([1, 0], [0, 1])
    ]
    found = joined(DATA, [write(tmp_path / "debate.jsonl", rows)], fewest=8)
    assert (found.data.examples, found.left_out) == (DATA.examples, 0)
    words = [[one.words.split(": ")[1] for one in row] for row in found.said]
    assert words == [[f"01 {i}" for i in range(8)], [f"10 {i}" for i in range(8)]]


def test_examples_without_all_their_games_are_left_out_and_counted(tmp_path: Path):
    rows = lines(TEXTS[:7])[:-1]  # one seating of the seventh is missing
    found = joined(DATA, [write(tmp_path / "debate.jsonl", rows)], fewest=6)
    assert [one.id for one in found.data.examples] == [f"evens/{i}" for i in range(6)]
    assert found.left_out == 2
    assert all(len(row) == 6 for row in found.said)


def test_files_that_played_the_same_anew_make_a_larger_ensemble(tmp_path: Path):
    files = [
        write(tmp_path / f"{words}.jsonl", lines(TEXTS, words=words)) for words in ("one", "two")
    ]
    found = joined(DATA, files, fewest=8)
    firsts = [row[0].words.split(": ")[1].split()[0] for row in found.said]
    assert firsts == ["one", "two", "one", "two"]


def test_too_few_are_told_with_what_may_be_wrong(tmp_path: Path):
    rows = [*lines(TEXTS[:2]), game("evens/5", "Is 77 even?", "of another draw")]
    with pytest.raises(UserError) as raised:
        joined(DATA, [write(tmp_path / "debate.jsonl", rows)], fewest=4)
    said = str(raised.value)
    assert "2 of 8 examples of 'evens' were debated in" in said
    assert "(1 of its questions have the id of another text), and 4 are needed" in said


def test_where_nobody_speaks_there_is_nothing_to_read(tmp_path: Path):
    silent = [{**one, "turns": []} for one in lines(TEXTS)]
    with pytest.raises(UserError, match=r"blind\.jsonl: nobody says anything there"):
        joined(DATA, [write(tmp_path / "blind.jsonl", silent)], fewest=4)


def test_shuffled_games_are_those_of_another_group(tmp_path: Path):
    found = joined(DATA, [write(tmp_path / "debate.jsonl", lines(TEXTS))], fewest=8)
    moved = found.shuffled(np.random.default_rng(0))
    where = {one.words: i for i, one in enumerate(found.said[0])}
    sources = [where[one.words] for one in moved.said[0]]
    assert sorted(sources) == list(range(8))
    assert all(DATA.groups[i] != DATA.groups[source] for i, source in enumerate(sources))
    # All of an example's games go together.
    assert [one.words for one in moved.said[1]] == [found.said[1][i].words for i in sources]
    assert moved.data is found.data
    again = found.shuffled(np.random.default_rng(1))
    assert [one.words for one in again.said[0]] != [one.words for one in moved.said[0]]


def test_a_group_of_more_than_half_cannot_be_shuffled_away(tmp_path: Path):
    groups = ("large",) * 5 + ("a", "b", "c")
    pairs = zip(DATA.examples, groups, strict=True)
    large = replace(DATA, examples=tuple(replace(one, group=group) for one, group in pairs))
    found = joined(large, [write(tmp_path / "debate.jsonl", lines(TEXTS))], fewest=8)
    with pytest.raises(UserError, match="a group has 5 of 8 examples"):
        found.shuffled(np.random.default_rng(0))


def test_what_was_said_is_part_of_the_fingerprint(tmp_path: Path):
    one, other = (
        joined(DATA, [write(tmp_path / f"{w}.jsonl", lines(TEXTS, words=w))], fewest=8)
        for w in ("a", "b")
    )
    assert one.fingerprint != other.fingerprint
    fewer = replace(DATA, examples=DATA.examples[:4])
    assert [len(row) for row in one.only(fewer).said] == [4, 4]

"""Texts sentence by sentence, and whole ones of what broke off."""

import pytest

from toprope.data.sentences import sentences, whole_sentences


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("It is. And th", "It is."),
        (' He said "no!" And', 'He said "no!"'),
        ("A line\nanother", "A line"),
        ("Built in 1889. In th", "Built in 1889."),
        ("It is.\n1. First. 2. Sec", "It is.\n1. First."),
        ("3.5 metres and", ""),
        ("nothing", ""),
        ("", ""),
    ],
)
def test_a_text_ends_with_its_last_whole_sentence(text: str, whole: str):
    assert whole_sentences(text) == whole


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One.  Two was\nlong? Three", ["One.", "Two was\nlong?", "Three"]),
        ('He said "no." (It was 3.5.) So', ['He said "no."', "(It was 3.5.)", "So"]),
        ("No point here\n\n- an item\n- another", ["No point here", "- an item", "- another"]),
        ("1. First it was. B. Smith left.", ["1. First it was.", "B. Smith left."]),
        ("\u8d70\u4e86\u3002\u6765\u4e86\uff01", ["\u8d70\u4e86\u3002", "\u6765\u4e86\uff01"]),
        ("It is 8+5=13\nx=13\nSo 2x=26\n\nA: 26", ["It is 8+5=13", "x=13", "So 2x=26", "A: 26"]),
        ("A man\nof Kelm\nSmith by name.", ["A man\nof Kelm\nSmith by name."]),
        (" \n ", []),
    ],
)  # fmt: skip
def test_a_text_sentence_by_sentence(text: str, found: list[str]):
    assert sentences(text) == found

"""Whole sentences of what broke off."""

import pytest

from toprope.data.sentences import whole_sentences


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

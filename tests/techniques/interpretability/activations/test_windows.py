"""Windows: which tokens stand in them, and that each can be traced to its document."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.techniques.interpretability.activations.corpus import load_corpus
from toprope.techniques.interpretability.activations.windows import cut, load_windows, parts

from .conftest import SETTINGS, Beginning, documents, write_corpus


def changed(**values):
    return SETTINGS.model_copy(update=values)


def by_document(windows):
    found = defaultdict(list)
    for w in range(len(windows)):
        found[windows.documents[windows.document_W[w]][0]].append(w)
    return found


def test_a_documents_windows_are_its_tokens_in_order(tiny_model, corpus):
    windows = cut(corpus, tiny_model, SETTINGS)
    found = by_document(windows)
    tokens = {one.id: tiny_model.tokenizer(one.text).input_ids for one in corpus.documents}
    left_out = 0
    for document, ids in tokens.items():
        short = len(ids) % 16
        left_out += short if short < 4 else 0
        whole = len(ids) - (short if short < 4 else 0)
        read = [id for w in found[document] for id in windows.tokens(w).tolist()]
        assert read == ids[:whole]
        assert windows.start_W[found[document]].tolist() == list(range(0, whole, 16))
    assert windows.left_out == left_out > 0
    assert windows.lengths_W.max() == 16


def test_held_out_documents_come_last_and_apart(tiny_model, corpus):
    windows = cut(corpus, tiny_model, SETTINGS)
    sides = {one.id: one.held_out(0.3) for one in corpus.documents}
    held_out = [sides[windows.documents[d][0]] for d in windows.document_W]
    assert held_out == sorted(held_out)
    assert windows.training == held_out.count(False)


def test_windows_of_documents_that_go_together_have_one_group(tiny_model, tmp_path):
    path = write_corpus(tmp_path / "passages.jsonl.gz", documents(60))
    corpus = load_corpus(f"file:{path}?run=6")
    windows = cut(corpus, tiny_model, SETTINGS)
    expected = {one.id: one.group for one in corpus.documents}
    of_windows = [expected[windows.documents[d][0]] for d in windows.document_W]
    pairs = set(zip(windows.group_W.tolist(), of_windows, strict=True))
    assert len(pairs) == len(set(of_windows)) == len(set(windows.group_W.tolist())) == 10
    groups = windows.group_W.tolist()
    assert set(groups[: windows.training]).isdisjoint(groups[windows.training :])


def test_tokens_ask_for_a_beginning_of_each_side(tiny_model, corpus):
    every = cut(corpus, tiny_model, SETTINGS)
    some = cut(corpus, tiny_model, changed(tokens=200))
    rows = (some.lengths_W - 1)[: some.training].sum()
    assert 200 <= rows < 200 + 16
    held_out = (some.lengths_W - 1)[some.training :].sum()
    assert 200 * 0.3 / 0.7 - 1 <= held_out < 200 * 0.3 / 0.7 + 16
    assert np.array_equal(
        some.ids[: some.offsets[some.training]], every.ids[: some.offsets[some.training]]
    )


def test_a_tokenizers_own_beginning_begins_each_window(tiny_model, corpus):
    model = replace(tiny_model, tokenizer=Beginning(tiny_model.tokenizer))
    windows = cut(corpus, model, SETTINGS)
    assert windows.bos == 1
    assert set(windows.ids[windows.offsets[:-1]]) == {1}
    assert windows.lengths_W.max() == 16
    first, second, *_ = next(ws for ws in by_document(windows).values() if len(ws) > 1)
    assert (windows.start_W[first], windows.start_W[second]) == (0, 15)


def test_they_are_the_same_after_writing_and_reading(tiny_model, corpus, tmp_path):
    windows = cut(corpus, tiny_model, SETTINGS)
    (tmp_path / "w").write_bytes(windows.packed())
    again = load_windows(tmp_path / "w")
    for name, value in vars(windows).items():
        assert np.array_equal(getattr(again, name), value), name


def test_shards_hold_every_window_once_and_one_side_each(tiny_model, corpus):
    windows = cut(corpus, tiny_model, SETTINGS)
    found = parts(windows, 256)
    assert [w for part in found for w in range(part.first, part.stop)] == list(range(len(windows)))
    for part in found:
        assert part.tokens == windows.lengths_W[part.first : part.stop].sum()
        assert part.training == (part.stop <= windows.training)
        assert part.tokens < 256 + 16
    assert sum(part.tokens < 256 for part in found) <= 2
    assert len(found) > 3


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (changed(tokens=100_000), "has [0-9,]+ tokens to train on, .* 100,000 are asked for"),
        (changed(window=1024), "a window of 1,024 is too long"),
        (changed(held_out=0.001), "is too small: .* none is left to hold out"),
        (changed(held_out=0.999), "is too small: .* none is left to train on"),
    ],
)
def test_too_little_or_too_long_is_one_line(tiny_model, corpus, settings, said):
    with pytest.raises(UserError, match=said):
        cut(corpus, tiny_model, settings)

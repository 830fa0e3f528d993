"""Corpora: what is read as documents, and which of them are held out."""

import os
from pathlib import Path

import pytest

from toprope.errors import UserError
from toprope.techniques.interpretability.activations.corpus import load_corpus

EXAMPLES = Path(__file__).parents[4] / "examples" / "corpora"
DOCUMENTS = {
    "cpython_stdlib": 782,
    "mixed": 8_655,
    "python_peps": 1_683,
    "scitldr_abstracts": 3_219,
    "standard_ebooks": 1_124,
    "tinyshakespeare": 412,
    "us_18f_handbook": 517,
    "us_speeches": 451,
    "wikitext2": 467,
}
"""Lines of the sets' files, as counted by zcat and wc."""


def held_out(corpus, share=0.5):
    return {one.text for one in corpus.documents if one.held_out(share)}


@pytest.fixture
def lines(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"line {i}\n\n" for i in range(200)))
    return path


def test_every_description_is_tried():
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == set(DOCUMENTS)


@pytest.mark.skipif("TOPROPE_DATA" not in os.environ, reason="needs a data folder: TOPROPE_DATA")
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_description_reads_its_texts(name):
    corpus = load_corpus(str(EXAMPLES / f"{name}.yaml"))
    assert len(corpus) == corpus.provenance.rows_read == DOCUMENTS[name]
    assert corpus.provenance.licence
    share = sum(one.held_out(0.1) for one in corpus.documents) / len(corpus)
    assert share == pytest.approx(0.1, abs=0.02)
    groups = {one.group for one in corpus.documents if one.held_out(0.1)}
    assert len(groups) >= 4


def test_each_line_of_a_text_file_is_a_document(lines):
    corpus = load_corpus("file:lines.txt")
    assert {one.text for one in corpus.documents} == {f"line {i}" for i in range(200)}
    [tenth] = [one for one in corpus.documents if one.text == "line 10"]
    assert tenth.where == "lines.txt line 21"


def test_columns_of_a_hub_dataset(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "news").mkdir()
    table = datasets.Dataset.from_dict({"body": ["one", "", "two"]})
    table.to_parquet(tmp_path / "news" / "train-00000-of-00001.parquet")
    corpus = load_corpus("hf:./news?text=body")
    assert {one.text for one in corpus.documents} == {"one", "two"}
    assert corpus.provenance.rows_dropped == {"empty text": 1}


def test_a_document_stays_on_its_side_whatever_else_there_is(lines):
    before = held_out(load_corpus("file:lines.txt"))
    lines.write_text("one more\n" + lines.read_text())
    after = held_out(load_corpus("file:lines.txt"))
    assert after - {"one more"} == before
    assert 60 < len(before) < 140


def test_the_order_is_a_shuffled_one(lines):
    order = [int(one.text.split()[1]) for one in load_corpus("file:lines.txt").documents]
    assert order != sorted(order)
    assert 60 < sum(order[:100]) / 100 < 140
    # and which are held out doesn't follow from it
    first_half = [one.held_out(0.5) for one in load_corpus("file:lines.txt").documents[:100]]
    assert 30 < sum(first_half) < 70


def test_documents_of_a_group_are_on_one_side(tmp_path):
    path = tmp_path / "books.csv"
    path.write_text("text,book\n" + "".join(f"page {i},{i % 10}\n" for i in range(100)))
    corpus = load_corpus(f"file:{path}?group=book")
    sides = {(one.text[-1], one.held_out(0.5)) for one in corpus.documents}
    assert len(sides) == 10
    assert {side for _, side in sides} == {True, False}


def test_documents_without_a_group_are_each_their_own(lines):
    corpus = load_corpus("file:lines.txt")
    assert all(one.group == one.id for one in corpus.documents)


def number(one) -> int:
    return int(one.text.split()[1])


def test_passages_of_a_run_are_on_one_side(lines):
    corpus = load_corpus("file:lines.txt?run=20")
    found = {(number(one) // 20, one.group, one.held_out(0.3)) for one in corpus.documents}
    assert len(found) == len({group for _, group, _ in found}) == 10
    # Of each file's runs the share is held out exactly, and not the first ones of it.
    held_out = {run for run, _, side in found if side}
    assert len(held_out) == 3
    assert held_out != {0, 1, 2}
    # The order stays that of the documents' own hashes.
    assert [one.id for one in corpus.documents] == sorted(one.id for one in corpus.documents)
    order = [number(one) // 20 for one in corpus.documents]
    assert len(set(order[:30])) > 6


def test_runs_are_of_each_file(lines):
    more = "".join(f"more {i}\n" for i in range(30))
    (lines.parent / "more.txt").write_text(more)
    (lines.parent / "both.yaml").write_text("files: [./lines.txt, ./more.txt]\nrun: 20\n")
    both = load_corpus("./both.yaml")
    alone = load_corpus("file:lines.txt?run=20")
    groups = {one.text: (one.group, one.draw) for one in both.documents}
    assert all(groups[one.text] == (one.group, one.draw) for one in alone.documents)
    of_more = [(groups[f"more {i}"]) for i in range(30)]
    assert len(set(of_more[:20])) == len(set(of_more[20:])) == 1
    assert len(set(of_more)) == 2
    assert {draw for _, draw in of_more} == {0.25, 0.75}


def test_other_runs_make_another_fingerprint(lines):
    found = {load_corpus(f"file:lines.txt?run={n}").fingerprint for n in (1, 10, 20)}
    assert len(found) == 3


def test_passages_that_go_together_otherwise_make_another_fingerprint(lines):
    # All are drawn alike: each file has one run.
    for name, numbers in (("a", range(5)), ("b", range(5, 10)), ("ab", range(10))):
        (lines.parent / f"{name}.txt").write_text("".join(f"line {i}\n" for i in numbers))
    (lines.parent / "apart.yaml").write_text("files: [./a.txt, ./b.txt]\nrun: 10\n")
    together, apart = load_corpus("file:ab.txt?run=10"), load_corpus("./apart.yaml")
    assert [(one.id, one.draw) for one in together.documents] == [
        (one.id, one.draw) for one in apart.documents
    ]
    assert together.fingerprint != apart.fingerprint


def test_a_text_that_is_there_twice_counts_once(lines):
    lines.write_text("The rope\nthe  ROPE\nthe ground\n")
    corpus = load_corpus("file:lines.txt")
    assert len(corpus) == 2
    assert corpus.provenance.examples_dropped == {"repeated text": 1}


def test_the_fingerprint_is_of_the_texts_alone(lines):
    def fingerprint():
        return load_corpus("file:lines.txt").fingerprint

    before = fingerprint()
    lines.write_text("\n".join(reversed(lines.read_text().split("\n"))))
    assert fingerprint() == before
    lines.write_text(lines.read_text().replace("line 7\n", "Line 7\n"))
    assert fingerprint() != before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file:none.txt", "no data file 'none.txt'"),
        ("file:lines.txt?text=body", "unknown column 'body' in lines.txt line 1"),
        ("file:lines.txt?run=0", "run"),
        ("file:lines.txt?run=5&group=text", "give `group` or `run`, not both"),
        ("file:lines.txt?label=x", "unknown option 'label'"),
        ("nowhere", "unknown corpus 'nowhere'"),
        ("file:empty.txt", "none of 0 rows has a text"),
    ],
)
def test_mistakes_are_one_line(lines, name, said):
    (lines.parent / "empty.txt").write_text("\n")
    with pytest.raises(UserError, match=said) as error:
        load_corpus(name)
    assert "\n" not in str(error.value)

"""Data files: every format gives the same rows; what can't be read is named by file and line."""

import gzip
import json
import zipfile

import pyarrow
import pyarrow.parquet
import pytest

from toprope.data.files import read_file
from toprope.errors import UserError

RECORDS = [{"text": "good, very good", "label": "1"}, {"text": "élan\u2028vital", "label": "0"}]


def write(folder, name: str) -> None:
    plain = name.removesuffix(".gz")
    path = folder / plain
    if plain.endswith(".parquet"):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(RECORDS), path)
    elif plain.endswith(".json"):
        path.write_text(json.dumps(RECORDS))
    elif plain.endswith(".jsonl"):
        lines = [json.dumps(record, ensure_ascii=False) for record in RECORDS]
        path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    else:
        separator = "\t" if plain.endswith(".tsv") else ","
        rows = [f'"{record["text"]}"{separator}{record["label"]}' for record in RECORDS]
        path.write_text("\n".join([f"text{separator}label", *rows, ""]), encoding="utf-8-sig")
    if name.endswith(".gz"):
        (folder / name).write_bytes(gzip.compress(path.read_bytes()))


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv", "parquet"])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_every_format_gives_the_same_rows(tmp_path, ending, packed):
    name = f"rows.{ending}{packed}"
    write(tmp_path, name)
    assert [row.values for row in read_file(name, root=tmp_path).rows] == RECORDS


def test_a_member_of_a_zip_is_read_line_by_line_in_its_encoding(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("inner/all.neg", "caf\xe9 \n\nlast".encode("latin-1"))
    read = read_file(
        "set.zip/inner/all.neg", root=tmp_path, file_format="lines", encoding="latin-1"
    )
    assert [(row.number, row.values["text"]) for row in read.rows] == [(1, "café"), (3, "last")]


def test_the_hash_is_of_the_file_on_disk(tmp_path):
    # SHA-256 of "abc" as in FIPS 180-2, appendix B.1.
    (tmp_path / "a.txt").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert read_file("a.txt", root=tmp_path).sha256 == expected


def test_a_csv_row_after_a_cell_with_line_ends_is_still_at_its_own_line(tmp_path):
    (tmp_path / "a.csv").write_text('text,label\n"one\ntwo\nthree",0\nfour,1\n')
    assert [row.number for row in read_file("a.csv", root=tmp_path).rows] == [2, 5]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": \n', r"a.jsonl line 2: not JSON"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', r"a.jsonl line 2: expected an object"),
        ("a.json", b'[{"a": 1},\n{"a" 1}]', r"a.json line 2: not JSON"),
        ("a.json", b'[{"a": 1}, 2]', r"a.json row 2: expected an object"),
        ("a.json", b'{"a": 1}', r"a.json: expected a JSON array"),
        ("a.csv", b"text,label\ngood,1\nbad\n", r"a.csv line 3: 1 columns where the header has 2"),
        ("a.csv", b'text,label\ngood,1\n"bad,0\n', r"a.csv line 3: unexpected end of data"),
        ("a.csv", b"text,text\ngood,1\n", r"a.csv line 1: the column 'text' is there twice"),
        ("a.csv", b"text,label\ngood,1\ncaf\xe9,0\n", r"a.csv line 3: not utf-8.*latin-1"),
        ("a.parquet", b"PAR1 but no more", r"a.parquet: not a parquet file"),
        ("a.csv.gz", b"not gzip", r"a.csv.gz: not a gzip file"),
        ("a.csv.gz", gzip.compress(b"text,label\n" * 99)[:-12], r"a.csv.gz: not a gzip file"),
        ("a.dat", b"text", r"a.dat: the name doesn't say the format"),
    ],
)
def test_a_malformed_file_is_named_with_the_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_file(name, root=tmp_path)
    assert "\n" not in str(error.value)


def test_a_missing_file_or_member_is_named_with_the_nearest(tmp_path):
    (tmp_path / "reviews.csv").write_text("text\n")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("train.txt", "a")
    with pytest.raises(UserError, match=r"looked for .*review.csv; did you mean 'reviews.csv'"):
        read_file("review.csv", root=tmp_path)
    with pytest.raises(UserError, match=r"unknown member 'tran.txt'.*'train.txt'"):
        read_file("set.zip/tran.txt", root=tmp_path)
    with pytest.raises(UserError, match=r"no folder .*nowhere"):
        read_file("nowhere/a.csv", root=tmp_path)


def test_comments_before_a_header_are_passed_over(tmp_path):
    (tmp_path / "x.csv").write_text("# made by hand,,\n#,\na,b\n# 1,2\n")
    rows = read_file("x.csv", root=tmp_path, comment="#").rows
    assert [row.values for row in rows] == [{"a": "# 1", "b": "2"}]
    assert rows[0].number == 4

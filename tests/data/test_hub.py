"""Hub datasets, tried on a local folder, which `datasets` loads by the same function."""

import sys

import pytest

from toprope.data import load
from toprope.errors import UserError

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    labels = datasets.ClassLabel(names=["world", "sport"])
    table = datasets.Dataset.from_dict(
        {"text": [f"news {i}" for i in range(10)], "label": [i % 2 for i in range(10)]},
        features=datasets.Features({"text": datasets.Value("string"), "label": labels}),
    )
    (tmp_path / "news").mkdir()
    table.to_parquet(tmp_path / "news" / "test-00000-of-00001.parquet")


def test_rows_with_the_hubs_class_names_in_their_order():
    dataset = load("hf:./news?split=test&text=Story: {text}")
    assert dataset.name == "news"
    assert dataset.label_names == ("world", "sport")
    assert dataset.texts[1] == "Story: news 1"
    assert dataset.labels.tolist() == [0, 1] * 5
    assert list(dataset.provenance.files) == ["hf:./news?split=test"]


def test_a_description_may_name_a_hub_dataset(tmp_path):
    (tmp_path / "set.yaml").write_text("files: ['hf:./news?split=test']\nanswers: []\n")
    assert len(load("set")) == 10


def test_what_is_not_there_is_one_line():
    with pytest.raises(UserError, match=r"^hf:./news \(split 'trian'\): .*trian") as error:
        load("hf:./news?split=trian")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"^hf:./nowhere \(split 'train'\): "):
        load("hf:./nowhere")
    with pytest.raises(UserError, match=r"unknown option 'splt' in hf:./news.*'split'"):
        load("hf:./news?splt=test")


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install 'toprope\[hub\]'"):
        load("hf:./news")

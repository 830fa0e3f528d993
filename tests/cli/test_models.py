"""`toprope models`: the catalog and the cache, as far as it can be told without fetching."""

import pytest

from toprope.models import weights
from toprope.models.catalog import CATALOG


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TOPROPE_CACHE", str(tmp_path / "cache"))


def test_list_has_every_model_with_its_state_and_licence(toprope) -> None:
    lines = toprope("models", "list").stdout.splitlines()

    assert [line.split()[0] for line in lines] == ["NAME", *CATALOG]
    assert lines[1].split("  ")[0] == "smollm2-135m"
    assert "not pulled" in lines[1]
    assert "542 MB" in lines[1]
    assert "Gemma Terms of Use" in next(line for line in lines if line.startswith("gemma3"))


def test_path_of_what_is_there_and_of_what_is_not(toprope, refused, monkeypatch) -> None:
    assert refused("models", "path", "minilm-l6") == (
        "model 'minilm-l6' isn't here yet: run 'toprope models pull minilm-l6'"
    )

    monkeypatch.setattr(weights, "path", lambda name: f"/cache/{name}")
    assert toprope("models", "path", "minilm-l6").stdout == "/cache/minilm-l6\n"


def test_pull_takes_several_and_prints_their_folders(toprope, monkeypatch) -> None:
    monkeypatch.setattr(weights, "pull", lambda name, progress: f"/cache/{name}")

    result = toprope("models", "pull", "smollm2-135m", "minilm-l6", "--quiet")

    assert result.stdout == "/cache/smollm2-135m\n/cache/minilm-l6\n"


def test_rm_says_what_was_freed(toprope, refused) -> None:
    assert toprope("models", "rm", "minilm-l6").stdout == "minilm-l6: 0 MB freed\n"
    assert refused("models", "rm", "minilm").startswith("unknown model 'minilm': did you mean")

"""Models named hf:OWNER/NAME[@REVISION], from a stand-in of the hub.

The hub's client reads its settings when it's first imported, so a test resolves in another process.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from toprope.errors import UserError
from toprope.models import hub

from .conftest import COMMIT, CONFIG, WEIGHTS, StandIn, environment


def publish_repository(site: StandIn, repo: str, files: dict[str, bytes]) -> None:
    """Gives the stand-in what a download asks for: the model, its tree, its files."""
    about = {
        "id": repo,
        "sha": COMMIT,
        "siblings": [
            {"rfilename": name, "size": len(text), "blobId": "2" * 40}
            for name, text in files.items()
        ],
    }
    tree = [
        {"type": "file", "path": name, "size": len(text), "oid": "2" * 40}
        for name, text in files.items()
    ]
    for revision in ("main", "v2", COMMIT):
        site.files[f"/api/models/{repo}/revision/{revision}"] = json.dumps(about).encode()
        site.files[f"/api/models/{repo}/tree/{revision}"] = json.dumps(tree).encode()
        for name, text in files.items():
            site.files[f"/{repo}/resolve/{revision}/{name}"] = text
    site.files[f"/api/models/{repo}"] = json.dumps(about).encode()


def resolve(
    site: StandIn, folder: Path, name: str, function: str = "resolve", **variables: str
) -> tuple[str, list[str]]:
    """What a process of its own prints for `name`, and the lines it says."""
    script = f"""
from toprope.errors import UserError
from toprope.models import weights
try:
    print(weights.{function}({name!r}))
except UserError as error:
    print("error:", error)
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment(site, folder) | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip(), run.stderr.strip().splitlines()


@pytest.mark.parametrize("function", ["resolve", "pull"])
def test_a_model_is_fetched_once_without_its_pickles_and_mended_when_cut(
    stand_in: StandIn, tmp_path: Path, function: str
):
    files = {"config.json": CONFIG, "model.safetensors": WEIGHTS, "pytorch_model.bin": b"pickle"}
    publish_repository(stand_in, "owner/name", files)
    found, lines = resolve(stand_in, tmp_path, "hf:owner/name@v2")
    assert sorted(file.name for file in Path(found).iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    assert (Path(found) / "model.safetensors").read_bytes() == WEIGHTS
    assert lines == ["fetching hf:owner/name@v2 (0 MB) ..."]

    assert resolve(stand_in, tmp_path, "hf:owner/name@v2", HF_HUB_OFFLINE="1") == (found, [])

    with (Path(found) / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    again, lines = resolve(stand_in, tmp_path, "hf:owner/name@v2", function)
    assert (Path(again) / "model.safetensors").read_bytes() == WEIGHTS
    assert "model.safetensors is truncated" in lines[0]


def test_pickled_weights_are_refused(stand_in: StandIn, tmp_path: Path):
    files = {"config.json": CONFIG, "pytorch_model.bin": b"pickle"}
    publish_repository(stand_in, "owner/old", files)
    said, _ = resolve(stand_in, tmp_path, "hf:owner/old")
    assert said.startswith("error: model 'hf:owner/old' has no safetensors")
    assert stand_in.sent["/owner/old/resolve/main/pytorch_model.bin"] == 0


def test_what_the_hub_does_not_have_is_one_line(stand_in: StandIn, tmp_path: Path):
    said, _ = resolve(stand_in, tmp_path, "hf:owner/absent")
    assert said.endswith("it doesn't exist, or it is private and HF_TOKEN isn't set")
    publish_repository(stand_in, "owner/name", {"config.json": CONFIG})
    said, _ = resolve(stand_in, tmp_path, "hf:owner/name@v9")
    assert said.endswith("it has no such revision")


def test_a_hub_that_cannot_be_reached_is_one_line(stand_in: StandIn, tmp_path: Path):
    said, lines = resolve(stand_in, tmp_path, "hf:owner/name", HF_ENDPOINT="http://127.0.0.1:9")
    assert said.startswith("error: model 'hf:owner/name' can't be fetched from the hub: ")
    assert lines == []


@pytest.mark.parametrize("name", ["hf:", "hf:name", "hf:a/b/c", "hf:owner/na me", "hf:owner/x@"])
def test_a_malformed_name_is_told_how_to_be_written(name: str):
    with pytest.raises(UserError, match="hf:OWNER/NAME"):
        hub.parse(name)


def test_a_revision_may_be_named():
    assert hub.parse("hf:owner/na.me_1") == ("owner/na.me_1", None)
    assert hub.parse("hf:owner/name@refs/pr/3") == ("owner/name", "refs/pr/3")

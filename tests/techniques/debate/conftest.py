"""A tiny model with room for a debate's prompts, and questions on short passages."""

import json
import shutil
from pathlib import Path

import pytest

ROWS = [
    {
        "passage": f"The tower of {place} was built in {year}. It is tall.",
        "question": f"When was the tower of {place} built?",
        "options": [f"In {year}", f"In {year + 7}"] if i % 2 else [f"In {year - 3}", f"In {year}"],
        "answer": f"In {year}",
    }
    for i, (place, year) in enumerate(
        [("Kelm", 1889), ("Dorn", 1740), ("Ault", 1663), ("Vire", 1901), ("Lohm", 1812)]
    )
]
OPTIONS = "?passage=passage&options=options"


@pytest.fixture(scope="session")
def roomy_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama, said to read 4,096 tokens."""
    folder = tmp_path_factory.mktemp("roomy") / "roomy-llama"
    shutil.copytree(tiny_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    return folder


@pytest.fixture(scope="session")
def towers(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of five questions on five passages."""
    path = tmp_path_factory.mktemp("questions") / "towers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return f"file:{path}{OPTIONS}"

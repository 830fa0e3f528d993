"""What every test shares: the hub kept offline, data, models, Chromium, the order of the run."""

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .local_models import (  # noqa: F401
    base_model,
    counting_progress,
    one_thread,
    smollm,
    tiny_encoder,
    tiny_folder,
    tiny_model,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[1]

# Read by huggingface_hub when first imported. No test may depend on what the hub serves today.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# A checkout beside a folder of public datasets uses it without being told.
if (ROOT.parent / "shared" / "data").is_dir():
    os.environ.setdefault("TOPROPE_DATA", str(ROOT.parent / "shared" / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Cheap tests first: plain ones, then real models, then the browser."""
    items.sort(
        key=lambda item: (
            item.get_closest_marker("browser") is not None,
            item.get_closest_marker("model") is not None,
        )
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Tests of tiny models run on one thread, with the fixtures that outlive them."""
    if not {"tiny_folder", "tiny_encoder"} & set(getattr(item, "fixturenames", ())):
        return (yield)
    with one_thread():
        return (yield)


@pytest.fixture(scope="session")
def public_data() -> Path:
    """The folder of public datasets; a test that needs it is skipped on a machine without it."""
    folder = os.environ.get("TOPROPE_DATA")
    if not folder:
        pytest.skip("no public datasets: TOPROPE_DATA names no folder")
    return Path(folder)


@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    """Debian's Chromium or an installed Chrome, headless; skips where there is neither."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"no browser on PATH ({', '.join(names)})")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()

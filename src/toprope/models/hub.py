"""Weights from the Hugging Face hub: a catalog entry's files, and any `hf:OWNER/NAME[@REVISION]`.

HF_ENDPOINT, HF_HUB_OFFLINE, HF_HOME and HF_TOKEN hold as for every tool on the hub. A catalog
entry's files go to toprope's cache; an `hf:` model goes to the hub's own, which other tools share.
"""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from toprope.errors import UserError
from toprope.models.catalog import SourceFile
from toprope.models.checkpoint import flaw
from toprope.models.download import Order, SourceError, client, explain, fetch
from toprope.progress import Progress, Task

# What a model needs to be loaded, and nothing that runs code or is pickled.
PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_ANSWER_SECONDS = 5.0


def fetch_files(order: Order) -> None:
    """Fetches the files, going on from what is there.

    Raises:
        SourceError: the hub is out of reach or has other files.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    if _offline():
        raise SourceError("HF_HUB_OFFLINE is set")
    headers = build_hf_headers()
    entry = order.entry
    done = entry.download_bytes - sum(file.bytes for file in order.files)
    with client() as http:
        for file in order.files:
            url = hf_hub_url(
                entry.hub_repo,
                file.path,
                revision=entry.hub_revision,
                endpoint=os.environ.get("HF_ENDPOINT"),
            )
            _require_same(http, url, file, headers)
            fetch(
                http,
                url,
                order.folder / file.path,
                sha256=file.sha256,
                report=order.meter.span(done, file.bytes),
                say=order.say,
                headers=headers,
            )
            done += file.bytes
            order.meter.at(done)


def _require_same(http: Any, url: str, file: SourceFile, headers: dict[str, str]) -> None:
    """Asks the hub for the file's SHA-256 before fetching it: for a large file that is its ETag."""
    import httpx

    try:
        answer = http.head(url, headers=headers, timeout=_ANSWER_SECONDS)
    except httpx.RequestError as error:
        raise SourceError(explain(error)) from error
    if not answer.is_success:
        raise SourceError(f"HTTP {answer.status_code} for {file.path}")
    for response in [*answer.history, answer]:
        etag = response.headers.get("x-linked-etag", "").removeprefix("W/").strip('"')
        if re.fullmatch("[0-9a-f]{64}", etag) and etag != file.sha256:
            raise SourceError(f"its {file.path} has another SHA-256 ({etag[:12]}...)")


def _offline() -> bool:
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


def snapshot(name: str, progress: Progress, *, fresh: bool = False) -> Path:
    """The folder of `hf:OWNER/NAME[@REVISION]` in the hub's cache, fetched where it isn't there.

    Args:
        fresh: ask the hub whether the revision has moved, even where a snapshot is there.

    Raises:
        UserError: the name is malformed, the model doesn't exist or has no safetensors, or the hub
            can't be reached.
    """
    repo, revision = parse(name)
    there = cached(name)
    reason = flaw(there) if there else None
    if there and reason is None and not fresh:
        return there
    if reason:
        progress.say(f"{name}: the copy in the hub's cache is damaged ({reason}): replacing it")
    return _download(name, repo, revision, progress, force=reason is not None)


def parse(name: str) -> tuple[str, str | None]:
    """`hf:OWNER/NAME[@REVISION]` as (OWNER/NAME, REVISION or None)."""
    found = re.fullmatch(r"hf:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", name)
    if not found:
        raise UserError(f"model '{name}': write it as hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    return found[1], found[2]


def cached(name: str) -> Path | None:
    """The snapshot in the hub's cache, sound or not, or None; asks nobody."""
    from huggingface_hub import snapshot_download

    repo, revision = parse(name)
    with suppress(OSError):  # the hub's way to say that there is none
        return Path(
            snapshot_download(
                repo, revision=revision, allow_patterns=PATTERNS, local_files_only=True
            )
        )
    return None


def _download(
    name: str, repo: str, revision: str | None, progress: Progress, *, force: bool
) -> Path:
    from huggingface_hub import snapshot_download

    if _offline():
        raise UserError(
            f"model '{name}' isn't in the hub's cache and HF_HUB_OFFLINE is set: unset it"
        )
    endpoint = os.environ.get("HF_ENDPOINT")
    # The hub's client changes its HTTP library with its version: its network errors share no class.
    try:
        total = _bytes_to_fetch(name, repo, revision, endpoint)
        with progress.task(f"fetching {name}", total, unit="B") as task:
            folder = snapshot_download(
                repo,
                revision=revision,
                allow_patterns=PATTERNS,
                endpoint=endpoint,
                etag_timeout=_ANSWER_SECONDS,
                tqdm_class=_bar_for(task),
                force_download=force,
            )
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"model '{name}' can't be fetched from the hub: {_why(error)}") from error
    if reason := flaw(Path(folder)):
        raise UserError(f"model '{name}': {reason}")
    return Path(folder)


def _why(error: Exception) -> str:
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return "its licence has to be accepted on the hub first, and HF_TOKEN set"
    if isinstance(error, RepositoryNotFoundError):
        return "it doesn't exist, or it is private and HF_TOKEN isn't set"
    if isinstance(error, RevisionNotFoundError):
        return "it has no such revision"
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _bytes_to_fetch(name: str, repo: str, revision: str | None, endpoint: str | None) -> int:
    """Bytes of the files that PATTERNS let through; a model without safetensors is refused here."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import filter_repo_objects

    info = HfApi(endpoint=endpoint).model_info(
        repo, revision=revision, files_metadata=True, timeout=_ANSWER_SECONDS
    )
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    if not any(path.endswith(".safetensors") for path in sizes):
        raise UserError(
            f"model '{name}' has no safetensors on the hub (pickled weights can run code and "
            "are refused): take a repository that has them"
        )
    return sum(sizes[path] for path in filter_repo_objects(sizes, allow_patterns=PATTERNS))


def _bar_for(task: Task) -> Any:
    """A silent bar class for the hub's downloader that passes the bytes on to `task`.

    The hub keeps one or two byte bars over the same files (received, written), depending on its
    version: the furthest one counts.
    """
    from tqdm.auto import tqdm

    furthest = 0.0

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)
            self.counts_bytes, self.bytes = options.get("unit") == "B", 0.0
            super().__init__(*args, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> None:
            nonlocal furthest
            if not self.counts_bytes:
                return
            self.bytes += n or 0
            if self.bytes > furthest:
                task.advance(self.bytes - furthest)
                furthest = self.bytes

    return Bar

"""Lab: all that a study may use: models, data, artifacts, randomness and progress, within one run's
folder.

A test hands a study a Lab in a temporary folder.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toprope.evidence import Cost
from toprope.progress import Progress, Task
from toprope.run import ARTIFACTS

if TYPE_CHECKING:
    from toprope.data.behaviours import Behaviours
    from toprope.data.examples import Dataset
    from toprope.journal import Journal
    from toprope.models.activations import Activations
    from toprope.models.chat import Chat
    from toprope.models.local import LocalModel


class Lab:
    """One run's means.

    Args:
        folder: the run's folder; made if it isn't there.
        seed: what all of the run's randomness comes from.
        data_dir: where datasets described in YAML look for their files.
        device, dtype: for local models (see `toprope.models.placement`); a dtype by its name.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int = 0,
        data_dir: Path | None = None,
        device: str | None = None,
        dtype: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.data_dir = data_dir
        self.device = device
        self.dtype = dtype
        self.show = progress or Progress(quiet=True)
        self._models: dict[str, LocalModel] = {}
        self._data: dict[tuple[str, int | None], Dataset] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def local(self, name: str) -> LocalModel:
        """A model in this process, loaded once, and shared with what else the process asks of it.

        Raises:
            UserError: the name is unknown, or belongs to a served model, whose insides can't be
                reached.
        """
        if name not in self._models:
            from toprope.models.loaded import shared
            from toprope.models.placement import dtype_named

            self._models[name] = shared(
                name, device=self.device, dtype=dtype_named(self.dtype), progress=self.show
            )
        return self._models[name]

    def chat(self, name: str, *, journal: Journal | None = None, **limits: Any) -> Chat:
        """A chat model, in this process or served (see `toprope.models.chat`).

        Args:
            journal: where its answers are kept.
            limits: `timeout`, `retries` and `concurrency` of `Chat`.

        Raises:
            UserError: no such model or provider, its key isn't set, or it's no chat model.
        """
        from toprope.models.chat import Chat, is_served

        if not is_served(name):
            self.local(name)  # loaded here, with progress, and kept for the run
        return Chat.open(name, device=self.device, dtype=self.dtype, journal=journal, **limits)

    def journal(self, name: str, settings: Mapping[str, Any], *, what: str) -> Journal:
        """The journal of a long job among the run's artifacts, where a killed one goes on.

        Raises:
            UserError: the job was begun with other settings, and isn't finished.
        """
        from toprope.journal import Journal

        return Journal(self.artifact(f"{name}.jsonl"), settings, what=what)

    @property
    def precision(self) -> str:
        """The dtype that local models are loaded in, by its name."""
        from toprope.models.placement import dtype_name, dtype_named, placement

        return dtype_name(placement(self.device, dtype_named(self.dtype))[1])

    def release(self, keep: Sequence[str] = ()) -> None:
        """Lets go of the loaded models, but for those named."""
        self._models = {name: model for name, model in self._models.items() if name in keep}

    def model_fingerprint(self, name: str) -> str:
        """SHA-256 (hex) of a local model's weights, without loading them; of a served one, its
        name, which is all that can be known."""
        from toprope.models.chat import is_served
        from toprope.models.weights import digest, resolve

        if is_served(name):
            return f"served: {name}"
        return digest(resolve(name, progress=self.show))

    def data(self, name: str, *, limit: int | None = None) -> Dataset:
        """A dataset by name (see `toprope.data.sources.load`), read once.

        Args:
            limit: at most this many examples, drawn with the run's seed.
        """
        from toprope.data.sources import load

        if (name, limit) not in self._data:
            self._data[name, limit] = load(
                name, data_dir=self.data_dir, limit=limit, seed=self.seed, progress=self.show
            )
        return self._data[name, limit]

    def behaviours(self, name: str, *, limit: int | None = None) -> Behaviours:
        """Behaviours by name (see `toprope.data.behaviours`).

        Args:
            limit: at most this many, drawn with the run's seed.
        """
        from toprope.data.behaviours import load_behaviours

        return load_behaviours(name, data_dir=self.data_dir, limit=limit, seed=self.seed)

    def artifact(self, *parts: str) -> Path:
        """The path of a file under the run's `artifacts` (safetensors and JSON only); its folder
        exists."""
        path = self.folder.joinpath(ARTIFACTS, *parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def rng(self, *names: str | int) -> np.random.Generator:
        """A generator of its own for each purpose, from the run's seed and the purpose's name."""
        key = hashlib.sha256(json.dumps([self.seed, *names]).encode()).digest()
        return np.random.default_rng(int.from_bytes(key[:16], "little"))

    def progress(self, description: str, total: float) -> AbstractContextManager[Task]:
        """`with lab.progress("fitting", 60) as task: ... task.advance(1)`: shows the time left."""
        return self.show.task(description, total)

    def activations(
        self,
        model: str,
        texts: Sequence[str],
        *,
        depths: Sequence[float],
        continuations: Sequence[str] = (),
        score: bool = False,
    ) -> tuple[Activations, Cost]:
        """Last-token activations, captured once in a run: a second call, or run, reads them from
        the artifacts.

        Args:
            depths: the layers, as shares of the model's depth (0.5: the middle layer).
            continuations, score: see `LocalModel.activations`.

        Returns:
            The activations, by layer, and what it cost to make them when they were made.
        """
        from toprope.models import activations

        key = {
            "model": self.model_fingerprint(model),
            "dtype": self.precision,
            "depths": list(depths),
            "continuations": list(continuations),
            "score": score,
            "texts": hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest(),
        }
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
        path, about = (
            self.artifact("activations", name + end) for end in (".safetensors", ".json")
        )
        if not (path.exists() and about.exists()):
            local = self.local(model)
            with measured(local) as cost:
                local.activations(
                    texts,
                    sorted({round(depth * local.n_layers) for depth in depths}),
                    continuations=continuations,
                    score=score,
                    path=path,
                    progress=self.show,
                )
            about.write_text(json.dumps({**key, "model_name": model, "cost": cost[0].model_dump()}))
        return activations.load(path), Cost(**json.loads(about.read_text())["cost"])

    def option_probs(
        self, model: str, texts: Sequence[str], options: Sequence[str]
    ) -> tuple[np.ndarray, Cost]:
        """`LocalModel.option_probs` [N, O], kept like activations, and what they cost."""
        key = [self.model_fingerprint(model), self.precision, list(texts), list(options)]
        name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
        path = self.artifact("options", f"{name}.json")
        if not path.exists():
            local = self.local(model)
            with measured(local) as cost:
                probs_NO = local.option_probs(texts, options, progress=self.show)
            path.write_text(json.dumps({"probs": probs_NO.tolist(), "cost": cost[0].model_dump()}))
        kept = json.loads(path.read_text())
        return np.array(kept["probs"]), Cost(**kept["cost"])


@contextmanager
def measured(model: LocalModel) -> Iterator[list[Cost]]:
    """What is asked of a model in this block: the list's first entry, set when the block ends."""
    cost: list[Cost] = []
    tokens, began = model.tokens_read, time.monotonic()
    yield cost
    cost.append(Cost(tokens=model.tokens_read - tokens, seconds=time.monotonic() - began, calls=1))

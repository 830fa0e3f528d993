"""Training one TopK dictionary over several processes, with the loss that one process would have.

The latents are cut into shards, and each process holds its shard's rows of encoder and decoder and
Adam's state for them; `groups` of such processes may share out the batch besides. On one machine
the processes are started here; over several, start the program with torchrun, and each runs its
part, in a folder that all of them see. Every process reads the batches itself. Between processes
there is gloo on CPUs and NCCL on GPUs; it has been tried on CPUs.

The loop is that of `toprope.techniques.interpretability.training`, checkpoints included. A kill
while checkpoints are being written can leave the processes at different steps; then it has to begin
again. Only TopK is trained so, with AuxK: BatchTopK and its relatives would choose over the whole
batch.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import ProcessExitedException, spawn

from toprope.errors import UserError
from toprope.files import write_text
from toprope.progress import Progress
from toprope.techniques.interpretability.checkpoints import STATE
from toprope.techniques.interpretability.dictionaries.dictionary import (
    ABOUT,
    DictionarySettings,
    Origin,
)
from toprope.techniques.interpretability.dictionaries.topk import TopKSettings
from toprope.techniques.interpretability.scale.places import Place
from toprope.techniques.interpretability.scale.saving import save_whole
from toprope.techniques.interpretability.scale.shard import Shard
from toprope.techniques.interpretability.training import (
    LOG,
    Record,
    TrainingSettings,
    checkpoints_due,
    read_log,
    train,
)

WORK = "shards"
"""The folder of the processes' checkpoints, within the training's."""
ERROR = "error.txt"


@dataclass(frozen=True, eq=False)
class Work:
    """What is to be trained, and by how many.

    Attributes:
        source: gives the batches [B, D] after the first so many, standardised, the same ones in
            each process; pickled.
        shards, groups: shards * groups processes.
        mean_D, scale_D: the standardisation of the batches.
        rows: encoded at a time, where a batch's pre-activations would take too much memory.
        timeout: seconds that processes wait for each other before they give up.
    """

    settings: DictionarySettings
    training: TrainingSettings
    source: Callable[[int], Iterable[Tensor]]
    shards: int
    groups: int = 1
    origin: Origin | None = None
    mean_D: Tensor | None = None
    scale_D: Tensor | None = None
    rows: int | None = None
    device: str = "cpu"
    timeout: float = 600.0


def train_sharded(work: Work, folder: Path, *, progress: Progress | None = None) -> list[Record]:
    """Trains the dictionary, and writes it to the folder as `Dictionary.save` would.

    Returns:
        The log, as of one process.

    Raises:
        UserError: another kind than TopK, a shard with fewer latents than are to be active, a
            folder that has a dictionary, a batch that the groups don't divide, a process that was
            killed, or what `train` raises.
    """
    _check(work, folder)
    folder.mkdir(parents=True, exist_ok=True)
    quiet = progress is None or progress.quiet
    if dist.is_torchelastic_launched():
        dist.init_process_group(_backend(work), timeout=timedelta(seconds=work.timeout))
        _run(work, folder, int(os.environ["LOCAL_RANK"]), quiet)
    else:
        _spawn(work, folder, quiet)
    return read_log(folder / LOG)


def _check(work: Work, folder: Path) -> None:
    settings = work.settings
    if not isinstance(settings, TopKSettings):
        raise UserError(
            f"a dictionary of kind '{settings.kind}' can't be trained over several processes: only "
            "'topk' can"
        )
    if work.shards < 1 or work.groups < 1:
        raise UserError(f"{work.shards} shards of {work.groups} groups: take one or more of each")
    if settings.width // work.shards < settings.active:
        raise UserError(
            f"{settings.width:,} latents in {work.shards} shards leave one with "
            f"{settings.width // work.shards:,}, fewer than the {settings.active} active ones: "
            "take fewer shards"
        )
    if (folder / ABOUT).exists():
        raise UserError(f"'{folder}' holds a dictionary: give another folder")
    steps = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))["step"]
        for path in folder.glob(f"{WORK}/*/{STATE}")
    }
    if steps and (len(set(steps.values())) > 1 or len(steps) != work.shards * work.groups):
        raise UserError(
            f"the checkpoints in '{folder / WORK}' are of different steps, or of another number of "
            "processes: delete the folder to begin again"
        )


def _spawn(work: Work, folder: Path, quiet: bool) -> None:
    """Runs the processes on this machine; whatever ends one of them ends all."""
    processes = work.shards * work.groups
    threads = max(1, torch.get_num_threads() // processes)
    with tempfile.TemporaryDirectory() as meeting:
        context: Any = spawn(
            _process,
            (work, folder, Path(meeting), threads, quiet),
            processes,
            join=False,
            daemon=True,
        )
        try:
            while not context.join():
                pass
        except ProcessExitedException as error:
            said = Path(meeting, ERROR)
            if said.exists():
                raise UserError(said.read_text(encoding="utf-8")) from None
            how = error.signal_name or f"exit status {error.exit_code}"
            raise UserError(
                f"process {error.error_index} of {processes} ended ({how}): if it was killed, "
                "memory ran out: take more shards on more machines, or smaller batches"
            ) from None
        finally:
            for process in context.processes:
                if process.is_alive():
                    process.terminate()
                process.join()


def _process(rank: int, work: Work, folder: Path, meeting: Path, threads: int, quiet: bool) -> None:
    torch.set_num_threads(threads)
    dist.init_process_group(
        _backend(work),
        init_method=f"file://{meeting / 'meeting'}",
        rank=rank,
        world_size=work.shards * work.groups,
        timeout=timedelta(seconds=work.timeout),
    )
    try:
        _run(work, folder, rank, quiet)
    except (UserError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        write_text(meeting / ERROR, _said(error))
        raise SystemExit(2) from None
    finally:
        dist.destroy_process_group()


def _said(error: UserError | OSError) -> str:
    if isinstance(error, UserError):
        return str(error)
    return f"{error.filename}: {error.strerror}: make room, then train again, and it goes on"


def _run(work: Work, folder: Path, device: int, quiet: bool) -> None:
    """One process's part, from the batches to the folder.

    Args:
        device: this process's number on its machine.
    """
    place = Place.of_this_process(work.shards, work.groups)
    settings = work.settings
    if not isinstance(settings, TopKSettings):
        raise TypeError(type(settings))
    shard = Shard(settings, place, work.training.max_grad_norm, work.rows)
    if work.mean_D is not None and work.scale_D is not None:
        shard.mean_D.copy_(work.mean_D)
        shard.scale_D.copy_(work.scale_D)
    if work.device == "cuda":
        torch.cuda.set_device(device)
        shard.cuda(device)
    rank = dist.get_rank()
    log = train(
        {"dictionary": shard},
        lambda skip: _own_rows(work.source(skip), place),
        work.training,
        folder=folder / WORK / str(rank),
        progress=Progress(quiet=quiet or rank > 0),
        due=_together(checkpoints_due(work.training), shard.mean_D.device),
    )
    logs: list[list[Record]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(logs, log)
    together = [_of_all(records, work.groups) for records in zip(*logs, strict=True)]
    origin = work.origin and work.origin.model_copy(update={"tokens": together[-1].tokens})
    if rank == 0:
        lines = "".join(f"{json.dumps(vars(record))}\n" for record in together)
        write_text(folder / LOG, lines)
    save_whole(shard, origin, folder)
    dist.barrier()
    if rank == 0:
        shutil.rmtree(folder / WORK)


def _together(due: Callable[[int], bool], device: torch.device) -> Callable[[int], bool]:
    """What the first process says, in all: their clocks differ, and checkpoints must be of the same
    step."""

    def agreed(step: int) -> bool:
        answer = torch.tensor(int(due(step)), device=device)
        dist.broadcast(answer, src=0)
        return bool(answer)

    return agreed


def _own_rows(batches: Iterable[Tensor], place: Place) -> Iterator[Tensor]:
    for x_BD in batches:
        if len(x_BD) % place.groups:
            raise UserError(
                f"{place.groups} groups can't share a batch of {len(x_BD):,} rows: take a batch "
                "that they divide"
            )
        yield x_BD[place.rows(len(x_BD))]


def _of_all(records: tuple[Record, ...], groups: int) -> Record:
    """One step's record from all processes': each has counted its own latents and rows."""
    return replace(
        records[0],
        tokens=records[0].tokens * groups,
        l0=sum(record.l0 for record in records) / groups,
        dead=sum(record.dead for record in records) // groups,
    )


def _backend(work: Work) -> str:
    return "nccl" if work.device == "cuda" else "gloo"

"""Files that are there whole or not at all, whatever a kill or a full disk does meanwhile.

Each is written beside its place, flushed to the disk, then moved there. What goes wrong is an
`OSError` that names the file, for tensors too.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write into, that replaces the one at `path` when the block ends without an error.
    Makes the folder.

    Raises:
        OSError: it can't be written; what was at `path` stays.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        if error.filename is not None and str(error.filename) != str(partial):
            raise
        # A write's own error names no file, and that at opening the partial.
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_bytes(path: Path, content: bytes) -> None:
    """
    Raises:
        OSError: it can't be written; what was at `path` stays.
    """
    with whole(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """In UTF-8, with the line ends as they are.

    Raises:
        OSError: it can't be written; what was at `path` stays.
    """
    write_bytes(path, text.encode())


def write_tensors(path: Path, tensors: "Mapping[str, Tensor] | Mapping[str, NDArray]") -> None:
    """A safetensors file, of torch's tensors or of numpy's arrays.

    Raises:
        OSError: it can't be written; what was at `path` stays.
    """
    # Not by the library's own `save_file`, whose errors aren't OSErrors.
    write_bytes(path, _packed(tensors))


def _packed(tensors: "Mapping[str, Tensor] | Mapping[str, NDArray]") -> bytes:
    import numpy as np

    arrays = {name: one for name, one in tensors.items() if isinstance(one, np.ndarray)}
    if arrays:
        from safetensors.numpy import save

        return save({name: np.ascontiguousarray(one) for name, one in arrays.items()})
    from safetensors.torch import save as save_torch

    return save_torch(
        {
            name: one.detach().cpu().contiguous()
            for name, one in tensors.items()
            if not isinstance(one, np.ndarray)
        }
    )

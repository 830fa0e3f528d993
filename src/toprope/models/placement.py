"""Where a local model's weights go, and in which precision: what was said, else the default."""

import torch

from toprope.errors import unknown

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""The precisions of weights, by the names that users give."""


def placement(
    device: str | None = None, dtype: torch.dtype | None = None
) -> tuple[str, torch.dtype]:
    """The device, by default the GPU where there is one, and the precision, by default float32 on a
    CPU and bfloat16 on a GPU.

    In float32 an item's result is the same in any batch, to three digits or more. bfloat16 has
    eight bits of precision; on a CPU with instructions for it (AVX512-BF16, AMX) it's about twice
    as fast, on another several times slower.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return device, dtype or (torch.float32 if device == "cpu" else torch.bfloat16)


def dtype_named(name: str | None) -> torch.dtype | None:
    """The precision of that name; None, the default, for None.

    Raises:
        UserError: there is none of that name.
    """
    if name is not None and name not in DTYPES:
        raise unknown("dtype", name, DTYPES)
    return None if name is None else DTYPES[name]


def dtype_name(dtype: torch.dtype) -> str:
    """As in `DTYPES`: "float32"."""
    return str(dtype).removeprefix("torch.")

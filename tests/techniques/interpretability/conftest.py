"""What these tests share."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def sums_on_one_thread() -> Iterator[None]:
    """On small tensors, waiting for a second thread takes longer than the sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

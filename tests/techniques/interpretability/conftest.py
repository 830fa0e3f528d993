"""What these tests share."""

from collections.abc import Iterator

import pytest

from ...local_models import one_thread


@pytest.fixture(autouse=True)
def sums_on_one_thread() -> Iterator[None]:
    with one_thread():
        yield

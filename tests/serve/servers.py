"""A server in a thread, at a port that was free."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from toprope.serve.run import listening


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """Its address, such as http://127.0.0.1:40001, while the context is open."""
    listens = listening("127.0.0.1", 0)
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="critical", lifespan="on", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listens]})
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listens.getsockname()[1]}"
    server.should_exit = True
    thread.join()

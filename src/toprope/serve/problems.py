"""What can go wrong with a call that a proxy passes on, as its caller is told."""

from __future__ import annotations

import traceback
from pathlib import Path

from starlette.responses import JSONResponse

from toprope.serve.openai import error

LOGGER = "toprope.guard"


class ProxyError(Exception):
    """Ends a call.

    Attributes:
        kind: one of a few words, for metrics and logs.
        status: of the answer, if nothing of it has been sent yet.
        retry_after: seconds after which the caller may try again.
    """

    def __init__(
        self, kind: str, message: str, status: int, *, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.retry_after = retry_after

    def response(self) -> JSONResponse:
        found = error(str(self), self.status)
        if self.retry_after is not None:
            found.headers["Retry-After"] = str(self.retry_after)
        if self.status == 401:
            found.headers["WWW-Authenticate"] = "Bearer"
        return found

    def event(self) -> str:
        """For a stream that has begun; official clients raise it."""
        return f"data: {bytes(error(str(self), self.status).body).decode()}\n\n"


def place(problem: BaseException) -> str:
    """An exception's kind, and where it was raised; not its message, which may quote somebody."""
    frames = traceback.extract_tb(problem.__traceback__)
    at = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(problem).__name__}{at}"

"""Running a server until it is told to end."""

from __future__ import annotations

import socket

import click
import uvicorn
from starlette.applications import Starlette

from toprope.errors import UserError


def run(app: Starlette, host: str, port: int, *, what: str, quiet: bool = False) -> None:
    """Serves until Ctrl-C or SIGTERM; says where on standard error.

    Raises:
        UserError: it can't listen at that address.
    """
    listening = _listening(host, port)
    if not quiet:
        at = listening.getsockname()
        click.echo(f"{what} at http://{at[0]}:{at[1]}/v1 (Ctrl-C ends it)", err=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
    except OSError as error:
        raise UserError(
            f"can't listen at {host}, port {port}: {error.strerror}; name another with --port"
        ) from None
    return found

"""Running a server until it is told to end."""

from __future__ import annotations

import socket
from contextlib import suppress

import click
import uvicorn
from starlette.applications import Starlette

from toprope.errors import UserError

LONGEST_END = 5
"""Seconds that answers under way have when the server is told to end."""


def run(app: Starlette, host: str, port: int, *, what: str, quiet: bool = False) -> None:
    """Serves until Ctrl-C or SIGTERM; says where on standard error.

    Raises:
        UserError: it can't listen at that address.
    """
    listens = listening(host, port)
    if not quiet:
        name, number = listens.getsockname()[:2]
        name = f"[{name}]" if ":" in name else name
        click.echo(f"{what} at http://{name}:{number}/v1 (Ctrl-C ends it)", err=True)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        # A header that any client can send doesn't say where it is.
        proxy_headers=False,
        timeout_graceful_shutdown=LONGEST_END,
    )
    with suppress(KeyboardInterrupt):  # uvicorn raises it again when it has ended
        uvicorn.Server(config).run(sockets=[listens])


def listening(host: str, port: int) -> socket.socket:
    """A socket to serve on.

    Raises:
        UserError: it can't listen at that address.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # asyncio sends small pieces at once (TCP_NODELAY) only where the protocol is named; a
        # stream's token would otherwise wait, at times, 40 ms for the reader's acknowledgement.
        found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen()
    except OSError as error:
        raise UserError(
            f"can't listen at {host}, port {port}: {error.strerror}; name another with --port"
        ) from None
    return found

"""The socket that servers listen at."""

import asyncio
import socket

from toprope.serve.run import listening


def test_small_pieces_of_a_stream_are_sent_at_once():
    assert asyncio.run(_nodelay_of_an_accepted_connection())


async def _nodelay_of_an_accepted_connection() -> int:
    found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        found.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with listening("127.0.0.1", 0) as listens:
        async with await asyncio.start_server(accepted, sock=listens):
            _, writer = await asyncio.open_connection(*listens.getsockname())
            is_set = await found
            writer.close()
    return is_set

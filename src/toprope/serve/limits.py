"""Who may call a proxy, how often at once, and who is locked out for a while.

A campaign against a guard is many attempts, of which most are flagged, and those that aren't come
near it: an attacker who climbs stays just below the threshold. So a caller who is flagged `most`
times within a window is locked out, a near-flag counting as a part of a flag: told so plainly, and
when to come back.
"""

from __future__ import annotations

import ipaddress
import math
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.requests import Request

from toprope.serve.problems import ProxyError

MOST_CALLERS = 10_000
"""Callers with flags that are remembered; beyond, whoever was flagged the longest ago is
forgotten."""

NEAR_FLAG = 0.25
"""How much of a flag a near-flag is: a harmless caller has one now and then."""

LONGEST_NAME = 200
"""Characters of a caller's name that are kept."""


def check_token(http: Request, token: str | None) -> None:
    """
    Raises:
        ProxyError: the request doesn't carry the token.
    """
    if token is None:
        return
    kind, _, given = http.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and secrets.compare_digest(given.strip().encode(), token.encode()):
        return
    raise ProxyError("token", "the bearer token is missing or wrong", 401)


def caller_of(http: Request, header: str | None) -> str:
    """The caller's name: what the nearest balancer says in `header`, else the client's address.

    Of a header that was sent several times, or holds a list, the last entry counts: those before
    it are whatever the client itself has sent. Of an IPv6 address the first 64 bits count: one
    client has all of the rest.
    """
    values = http.headers.getlist(header) if header else []
    name = values[-1].rpartition(",")[2].strip() if values else ""
    name = name or (http.client.host if http.client else "unknown")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name[:LONGEST_NAME]
    if address.version == 4:
        return str(address)
    if mapped := getattr(address, "ipv4_mapped", None):
        return str(mapped)
    return str(ipaddress.ip_network((int(address), 64), strict=False))


class Slots:
    """Exchanges under way, `most` at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0

    def check(self) -> None:
        """
        Raises:
            ProxyError: all are taken.
        """
        if self.taken >= self.most:
            raise ProxyError("busy", "too many calls at once; try again soon", 503, retry_after=1)

    @contextmanager
    def one(self) -> Iterator[None]:
        """
        Raises:
            ProxyError: all are taken.
        """
        self.check()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


@dataclass
class _Record:
    flags: deque[tuple[float, float]] = field(default_factory=deque)
    """When each was, and how much it counts."""
    locked_until: float = -math.inf


class Callers:
    """The callers that have been flagged of late, or nearly.

    Args:
        most: flags within `window` seconds after which a caller is locked out for `lockout`.
        clock: seconds.
    """

    def __init__(
        self, most: int, window: float, lockout: float, clock: Callable[[], float]
    ) -> None:
        self.most, self.window, self.lockout, self.clock = most, window, lockout, clock
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def check(self, caller: str) -> None:
        """
        Raises:
            ProxyError: the caller is locked out.
        """
        record = self._records.get(caller)
        left = record.locked_until - self.clock() if record else 0
        if left <= 0:
            return
        seconds = math.ceil(left)
        raise ProxyError(
            "lockout",
            f"locked out: too many of your calls were refused or came near it; try again in "
            f"{seconds} s",
            429,
            retry_after=seconds,
        )

    def flag(self, caller: str) -> bool:
        """Notes a flag; true if it locks the caller out."""
        return self._note(caller, 1.0)

    def near(self, caller: str) -> bool:
        """Notes a near-flag, likewise."""
        return self._note(caller, NEAR_FLAG)

    def _note(self, caller: str, weight: float) -> bool:
        record = self._records.setdefault(caller, _Record())
        self._records.move_to_end(caller)
        if len(self._records) > MOST_CALLERS:
            self._records.popitem(last=False)
        now = self.clock()
        record.flags.append((now, weight))
        while record.flags[0][0] <= now - self.window:
            record.flags.popleft()
        if sum(weight for _, weight in record.flags) < self.most:
            return False
        record.flags.clear()
        record.locked_until = now + self.lockout
        return True

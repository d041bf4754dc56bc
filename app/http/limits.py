"""How much one address, and all together, may have of what costs space or time.

In: the address of a client. Out: a yes, or `TooMany`. A session costs nothing to begin, so what
counts by session alone limits nobody.
"""

import ipaddress
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from separate.app.jobs.refusals import TooMany

_NETWORK_BITS = 64  # of IPv6: what one household or machine gets


def address_of(scope: Mapping[str, Any]) -> str:
    """Return the address that a request came from; for IPv6 its network."""
    host = str((scope.get("client") or ("unknown", 0))[0])
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 6:
        return str(ipaddress.ip_network((address, _NETWORK_BITS), strict=False))
    return host


class Rate:
    """So many in a while, by address."""

    def __init__(
        self, count: int, seconds: float, what: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._count, self._seconds, self._what, self._clock = count, seconds, what, clock
        self._times: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def take(self, address: str) -> None:
        """Count one.

        Raises:
            TooMany: There were too many within the last while.
        """
        now = self._clock()
        with self._lock:
            for other in [
                a for a, times in self._times.items() if times[-1] <= now - self._seconds
            ]:
                del self._times[other]
            times = self._times.setdefault(address, deque())
            while times and times[0] <= now - self._seconds:
                times.popleft()
            if len(times) >= self._count:
                wait = int(times[0] + self._seconds - now) + 1
                raise TooMany(
                    f"more than {self._count} {self._what} within {self._seconds:g} seconds;"
                    f" try again in {wait} seconds",
                    wait,
                )
            times.append(now)


class Slots:
    """So many at once, by address and in total."""

    def __init__(self, each: int, total: int, what: str) -> None:
        self._each, self._total, self._what = each, total, what
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, address: str) -> Callable[[], None]:
        """Take a slot; return what gives it back, which may be called twice.

        Raises:
            TooMany: All are taken.
        """
        with self._lock:
            if self._taken[address] >= self._each:
                raise TooMany(f"{self._each} {self._what} at once already; wait until one is done")
            if self._taken.total() >= self._total:
                raise TooMany(f"the server is making {self._total} {self._what}; try again soon")
            self._taken[address] += 1
        once = threading.Lock()

        def give_back() -> None:
            if once.acquire(blocking=False):
                with self._lock:
                    self._taken[address] -= 1
                    self._taken += Counter()  # forgets addresses that have none

        return give_back

    @contextmanager
    def kept_on_success(self, address: str) -> Iterator[Callable[[], None]]:
        """Take a slot that is given back here only where the block raises."""
        give_back = self.take(address)
        try:
            yield give_back
        except BaseException:
            give_back()
            raise

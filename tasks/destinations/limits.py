"""Batches by rows and bytes, and the pace an account allows."""

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field

import orjson

from tasks.destinations.platform import Limits, Part

Pace = Callable[[str, float], None]
"""Wait for the right to send one request: (quota key of the account, requests per second)."""

KEPT_SECONDS = 0.5
ONE_BY_ONE = 10.0  # up to so many requests a second, each may ask for its own slot
OPEN_GROUPS = 8  # batches under construction at once; the plan is sorted, so older groups are complete


def size_bytes(part: Part) -> int:
    """Bytes one part adds to a request, separator included."""
    return len(orjson.dumps(part.body)) + 1


def fits(part: Part, limits: Limits) -> bool:
    """Whether the part can be sent at all."""
    return size_bytes(part) <= limits.bytes


def batches(parts: Iterable[Part], limits: Limits) -> Iterator[list[Part]]:
    """Cut a stream into requests: one group each, at most ``limits.rows`` rows and ``limits.bytes`` bytes.

    Parts keep their order within a group. A part that alone exceeds the bytes makes a batch of its own.
    """
    open_batches: dict[Hashable, list[Part]] = {}
    sizes: dict[Hashable, int] = {}
    for part in parts:
        size = size_bytes(part)
        batch = open_batches.get(part.group)
        if batch is not None and (len(batch) >= limits.rows or sizes[part.group] + size > limits.bytes):
            yield open_batches.pop(part.group)
            batch = None
        if batch is None:
            if len(open_batches) >= OPEN_GROUPS:
                yield open_batches.pop(next(iter(open_batches)))
            batch = open_batches[part.group] = []
            sizes[part.group] = 0
        batch.append(part)
        sizes[part.group] += size
    yield from open_batches.values()


@dataclass(slots=True)
class LocalPace:
    """Spaces the requests of each account evenly within this process."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _next: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, quota_key: str, per_second: float) -> None:
        """Wait for this account's next slot."""
        with self._lock:
            now = self.clock()
            turn = max(now, self._next.get(quota_key, now))
            self._next[quota_key] = turn + 1.0 / per_second
        if turn > now:
            self.sleep(turn - now)


def slots_at_once(per_second: float, most: int) -> int:
    """How many slots of a shared limit to take in one call: half a second's worth, at most ``most``, or just one.

    A slow account takes one after the other, so that nobody ever has slots in hand that another worker could use.
    """
    return max(1, min(int(per_second * KEPT_SECONDS), most)) if per_second > ONE_BY_ONE else 1


@dataclass(slots=True)
class Slots:
    """Slots of one account's shared limit, taken ``batch`` at a time and handed out singly, to several threads.

    What is not handed out within ``KEPT_SECONDS`` is given up. So if the limit grants at most ``limit`` +
    ``per_second`` x T slots in any T seconds, all workers together send at most ``limit`` + ``per_second`` x
    (T + ``KEPT_SECONDS``) requests in them, however many workers there are; with a batch of one, the half second is
    none: what was granted is sent at once.
    """

    acquire: Callable[[int], None]  # returns when so many slots are granted
    batch: int
    clock: Callable[[], float] = time.monotonic
    _left: int = 0
    _until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> None:
        """Wait for one slot."""
        with self._lock:
            if not self._left or self.clock() > self._until:
                self._left = 0
                self.acquire(self.batch)
                self._left, self._until = self.batch, self.clock() + KEPT_SECONDS
            self._left -= 1


def unpaced(_quota_key: str, _per_second: float) -> None:
    """No pace at all, for files and loopback servers."""

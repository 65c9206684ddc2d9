"""Slots of a shared limit, taken in batches: never more requests than its bucket and half a second allow."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.destinations.limits import KEPT_SECONDS, Slots, slots_at_once


class Bucket:
    """A limit as Prefect keeps it: full at first, slots come back by time, whoever finds too few waits."""

    def __init__(self, limit: int, per_second: float) -> None:
        self.limit, self.per_second = limit, per_second
        self.level, self.since, self.now, self.calls = float(limit), 0.0, 0.0, 0

    def acquire(self, count: int) -> None:
        self.calls += 1
        self._refill()
        if self.level < count:
            self.now += (count - self.level) / self.per_second
            self._refill()
        self.level -= count

    def _refill(self) -> None:
        self.level = min(float(self.limit), self.level + (self.now - self.since) * self.per_second)
        self.since = self.now


@given(
    per_second=st.integers(1, 200),
    limit=st.integers(1, 200),
    asks=st.lists(st.tuples(st.integers(0, 3), st.floats(0, 0.7)), min_size=1, max_size=300),
)
def test_workers_together_send_no_more_than_the_bucket_and_half_a_second(
    per_second: int, limit: int, asks: list[tuple[int, float]]
) -> None:
    bucket = Bucket(limit, per_second)
    batch = slots_at_once(per_second, limit)
    workers = [Slots(bucket.acquire, batch, clock=lambda: bucket.now) for _ in range(4)]
    sent = []
    for worker, pause_seconds in asks:
        bucket.now += pause_seconds**4  # mostly short
        workers[worker].take()
        sent.append(bucket.now)
    kept_seconds = KEPT_SECONDS if batch > 1 else 0.0
    for window_seconds in (0.1, 1.0, 5.0):
        busiest = max(sum(start <= one <= start + window_seconds for one in sent) for start in sent)
        assert busiest <= limit + per_second * (window_seconds + kept_seconds) + 1e-6


def test_many_threads_share_each_batch_and_lose_no_slot() -> None:
    asked: list[int] = []
    slots = Slots(asked.append, 7, clock=lambda: 0.0)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: slots.take(), range(1_600)))
    assert asked == [7] * -(-1_600 // 7)


def test_a_fast_account_asks_twice_a_second_and_a_slow_one_each_time() -> None:
    assert [slots_at_once(rate, 1_000) for rate in (0.5, 5, 10, 11, 160)] == [1, 1, 1, 5, 80]
    assert slots_at_once(160, 10) == 10


def test_slots_that_were_kept_too_long_are_given_up() -> None:
    bucket = Bucket(100, 20)
    slots = Slots(bucket.acquire, 10, clock=lambda: bucket.now)
    slots.take()
    bucket.now += KEPT_SECONDS + 0.01
    slots.take()
    assert bucket.calls == 2


def test_a_call_that_fails_leaves_nothing_to_hand_out() -> None:
    bucket, answers = Bucket(100, 20), iter([True, False, True])

    def acquire(count: int) -> None:
        if not next(answers):
            raise ConnectionError
        bucket.acquire(count)

    slots = Slots(acquire, 1, clock=lambda: bucket.now)
    slots.take()
    with pytest.raises(ConnectionError):
        slots.take()
    slots.take()
    assert bucket.calls == 2

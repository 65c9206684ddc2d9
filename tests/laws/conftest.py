"""What became of a test, for fixtures that record it."""

from collections.abc import Generator

import pytest

OUTCOME = pytest.StashKey[str]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the outcome of the test itself."""
    report = yield
    if call.when == "call":
        item.stash[OUTCOME] = report.outcome
    return report


@pytest.fixture
def outcome(request: pytest.FixtureRequest) -> "Outcome":
    """Ask it after the test what became of it."""
    return Outcome(request.node)


class Outcome:
    """What became of a test: passed, skipped, failed, or '' before its end."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item

    def __str__(self) -> str:
        return self._item.stash.get(OUTCOME, "")

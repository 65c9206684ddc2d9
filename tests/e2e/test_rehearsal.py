"""The rehearsal: every platform, five percent faults, a kill and a restart."""

from pathlib import Path

import pytest

from tasks.destinations.registry import all_platforms, missing_modules
from tasks.destinations.rehearsal.run import rehearse
from tests.destinations.world import AT

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("seed", [1])
def test_after_faults_a_kill_and_a_restart_every_platform_looks_as_desired(tmp_path: Path, seed: int) -> None:
    found = rehearse(str(tmp_path / "lake"), at=AT, customers=120, seed=seed)
    assert {one.platform for one in found} == {p.slug for p in all_platforms() if not missing_modules(p)}
    for one in found:
        assert one.passed, one
    assert sum(one.faults for one in found) > 5

"""The registry: one file adds a platform, and what ends or is missing is told in time."""

from datetime import date
from pathlib import Path

import pytest

from tasks.destinations import registry
from tasks.destinations.registry import all_platforms, missing_modules, platform_of, require_modules, retiring
from tasks.errors import ConfigurationError

PLATFORMS = Path(registry.__file__).parent / "platforms"


def test_adding_one_file_adds_a_platform(parrot) -> None:
    assert platform_of("parrot") is parrot.PLATFORM
    assert [one.slug for one in all_platforms()] == sorted(one.slug for one in all_platforms())


def test_an_unknown_platform_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"no platform 'hubspto'. Platforms: .*hubspot"):
        platform_of("hubspto")


def test_a_missing_optional_package_is_named_with_its_remedy(parrot) -> None:
    from dataclasses import replace

    needy = replace(parrot.PLATFORM, extra="parrot", modules=("no_such_package_here",))
    assert missing_modules(needy) == ("no_such_package_here",)
    with pytest.raises(ConfigurationError, match=r"pip install 'retail-segmentation\[parrot\]'"):
        require_modules(needy)


def test_a_version_is_told_before_it_ends() -> None:
    klaviyo = platform_of("klaviyo")
    assert klaviyo.retires is not None
    assert klaviyo in retiring(klaviyo.retires)
    assert klaviyo not in retiring(date(2026, 3, 1))


@pytest.mark.parametrize("file", sorted(PLATFORMS.glob("*.py")), ids=lambda f: f.stem)
def test_a_platform_file_knows_only_the_platform_value_and_the_errors(file: Path) -> None:
    ours = {
        line.split()[1] for line in file.read_text().splitlines() if line.startswith(("from tasks", "import tasks"))
    }
    assert ours <= {"tasks.destinations.platform", "tasks.errors"}


@pytest.mark.parametrize("file", sorted(PLATFORMS.glob("*.py")), ids=lambda f: f.stem)
def test_no_call_that_could_resubscribe_schedule_or_send_exists(file: Path) -> None:
    source = file.read_text()
    for call in (
        "subscription-bulk-create", "suppression-bulk-delete", "/schedule", "/mail/send", "delete_all_contacts",
        "/unarchive", "bypass_", "test/send", "status_if_new", '"status": "subscribed"', "marketingState:",
    ):  # fmt: skip
        assert call not in source

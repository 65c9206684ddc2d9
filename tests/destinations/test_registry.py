"""The registry: one file adds a platform, and what ends or is missing is told in time."""

from datetime import date
from pathlib import Path

import pytest
from world import AS_OF, AT, KEY, LOOSE, PEOPLE, assign, plain_connect, retailer

from tasks.config import DestinationSettings
from tasks.destinations import registry
from tasks.destinations.apply import apply_plan
from tasks.destinations.forget import forget
from tasks.destinations.page import describe_platforms
from tasks.destinations.plan import make_plan
from tasks.destinations.registry import all_platforms, missing_modules, platform_of, require_modules, retiring
from tasks.errors import ConfigurationError

PLATFORMS = Path(registry.__file__).parent / "platforms"


def test_adding_one_file_adds_a_platform(parrot) -> None:
    assert platform_of("parrot") is parrot.PLATFORM
    assert [one.slug for one in all_platforms()] == sorted(one.slug for one in all_platforms())


def test_a_tenth_platform_is_planned_pushed_left_and_erased_without_a_change_elsewhere(tmp_path: Path, parrot) -> None:
    before = len(all_platforms()) - 1
    lake, where = (
        retailer(tmp_path / "lake"),
        DestinationSettings(platform="parrot", released=True, audience=("loyal",)),
    )
    for hour, people in enumerate(({"ben", "cleo"}, {"ben", "cleo"}, {"cleo"})):
        assign(lake, PEOPLE | dict.fromkeys({"ben", "cleo"} - people, "vip"))
        at = AT.replace(hour=6 + hour)
        plan, _ = make_plan(lake, [], [where], LOOSE, as_of=AS_OF, at=at, person_key=KEY)
        assert apply_plan(lake, plan, [where], plain_connect(), at=at, person_key=KEY).complete
        assert set(parrot.PEOPLE) == people
    assert [len(batch) for batch in parrot.WIRE] == [2, 1]  # the second push had nothing to say
    forget(lake, "cleo", [where], plain_connect(), request_id="r", buckets=16, at=AT, person_key=KEY)
    assert parrot.PEOPLE == {}
    (row,) = [one for one in describe_platforms() if one.platform == "parrot"]
    assert (len(describe_platforms()), row.laws_kept) == (before + 1, 0)


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

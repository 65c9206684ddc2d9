"""A platform of the tests' own, added to the registry by adding one file."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.destinations import platforms, registry

sys.path.insert(0, str(Path(__file__).parent))

PARROT = '''
"""A platform that keeps people in a dictionary and refuses names beginning with x."""

from tasks.destinations.platform import (
    Account, Key, Limits, Part, Platform, Receipt, all_but, nothing_wanted,
)

PEOPLE, WIRE, MOOD = {}, [], {"fail": None}


def shape(member, target):
    return Part(member, {"key": member.key, **member.values})


def push(session, target, parts):
    WIRE.append([part.member.customer_id for part in parts])
    if MOOD["fail"]:
        raise MOOD["fail"]
    ugly = [part.member.key for part in parts if part.member.customer_id.startswith("x")]
    for member in (part.member for part in parts if part.member.key not in ugly):
        if member.change == "leave":
            PEOPLE.pop(member.key, None)
        else:
            PEOPLE[member.key] = dict(member.values)
    ids = {part.member.key: "native-" + part.member.key for part in parts}
    yield from all_but(parts, dict.fromkeys(ugly, ("ugly_name", "Names with x are refused")), ids)


def erase(session, target, people):
    return [Receipt(p.customer_id, done=PEOPLE.pop(p.customer_id, None) is not None) for p in people]


PLATFORM = Platform(
    slug="parrot", title="Parrot", docs="https://example.com", api_version="1", keys=(Key.CUSTOMER_ID, Key.EMAIL),
    account=Account, limits=Limits(rows=2, per_second=1e6), shape=shape, push=push, check=lambda s, t: "fine",
    erase=erase, wants=nothing_wanted,
)
'''


@pytest.fixture
def parrot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """The module of a platform that one new file adds."""
    folder = tmp_path / "more_platforms"
    folder.mkdir()
    (folder / "parrot.py").write_text(PARROT)
    monkeypatch.setattr(platforms, "__path__", [*platforms.__path__, str(folder)])
    registry.all_platforms.cache_clear()
    import importlib

    yield importlib.import_module("tasks.destinations.platforms.parrot")
    sys.modules.pop("tasks.destinations.platforms.parrot", None)
    registry.all_platforms.cache_clear()

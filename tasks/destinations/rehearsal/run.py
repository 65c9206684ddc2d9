"""A rehearsal: the whole push against every stand-in, with faults, a kill and a restart, and a look at what is left.

``python -m tasks.destinations.rehearsal.run`` is the process that gets killed.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import date, datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, SecretStr

from tasks.config import BrakeSettings, DestinationSettings
from tasks.destinations.apply import Connect, PushSummary, apply_plan
from tasks.destinations.connect import connector
from tasks.destinations.http import Patience
from tasks.destinations.limits import unpaced
from tasks.destinations.plan import make_plan, read_plan
from tasks.destinations.platform import Platform, text
from tasks.destinations.registry import all_platforms, missing_modules
from tasks.destinations.rehearsal.fake import Fake, Weather, serve
from tasks.destinations.rehearsal.stage import all_fakes
from tasks.lake import Lake
from tasks.lake.contracts import CONTRACTS

SEGMENTS = ("vip", "loyal", "new", "at_risk", "dormant")
PERSON_KEY = "rehearsal"
HASTE = Patience(attempts=12, first_seconds=0.01, longest_seconds=0.05)
LOOSE = BrakeSettings(max_segment_move=1.0, max_leave=1.0)
KILL_AFTER = 0.4  # share of the expected requests after which the process is killed
WAIT_SECONDS = 120.0


class Rehearsed(BaseModel):
    """How one platform came through."""

    model_config = ConfigDict(frozen=True)

    platform: str
    delivered: int
    rejected: int
    later: int
    sent_again: int
    requests: int
    faults: int
    complaints: tuple[str, ...]
    opted_out_on_the_wire: int
    as_desired: bool

    @property
    def passed(self) -> bool:
        """Everybody arrived, nobody who opted out was sent, and the vendor had nothing to complain about."""
        nothing_wrong = not (self.rejected or self.later or self.complaints or self.opted_out_on_the_wire)
        return self.as_desired and nothing_wrong


def rehearse(
    root: str, *, at: datetime, customers: int = 300, fault_rate: float = 0.05, seed: int = 1, only: Sequence[str] = ()
) -> list[Rehearsed]:
    """Push a made-up retailer to every stand-in: first push with a kill, restart, then a day of changes and leavers.

    ``root`` is an empty folder for the lake of the rehearsal. Platforms whose optional package is missing are left out.
    """
    lake = Lake(root=root, memory_limit="1GB")
    day = at.date()
    platforms = [p for p in all_platforms() if not missing_modules(p) and (not only or p.slug in only)]
    with ExitStack() as stack:
        fakes = {p.slug: stack.enter_context(serve(all_fakes()[p.slug](Weather(fault_rate, seed)))) for p in platforms}
        people = fill(lake, customers, day)
        for fake in fakes.values():
            fake.seed(people)
        places = [
            DestinationSettings(platform=slug, secret=slug, settings=fake.settings(), released=True)
            for slug, fake in fakes.items()
        ]
        secrets = {slug: fake.secret for slug, fake in fakes.items()}
        make_plan(lake, [], places, LOOSE, as_of=day, at=at, person_key=PERSON_KEY)
        _push_and_kill(lake, places, secrets, fakes, at)
        first = push(lake, places, secrets, at)
        fill(lake, customers, day + timedelta(days=1), moved=True)
        make_plan(
            lake, [], places, LOOSE, as_of=day + timedelta(days=1), at=at + timedelta(days=1), person_key=PERSON_KEY
        )
        second = push(lake, places, secrets, at + timedelta(days=1))
        return [_judge(lake, platform, fakes[platform.slug], [first, second]) for platform in platforms]


def push(lake: Lake, places: Sequence[DestinationSettings], secrets: Mapping[str, str], at: datetime) -> PushSummary:
    """Apply the newest stored plan."""
    return apply_plan(lake, read_plan(lake), places, _connect(secrets), at=at, person_key=PERSON_KEY)


def _connect(secrets: Mapping[str, str]) -> Connect:
    return connector(lambda name: SecretStr(secrets[name]), pace=unpaced, patience=HASTE)


def fill(lake: Lake, customers: int, day: date, *, moved: bool = False) -> list[dict[str, Any]]:
    """Customers with address, segment and value; every seventh has opted out; a later day moves some and loses some."""
    people = [
        {"customer_id": f"c{i:05d}", "email": f"person{i:05d}@example.com", "first_name": "Pat", "last_name": f"N{i}"}
        for i in range(customers)
    ]
    said = datetime(day.year, day.month, day.day).astimezone()
    here = [(i, p) for i, p in enumerate(people) if not (moved and i % 11 == 0)]
    segments = [
        {
            "customer_id": p["customer_id"],
            "as_of": day,
            "segment": SEGMENTS[(i + (moved and i % 5 == 0)) % len(SEGMENTS)],
            "recommended_action": "Say hello",
        }
        for i, p in here
    ]
    features = [{"customer_id": p["customer_id"], "as_of": day, "lifetime_value": 10.0 * (i % 90)} for i, p in here]
    noes = [
        {"customer_key": p["customer_id"], "customer_id": p["customer_id"], "channel": "email", "status": "denied",
         "source": "rehearsal", "changed_at": said}
        for p in people[::7]
    ]  # fmt: skip
    _write(lake, "customers", people)
    _write(lake, "consent", noes)
    _write(lake, "customer_segments", segments)
    _write(lake, "customer_features", features)
    return people


def _write(lake: Lake, table: str, records: Sequence[Mapping[str, Any]]) -> None:
    contract = CONTRACTS[table]
    empty = {"string": "", "bool": False, "double": 0.0, "list<item: string>": []}
    blank = {c.name: None if c.nullable else empty.get(str(c.type), 0) for c in contract.columns}
    rows = pa.Table.from_pylist([blank | dict(one) for one in records], schema=contract.schema)
    where = {"as_of": records[0]["as_of"]} if "as_of" in contract.partition_by else None
    lake.replace(table, rows, where=where)


def _push_and_kill(
    lake: Lake,
    places: Sequence[DestinationSettings],
    secrets: Mapping[str, str],
    fakes: Mapping[str, Fake],
    at: datetime,
) -> None:
    """Let another process push, and kill it in the middle."""
    asked = {"root": lake.root, "places": [p.model_dump(mode="json") for p in places], "secrets": dict(secrets)}
    expected = sum(part.requests for part in read_plan(lake).destinations)
    command = [sys.executable, "-m", "tasks.destinations.rehearsal.run"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603 - our own interpreter and module
    with process:
        if process.stdin is not None:
            process.stdin.write(orjson.dumps(asked | {"at": at.isoformat()}))
            process.stdin.close()
        ends = time.monotonic() + WAIT_SECONDS
        while process.poll() is None and time.monotonic() < ends:
            if sum(len(fake.seen) for fake in fakes.values()) > expected * KILL_AFTER:
                break
            time.sleep(0.002)
        process.kill()


def held(fake: Fake) -> dict[str, dict[str, Any]]:
    """What a stand-in holds about everybody who has any value of ours, as texts."""
    found = {
        key: {name: value if name == "lists" else text(value) for name, value in values.items()}
        for key, values in fake.people().items()
    }
    return {key: values for key, values in found.items() if any(values.values())}


def desired(lake: Lake, destination: str, platform: Platform) -> dict[str, dict[str, Any]]:
    """What the newest plan wants there, in the same words."""
    with lake.database([lake.latest("sync_ledger")]) as db:
        rows = db.execute(
            "SELECT payload FROM sync_ledger WHERE destination = $name AND digest <> ''", {"name": destination}
        ).fetchall()
    return dict(_said(orjson.loads(payload), platform) for (payload,) in rows)


def _said(payload: Mapping[str, Any], platform: Platform) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {name: text(value) for name, value in payload["vals"].items() if text(value)}
    return payload["key"], values | ({"lists": set(payload["lists"])} if platform.uses_lists else {})


def _judge(lake: Lake, platform: Platform, fake: Fake, pushes: Sequence[PushSummary]) -> Rehearsed:
    mine = [one for done in pushes for one in done.destinations if one.destination == platform.slug]
    wanted = desired(lake, platform.slug, platform)
    plan = next(part for part in read_plan(lake).destinations if part.destination == platform.slug)
    wire = b"\n".join(str(dict(r.query)).encode() + r.body for r in fake.seen)
    opted_out = sum(address in wire for address in _opted_out(lake)) if platform.addresses_people else 0
    return Rehearsed(
        platform=platform.slug,
        delivered=sum(one.delivered for one in mine),
        rejected=sum(one.rejected for one in mine),
        later=sum(one.later for one in mine),
        sent_again=sum(one.sent_again for one in mine),
        requests=len(fake.seen),
        faults=fake.weather.happened,
        complaints=tuple(fake.complaints),
        opted_out_on_the_wire=opted_out,
        as_desired=held(fake) == wanted and len(wanted) == plan.desired,
    )


def _opted_out(lake: Lake) -> Iterator[bytes]:
    with lake.database([lake.latest("consent"), lake.latest("customers")]) as db:
        for (email,) in db.sql("SELECT email FROM customers SEMI JOIN consent USING (customer_id)").fetchall():
            yield str(email).encode()


def main() -> None:
    """Push as another process was told to on standard input."""
    asked = orjson.loads(sys.stdin.buffer.read())
    places = [DestinationSettings(**one) for one in asked["places"]]
    push(Lake(root=asked["root"]), places, asked["secrets"], datetime.fromisoformat(asked["at"]))


if __name__ == "__main__":
    main()

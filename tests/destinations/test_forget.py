"""Opt-outs come home, and the forgotten stay forgotten."""

from pathlib import Path

import pytest
from world import AS_OF, AT, KEY, LOOSE, customer, outbox, plain_connect, retailer, rows

from tasks.config import DestinationSettings
from tasks.destinations.apply import apply_plan
from tasks.destinations.forget import forget
from tasks.destinations.opt_outs import kind_of, read_opt_outs
from tasks.destinations.plan import make_plan
from tasks.destinations.platform import Key, OptOut
from tasks.errors import TransientError
from tasks.lake import Lake
from tasks.lake.person_hash import hash_person


def push(lake: Lake, *where: DestinationSettings, hour: int = 6) -> dict[str, int]:
    plan, _ = make_plan(lake, [], where, LOOSE, as_of=AS_OF, at=AT.replace(hour=hour), person_key=KEY)
    done = apply_plan(lake, plan, where, plain_connect(), at=AT, person_key=KEY)
    return {one.destination: one.delivered for one in done.destinations}


def bought(lake: Lake) -> None:
    order = {"order_id": "o1", "line": 1, "customer_id": "ana", "customer_key": "own:ana", "product_id": "p",
             "order_date": AS_OF, "currency": "GBP", "amount": 12, "channel": "web", "source": "shop"}  # fmt: skip
    other = order | {"order_id": "o2", "customer_id": "ben", "customer_key": "own:ben", "amount": 30}
    lake.replace("order_lines", rows("order_lines", [order, other]))
    known = [
        {"customer_key": f"own:{n}", "customer_id": n, "matched_on": "own id", "source": "shop"} for n in ("ana", "ben")
    ]
    lake.replace("identity", rows("identity", known))


def test_an_opt_out_known_to_one_platform_counts_for_all(tmp_path: Path, parrot, monkeypatch) -> None:
    lake = retailer(tmp_path / "lake")
    parrot_here = DestinationSettings(platform="parrot", released=True)
    told = [OptOut(Key.EMAIL, "Ana@Example.com", "HARD_BOUNCE"), OptOut(Key.EMAIL, "nobody@example.com", "UNSUBSCRIBE")]
    from dataclasses import replace

    from tasks.destinations import registry

    monkeypatch.setattr(parrot, "PLATFORM", replace(parrot.PLATFORM, opt_outs=lambda *_: told))
    registry.all_platforms.cache_clear()
    _, counts = read_opt_outs(lake, [parrot_here], plain_connect(), at=AT, person_key=KEY)
    assert counts == {"parrot": 2}
    table = lake.read(lake.latest("suppressions")).to_pylist()
    assert {(r["customer_id"], r["kind"]) for r in table} == {("ana", "bounce"), (None, "unsubscribe")}
    assert "@" not in repr(table)
    assert push(lake, parrot_here) == {"parrot": 4}


@pytest.mark.parametrize(
    ("said", "kind"),
    [("HARD_BOUNCE", "bounce"), ("SPAM_COMPLAINT", "spam"), ("cleaned", "bounce"), ("INVALID_EMAIL", "invalid"),
     ("USER_SUPPRESSED", "unsubscribe")],
)  # fmt: skip
def test_reasons_have_one_vocabulary(said: str, kind: str) -> None:
    assert kind_of(said) == kind


def test_the_forgotten_are_gone_everywhere_with_receipts_and_never_pushed_again(tmp_path: Path, parrot) -> None:
    lake = retailer(tmp_path / "lake")
    bought(lake)
    places = [outbox(tmp_path / "out"), DestinationSettings(platform="parrot", released=True)]
    push(lake, *places)
    _, receipts = forget(
        lake, "ana@example.com", places, plain_connect(), request_id="r1", buckets=16, at=AT, person_key=KEY
    )
    status = {str(one["place"]): one["status"] for one in receipts}
    assert (status["parrot"], status["outbox"]) == ("accepted", "accepted")
    for table in (
        "customers",
        "customer_segments",
        "customer_features",
        "sync_ledger",
        "sync_plan_rows",
        "order_lines",
    ):
        assert status[table] == "erased"
    assert "ana" not in parrot.PEOPLE
    everything = b"".join(
        f.read_bytes() for f in tmp_path.rglob("*") if f.is_file() and f.suffix in {".parquet", ".csv", ".ndjson"}
    )
    assert b"ana@example.com" not in everything

    lines = lake.read(lake.latest("order_lines")).to_pylist()
    assert sorted((r["order_id"], r["customer_id"], int(r["amount"])) for r in lines) == [
        ("o1", None, 12),
        ("o2", "ben", 30),
    ]

    lake.merge("customers", rows("customers", [customer("ana")]))
    lake.append(
        "customer_segments",
        rows("customer_segments", [{"customer_id": "ana", "as_of": AS_OF, "segment": "vip"}]),
        transaction="she is back",
    )
    parrot.WIRE.clear()
    push(lake, *places, hour=8)
    assert "ana" not in [name for batch in parrot.WIRE for name in batch]


def test_a_platform_that_fails_is_told_and_the_others_go_on(tmp_path: Path, parrot, monkeypatch) -> None:
    lake = retailer(tmp_path / "lake")
    places = [DestinationSettings(platform="parrot", released=True), outbox(tmp_path / "out")]
    push(lake, *places)
    from dataclasses import replace

    from tasks.destinations import registry

    def down(*_: object) -> None:
        raise TransientError("parrot: 503")

    monkeypatch.setattr(parrot, "PLATFORM", replace(parrot.PLATFORM, erase=down))
    registry.all_platforms.cache_clear()
    _, receipts = forget(lake, "ana", places, plain_connect(), request_id="r1", buckets=16, at=AT, person_key=KEY)
    status = {str(one["place"]): (one["status"], one["detail"]) for one in receipts}
    assert status["parrot"] == ("failed", "parrot: 503")
    assert status["outbox"][0] == "accepted"
    hashes = lake.read(lake.latest("forgotten")).column("person_hash").to_pylist()
    assert hash_person("ANA@example.com ", KEY) in hashes

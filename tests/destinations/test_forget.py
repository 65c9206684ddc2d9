"""Opt-outs come home, and the forgotten stay forgotten."""

import hashlib
import json
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


def everywhere(lake: Lake) -> None:
    """Ana, in every place that is no table of customers; Ben and an order 7 beside her."""
    events = [{"customer_id": "7", "quantity": 1}, {"customer_id": "8", "quantity": 7}]
    lake.write_text("landing/shop/waiting.ndjson", "".join(json.dumps(one) + "\n" for one in events))
    done = lake.write_text("landing/shop/done.ndjson", json.dumps({"buyer": {"id": 7}, "total": 3}) + "\n")
    taken = {"source": "shop", "uri": f"file://{done}", "etag": "e", "as_of": AS_OF, "status": "taken"}
    lake.replace("intake_log", rows("intake_log", [taken]))
    body = {"type": "order", "order": {"id": "o7", "email": "ANA@example.com"}}
    for number, one in enumerate([body, {"order": {"id": "7", "customer_id": "8"}}]):
        message = json.dumps({"body": json.dumps(one), "attributes": {}})
        lake.write_text(f"_queue/new/{number}.json", message)
        lake.write_text(f"dead_letters/events/{number}.json", message)
    raw = [json.dumps({"household_id": 7, "amount": "?"}), json.dumps({"household_id": 8, "amount": 7})]
    refused = [{"source": "till", "uri": "u", "etag": "e", "row": n, "raw": one} for n, one in enumerate(raw, 1)]
    lake.replace("quarantine", rows("quarantine", refused))
    day = f"_outbox/campaigns/{AS_OF}"
    lake.write_text(f"{day}/welcome/contacts.csv", "email,rs_greeting\nana@example.com,Hello Ana\nben@example.com,Hi\n")
    lake.write_text(f"{day}/welcome/sample-1.html", "Hello Ana")
    cards = [{"loyalty_id": "card-7", "play": "welcome"}, {"loyalty_id": "card-8", "play": "welcome"}]
    lake.write_text(f"{day}/offers/offers.json", json.dumps(cards))
    lake.write_text(f"{day}/offers/manifest.json", json.dumps({"offers": 2, "sha256": {"offers.json": "old"}}))
    mine = {"as_of": AS_OF, "customer_id": "7", "campaign_id": "welcome"}
    tables = {
        "campaign_members": {**mine, "arm": "treated", "segment": "new", "applied": True},
        "campaign_contacts": {**mine, "draft": "Welcome", "email": "ana@example.com"},
        "holdouts": {"campaign_id": "gift", "customer_id": "7", "since": AS_OF},
        "offers": {**{k: v for k, v in mine.items() if k != "campaign_id"}, "loyalty_id": "card-7"},
        "customer_tags": {"customer_id": "7", "tag": "vip", "by": "Mira", "at": AT},
        "dead_letters": {"letter_id": "l", "what": "push", "where": "outbox", "customer_id": "7"},
        "engagement": {"event_id": "e", "customer_id": "7", "kind": "open"},
        "customer_records": {"customer_key": "main:7", "email": "ana@example.com", "source": "till"},
    }
    for table, row in tables.items():
        lake.merge(table, rows(table, [row]))
    known = [{"customer_key": "main:7", "customer_id": "7", "matched_on": "own id", "source": "till"}]
    lake.replace("identity", rows("identity", known))


PERSON = {"loyalty_id": "card-7", "first_name": "Ana", "last_name": "Example"}


def test_a_person_who_is_everywhere_is_nowhere_afterwards_and_others_stay(tmp_path: Path) -> None:
    lake, place = retailer(tmp_path / "lake", {"7": "vip", "8": "loyal"}), outbox(tmp_path / "out")
    lake.merge("customers", rows("customers", [customer("7", **PERSON) | {"email": "ana@example.com"}]))
    everywhere(lake)
    push(lake, place)
    places = [place]
    _, receipts = forget(lake, "7", places, plain_connect(), request_id="r1", buckets=16, at=AT, person_key=KEY)
    told = {one["place"]: one["status"] for one in receipts}
    for cleared in (
        "outbox", "landing files", "letters of events", "queue of events", "drafts and offers", "quarantine",
        "campaign_members", "campaign_contacts", "holdouts", "offers", "customer_tags", "dead_letters", "engagement",
        "customer_records", "customers", "identity", "sync_ledger", "sync_plan_rows", "customer_recommendations",
    ):  # fmt: skip
        assert told[cleared] in {"erased", "accepted"}, cleared

    found = [f for f in tmp_path.rglob("*") if f.is_file() and "_delta_log" not in f.parts]
    assert not [f for f in found if b"ana@example.com" in f.read_bytes().lower() or b"card-7" in f.read_bytes()]
    root = Path(lake.root)
    assert (root / "landing/shop/waiting.ndjson").read_text() == '{"customer_id": "8", "quantity": 7}\n'
    assert not (root / "landing/shop/done.ndjson").exists()
    assert [f.name for f in sorted((root / "_queue/new").iterdir())] == ["1.json"]
    assert [f.name for f in sorted((root / "dead_letters/events").iterdir())] == ["1.json"]
    assert [json.loads(row["raw"])["household_id"] for row in lake.read(lake.latest("quarantine")).to_pylist()] == [8]
    day = root / "_outbox/campaigns" / str(AS_OF)
    assert (day / "welcome/contacts.csv").read_text() == "email,rs_greeting\nben@example.com,Hi\n"
    assert not (day / "welcome/sample-1.html").exists()
    offers = (day / "offers/offers.json").read_bytes()
    assert [one["loyalty_id"] for one in json.loads(offers)] == ["card-8"]
    manifest = json.loads((day / "offers/manifest.json").read_text())
    assert manifest["sha256"] == {"offers.json": hashlib.sha256(offers).hexdigest()}

    _, again = forget(lake, "7", places, plain_connect(), request_id="r1", buckets=16, at=AT, person_key=KEY)
    assert {one["status"] for one in again if one["place"] != "outbox"} == {"absent"}

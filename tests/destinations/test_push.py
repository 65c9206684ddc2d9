"""Plan, brake, apply: what reaches a destination, what does not, and what is remembered."""

import csv
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import count
from pathlib import Path

import orjson
import pytest
from world import AS_OF, AT, KEY, LOOSE, PEOPLE, assign, customer, outbox, plain_connect, retailer, rows

from tasks.config import BrakeSettings, DestinationSettings
from tasks.destinations.apply import PushSummary, apply_plan
from tasks.destinations.plan import Plan, make_plan, read_plan
from tasks.destinations.platform import delivered
from tasks.destinations.replay import open_letters, replay
from tasks.errors import CheckFailedError, ConfigurationError, RejectedError, TransientError
from tasks.lake import Lake
from tasks.lake.person_hash import hash_person

NEXT_DAY = AS_OF + timedelta(days=1)


def plan_for(lake: Lake, *where: DestinationSettings, brake: BrakeSettings = LOOSE, as_of: date = AS_OF) -> Plan:
    return make_plan(lake, [], where, brake, as_of=as_of, at=at(as_of), person_key=KEY)[0]


def at(day: date, _tick: "count[int]" = count()) -> datetime:  # noqa: B008 - one clock for the module
    return AT + (day - AS_OF) + timedelta(seconds=next(_tick))


def push(lake: Lake, plan: Plan, *where: DestinationSettings, released: tuple[str, ...] = ()) -> PushSummary:
    return apply_plan(lake, plan, where, plain_connect(), at=at(plan.as_of), person_key=KEY, released=released)


def sync(lake: Lake, *where: DestinationSettings, as_of: date = AS_OF) -> PushSummary:
    return push(lake, plan_for(lake, *where, as_of=as_of), *where)


def sent(parrot) -> list[str]:
    return [name for batch in parrot.WIRE for name in batch]


def parrot_settings(**more: object) -> DestinationSettings:
    return DestinationSettings(platform="parrot", released=True, **more)


def answers(lake: Lake, plan: Plan) -> dict[str, tuple[str, str]]:
    table = lake.read(lake.latest("sync_answers")).to_pylist()
    return {r["customer_id"]: (r["verdict"], r["code"]) for r in table if r["plan_id"] == plan.plan_id}


def test_a_plan_alone_sends_nothing(tmp_path: Path) -> None:
    lake = retailer(tmp_path / "lake")
    plan = plan_for(lake, outbox(tmp_path / "out"))
    assert (plan.changes, plan.destinations[0].enters) == (5, 5)
    assert not (tmp_path / "out").exists()
    assert read_plan(lake) == plan


def test_the_outbox_receives_everybody_once_as_csv_and_ndjson(tmp_path: Path) -> None:
    lake = retailer(tmp_path / "lake")
    summary = sync(lake, outbox(tmp_path / "out", fields={"segment": "seg", "lifetime_value": "clv"}))
    assert (summary.destinations[0].delivered, summary.complete) == (5, True)
    (lines,) = (tmp_path / "out").rglob("*.ndjson")
    found = {(r := orjson.loads(line))["customer_id"]: r for line in lines.read_bytes().splitlines()}
    assert found["ana"] == {
        "customer_id": "ana",
        "change": "upsert",
        "email": "ana@example.com",
        "phone": None,
        "seg": "vip",
        "clv": 100.0,
        "lists": ["vip"],
    }
    (table,) = (tmp_path / "out").rglob("*.csv")
    with table.open(newline="") as handle:
        assert {row["customer_id"]: row["seg"] for row in csv.DictReader(handle)} == PEOPLE


def test_a_second_plan_after_an_apply_has_nothing_to_do(tmp_path: Path) -> None:
    lake, where = retailer(tmp_path / "lake"), outbox(tmp_path / "out")
    sync(lake, where)
    second = plan_for(lake, where)
    assert (second.changes, second.destinations[0].unchanged) == (0, 5)
    assert push(lake, second, where).destinations[0].delivered == 0


def test_the_same_inputs_give_the_same_plan(tmp_path: Path) -> None:
    lake, where = retailer(tmp_path / "lake"), outbox(tmp_path / "out")
    assert plan_for(lake, where) == plan_for(lake, where)
    assert len(lake.read(lake.latest("sync_plan_rows"))) == 5


def test_only_those_who_changed_travel(tmp_path: Path, parrot) -> None:
    lake, where = retailer(tmp_path / "lake"), parrot_settings(fields={"segment": "seg"})
    sync(lake, where)
    parrot.WIRE.clear()
    assign(lake, PEOPLE | {"dora": "lapsed", "fay": "new"}, as_of=NEXT_DAY)
    lake.merge("customers", rows("customers", [customer("fay")]))
    plan = plan_for(lake, where, as_of=NEXT_DAY)
    assert plan.destinations[0].changed_fields == {"seg": 1}
    push(lake, plan, where)
    assert sorted(sent(parrot)) == ["dora", "fay"]
    assert parrot.PEOPLE["dora"] == {"seg": "lapsed"}


def test_a_customer_who_left_the_audience_is_taken_out(tmp_path: Path, parrot) -> None:
    lake, where = retailer(tmp_path / "lake"), parrot_settings(audience=("loyal", "vip"))
    sync(lake, where)
    assert set(parrot.PEOPLE) == {"ana", "ben", "cleo"}
    assign(lake, PEOPLE | {"ben": "at_risk"}, as_of=NEXT_DAY)
    sync(lake, where, as_of=NEXT_DAY)
    assert set(parrot.PEOPLE) == {"ana", "cleo"}


def test_a_new_address_moves_the_customer_instead_of_doubling(tmp_path: Path, parrot) -> None:
    lake, where = retailer(tmp_path / "lake"), parrot_settings(settings={"key": "email"})
    sync(lake, where)
    lake.merge("customers", rows("customers", [customer("ben", email="ben@new.example")]))
    plan = plan_for(lake, where)
    assert (plan.destinations[0].moves, plan.changes) == (1, 1)
    push(lake, plan, where)
    assert "ben@example.com" not in parrot.PEOPLE
    assert "ben@new.example" in parrot.PEOPLE
    assert plan_for(lake, where).changes == 0


def test_of_two_customers_with_one_address_only_one_is_pushed(tmp_path: Path, parrot) -> None:
    lake, where = retailer(tmp_path / "lake"), parrot_settings(settings={"key": "email"})
    lake.merge("customers", rows("customers", [customer("ben", email="ANA@example.com ")]))
    plan = plan_for(lake, where)
    assert plan.destinations[0].skipped == {"shared_key": 1}
    push(lake, plan, where)
    assert answers(lake, plan)["ben"] == ("skipped", "shared_key")


@pytest.mark.parametrize(
    "said", ["denied", "denied after granted", "denied and granted at once", "denied, then unknown"]
)
def test_who_said_no_never_reaches_the_wire(tmp_path: Path, parrot, said: str) -> None:
    lake = retailer(tmp_path / "lake")
    later = AT + timedelta(days=1)
    words = {
        "denied": [("denied", AT)],
        "denied after granted": [("granted", AT), ("denied", later)],
        "denied and granted at once": [("granted", AT), ("denied", AT)],
        "denied, then unknown": [("denied", AT), ("unknown", later)],
    }[said]
    lake.replace(
        "consent",
        rows("consent", [
            {"customer_key": f"k{i}", "customer_id": "ana", "channel": "email", "status": s, "changed_at": when}
            for i, (s, when) in enumerate(words)
        ]),
    )  # fmt: skip
    plan = plan_for(lake, parrot_settings())
    push(lake, plan, parrot_settings())
    assert "ana" not in sent(parrot)
    assert answers(lake, plan)["ana"] == ("skipped", "opted_out")


def test_without_a_yes_nobody_is_pushed_where_consent_is_required(tmp_path: Path, parrot) -> None:
    lake = retailer(tmp_path / "lake")
    yes = {"customer_key": "k", "customer_id": "cleo", "channel": "email", "status": "granted", "changed_at": AT}
    lake.replace("consent", rows("consent", [yes]))
    sync(lake, parrot_settings(require_consent=True))
    assert set(parrot.PEOPLE) == {"cleo"}


def test_an_opt_out_between_plan_and_apply_is_honoured(tmp_path: Path, parrot) -> None:
    lake, where = retailer(tmp_path / "lake"), parrot_settings()
    plan = plan_for(lake, where)
    bounce = {
        "destination": "elsewhere", "address_hash": hash_person("Ana@Example.com", KEY), "channel": "email",
        "kind": "bounce", "at": AT,
    }  # fmt: skip
    lake.append("suppressions", rows("suppressions", [bounce]), transaction="t")
    push(lake, plan, where)
    assert "ana" not in sent(parrot)
    assert answers(lake, plan)["ana"] == ("skipped", "suppressed")


def test_who_opts_out_after_a_push_is_taken_out(tmp_path: Path, parrot) -> None:
    lake, where = retailer(tmp_path / "lake"), parrot_settings()
    sync(lake, where)
    no = {"customer_key": "k", "customer_id": "ana", "channel": "email", "status": "denied", "changed_at": AT}
    lake.replace("consent", rows("consent", [no]))
    sync(lake, where)
    assert "ana" not in parrot.PEOPLE


def test_the_forgotten_are_not_even_taken_out(tmp_path: Path, parrot) -> None:
    lake, where = retailer(tmp_path / "lake"), parrot_settings()
    lake.append(
        "forgotten",
        rows("forgotten", [{"person_hash": hash_person("ana@example.com", KEY), "kind": "email", "at": AT}]),
        transaction="t",
    )
    plan = plan_for(lake, where)
    push(lake, plan, where)
    assert "ana" not in sent(parrot)
    assert answers(lake, plan)["ana"] == ("skipped", "forgotten")


def test_the_control_group_is_left_out(tmp_path: Path, parrot) -> None:
    lake = retailer(tmp_path / "lake")
    lake.replace("holdouts", rows("holdouts", [{"campaign_id": "*", "customer_id": "emil", "since": AS_OF}]))
    plan = plan_for(lake, parrot_settings())
    assert plan.destinations[0].skipped == {"held_out": 1}


def test_the_first_push_to_an_account_asks_for_a_yes(tmp_path: Path, parrot) -> None:
    lake, where = retailer(tmp_path / "lake"), DestinationSettings(platform="parrot")
    plan = plan_for(lake, where)
    with pytest.raises(
        CheckFailedError, match=r"parrot: first_push .* would send 5 customers.*--release parrot:first_push"
    ):
        push(lake, plan, where)
    assert parrot.WIRE == []
    assert push(lake, plan, where, released=("parrot:first_push",)).destinations[0].delivered == 5


def test_an_empty_source_stops_before_anything_leaves(tmp_path: Path, parrot) -> None:
    lake, where = retailer(tmp_path / "lake"), parrot_settings()
    sync(lake, where)
    parrot.WIRE.clear()
    plan = plan_for(lake, where, as_of=NEXT_DAY)
    with pytest.raises(CheckFailedError, match=r"no segments for 2026-03-03; the newest are of 2026-03-02"):
        push(lake, plan, where)
    assert parrot.WIRE == []


def test_a_big_shrink_and_a_moving_segment_stop_and_say_how_to_release(tmp_path: Path, parrot) -> None:
    people = {f"c{i:02}": "loyal" for i in range(40)}
    lake, where = retailer(tmp_path / "lake", people), parrot_settings(audience=("loyal", "vip"))
    sync(lake, where)
    assign(lake, {n: "gone" if i < 12 else "vip" if i < 24 else "loyal" for i, n in enumerate(people)}, as_of=NEXT_DAY)
    plan = plan_for(lake, where, as_of=NEXT_DAY, brake=BrakeSettings(min_segment_size=10))
    assert {(f.check, f.subject, round(f.found, 2)) for f in plan.destinations[0].findings} == {
        ("shrink", "parrot", 0.3),
        ("segment_moved", "loyal", 0.6),
    }
    with pytest.raises(CheckFailedError, match="12 of 40 customers would leave"):
        push(lake, plan, where, released=("parrot:segment_moved",))
    assert push(lake, plan, where, released=("parrot",)).complete


def test_a_failed_check_of_the_run_is_a_brake(tmp_path: Path, parrot) -> None:
    lake, where = retailer(tmp_path / "lake"), parrot_settings()
    plan, _ = make_plan(
        lake, [], [where], LOOSE, as_of=AS_OF, at=at(AS_OF), person_key=KEY, alarms=["churn model failed"]
    )
    with pytest.raises(CheckFailedError, match="churn model failed"):
        push(lake, plan, where)


def test_a_plan_is_refused_when_a_newer_one_exists(tmp_path: Path, parrot) -> None:
    lake, where = retailer(tmp_path / "lake"), parrot_settings()
    old = plan_for(lake, where)
    assign(lake, PEOPLE, as_of=NEXT_DAY)
    plan_for(lake, where, as_of=NEXT_DAY)
    with pytest.raises(CheckFailedError, match=r"is stale: plan .* is newer"):
        push(lake, old, where)


def test_a_plan_is_refused_when_segments_changed_since(tmp_path: Path, parrot) -> None:
    lake, where = retailer(tmp_path / "lake"), parrot_settings()
    plan = plan_for(lake, where)
    assign(lake, PEOPLE | {"ana": "dormant"})
    with pytest.raises(CheckFailedError, match="the segments have changed since"):
        push(lake, plan, where)


def test_refused_customers_become_dead_letters_and_are_not_sent_again_unasked(tmp_path: Path, parrot) -> None:
    lake, where = retailer(tmp_path / "lake", PEOPLE | {"xena": "vip"}), parrot_settings()
    summary = sync(lake, where)
    assert (summary.destinations[0].delivered, summary.destinations[0].rejected) == (5, 1)
    (letter,) = open_letters(lake)
    assert (letter["code"], letter["customers"], letter["value_at_stake"]) == ("ugly_name", 1, pytest.approx(602.4))
    second = plan_for(lake, where)
    assert (second.changes, second.destinations[0].skipped) == (0, {"rejected_before": 1})


def test_replay_sends_dead_letters_again_and_closes_those_accepted(tmp_path: Path, parrot, monkeypatch) -> None:
    lake, where = retailer(tmp_path / "lake", PEOPLE | {"xena": "vip"}), parrot_settings()
    sync(lake, where)
    parrot.WIRE.clear()
    again, _ = replay(lake, [], [where], LOOSE, as_of=AS_OF, at=at(AS_OF), person_key=KEY)
    push(lake, again, where)
    assert parrot.WIRE == [["xena"]]
    assert open_letters(lake)[0]["tries"] == 2
    repaired = replace(parrot.PLATFORM, push=lambda _s, _t, parts: [delivered(p) for p in parts])
    monkeypatch.setattr(parrot, "PLATFORM", repaired)
    from tasks.destinations import registry

    registry.all_platforms.cache_clear()
    again, _ = replay(lake, [], [where], LOOSE, as_of=AS_OF, at=at(AS_OF), person_key=KEY)
    push(lake, again, where)
    assert open_letters(lake) == []


def test_a_batch_refused_as_a_whole_is_halved_until_the_bad_row_is_found(tmp_path: Path, parrot, monkeypatch) -> None:
    def picky(_session, _target, parts):
        if any(p.member.customer_id == "ben" for p in parts):
            raise RejectedError("400 something is wrong")
        return [delivered(p) for p in parts]

    limits = replace(parrot.PLATFORM.limits, rows=100)
    monkeypatch.setattr(parrot, "PLATFORM", replace(parrot.PLATFORM, push=picky, limits=limits))
    lake = retailer(tmp_path / "lake")
    plan = plan_for(lake, parrot_settings())
    push(lake, plan, parrot_settings())
    found = answers(lake, plan)
    assert found.pop("ben") == ("rejected", "refused")
    assert set(found.values()) == {("delivered", "")}


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (TransientError("down"), "unavailable"),
        (ConfigurationError("401 bad key"), "stopped"),
        (KeyError("results"), "malformed_answer"),
    ],
)
def test_every_customer_gets_one_answer_whatever_happens(tmp_path: Path, parrot, problem, code) -> None:
    lake = retailer(tmp_path / "lake")
    parrot.MOOD["fail"] = problem
    plan = plan_for(lake, parrot_settings())
    summary = push(lake, plan, parrot_settings())
    found = answers(lake, plan)
    assert set(found) == set(PEOPLE)
    assert {verdict for verdict, _ in found.values()} == {"later"}
    assert code in {c for _, c in found.values()}
    assert summary.destinations[0].later == 5
    parrot.MOOD["fail"] = None
    assert push(lake, plan, parrot_settings()).destinations[0].delivered == 5


def test_a_push_that_was_interrupted_continues_with_the_unanswered(tmp_path: Path, parrot, monkeypatch) -> None:
    lake = retailer(tmp_path / "lake")
    plan = plan_for(lake, parrot_settings())
    whole = parrot.PLATFORM.push

    def dies(session, target, parts):
        if len(parrot.WIRE) == 1:
            raise KeyboardInterrupt
        return whole(session, target, parts)

    monkeypatch.setattr(parrot, "PLATFORM", replace(parrot.PLATFORM, push=dies))
    from tasks.destinations import registry

    registry.all_platforms.cache_clear()
    with pytest.raises(KeyboardInterrupt):
        push(lake, plan, parrot_settings())
    monkeypatch.setattr(parrot, "PLATFORM", replace(parrot.PLATFORM, push=whole))
    registry.all_platforms.cache_clear()
    first = list(parrot.WIRE[0])
    summary = push(lake, plan, parrot_settings())
    assert summary.destinations[0].delivered == 5
    assert summary.destinations[0].sent_again == 2
    assert not set(first) & set(sent(parrot)[2:])


def test_configuration_problems_of_all_destinations_come_at_once(tmp_path: Path) -> None:
    lake = retailer(tmp_path / "lake")
    wrong = [
        DestinationSettings(platform="nowhere"),
        outbox(tmp_path, fields={"mood": "m"}),
        DestinationSettings(platform="outbox", name="o2", settings={"key": "shoe_size"}),
    ]
    with pytest.raises(ConfigurationError) as caught:
        plan_for(lake, *wrong)
    for part in ("no platform 'nowhere'", "fields mood do not exist", "not by shoe_size"):
        assert part in str(caught.value)


def test_no_cell_of_the_csv_is_a_formula() -> None:
    from tasks.destinations.platforms.outbox import to_csv

    text = to_csv([{"name": "=cmd()", "-x": "+1", "n": -5, "ok": "a=b", "tab": "\tx", "many": ["=1", "b"]}]).decode()
    assert text == "name,'-x,n,ok,tab,many\r\n'=cmd(),'+1,-5,a=b,'\tx,'=1;b\r\n"


def test_a_day_of_the_account_is_never_exceeded_and_the_plan_says_how_many_it_takes(tmp_path: Path, parrot) -> None:
    from tasks.destinations import registry

    limits = replace(parrot.PLATFORM.limits, rows=1, per_day=2)
    counted = replace(parrot.PLATFORM, limits=limits, push=lambda s, t, parts: s.attempt(lambda: real(s, t, parts)))
    real = parrot.push
    parrot.PLATFORM = counted
    registry.all_platforms.cache_clear()
    lake, where = retailer(tmp_path / "lake"), parrot_settings()
    plan = plan_for(lake, where)
    assert (plan.destinations[0].requests, plan.destinations[0].days) == (5, 3)
    for day, (so_far, complete) in enumerate([(2, False), (2, False), (4, False), (5, True)]):
        moment = at(AS_OF) + timedelta(days=max(day - 1, 0))  # the second push falls on the first day, too
        plan, _ = make_plan(lake, [], [where], LOOSE, as_of=AS_OF, at=moment, person_key=KEY)
        summary = apply_plan(lake, plan, [where], plain_connect(), at=moment, person_key=KEY)
        assert (len(parrot.PEOPLE), summary.complete) == (so_far, complete), day
    told = {row["reason"] for row in lake.read(lake.latest("sync_answers")).to_pylist() if row["verdict"] == "later"}
    assert told == {"Parrot: the 2 requests of the day are used up; go on tomorrow"}


def test_an_estimate_that_moved_less_than_it_can_claim_is_no_change(tmp_path: Path, parrot) -> None:
    lake, where = (
        retailer(tmp_path / "lake"),
        parrot_settings(fields={"lifetime_value": "clv", "churn_probability": "p"}),
    )

    def estimate(name: str, value: float, churn: float) -> dict[str, object]:
        return {"customer_id": name, "as_of": AS_OF, "lifetime_value": value, "churn_probability": churn}

    def believe(*rows_: dict[str, object]) -> int:
        lake.replace("customer_features", rows("customer_features", list(rows_)), where={"as_of": AS_OF})
        return sync(lake, where).destinations[0].delivered

    assert believe(estimate("ana", 1000, 0.20), estimate("ben", 1000, 0.20), estimate("cleo", 3, 0.0)) == 5
    assert believe(estimate("ana", 1099, 0.24), estimate("ben", 1200, 0.20), estimate("cleo", 4, 0.0)) == 1
    assert (parrot.PEOPLE["ana"]["clv"], parrot.PEOPLE["ben"]["clv"]) == (1000.0, 1200.0)
    # Many small steps add up: what counts is the distance to what the platform has.
    assert believe(estimate("ana", 1101, 0.24), estimate("ben", 1250, 0.26), estimate("cleo", 4, 0.0)) == 2
    assert (parrot.PEOPLE["ana"]["clv"], parrot.PEOPLE["ben"]["p"]) == (1101.0, 0.26)

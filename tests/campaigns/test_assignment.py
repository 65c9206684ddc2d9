"""Who gets which campaign on a day, and why the others get none: residents with their reasons."""

from datetime import UTC, date, datetime, timedelta

import pytest

from tasks.campaigns.explain import explain
from tasks.errors import CheckFailedError
from tasks.lake import Lake
from tests.campaigns.town import AS_OF, Resident, Town, everybody_in, rows


def town(lake: Lake, *residents: Resident, **changes) -> Town:
    return Town(lake, residents, playbook=everybody_in().model_copy(update=changes)).settle()


def test_each_resident_gets_the_best_play_that_fits_or_the_reason_why_none(lake):
    people = town(
        lake,
        Resident("Ana", "at_risk", moved_from="vip"),  # was VIP: the letter comes before the win-back
        Resident("Bob", "new", ("gift_buyers",)),  # new comes before the gift season
        Resident("Cleo", "dormant", ("gift_buyers", "replenishment_due")),  # dormant: no reminder
        Resident("Dan", "loyal", consent=None),
        Resident("Eve", "loyal", consent="denied"),
        Resident("Finn", "prospect"),
        Resident("Gus", "loyal", email=None),
        Resident("Hana", "loyal", email="not an address"),
        Resident("Ida", "lapsing", moved_from="loyal"),
    )
    people.make()
    told = {name: (row["arm"], row["play"] or row["reason"], row["rejected"]) for name, row in people.members().items()}
    assert told == {
        "Ana": ("treated", "vip_at_risk", ["win_back: lower priority"]),
        "Bob": ("treated", "welcome", ["gift_season: lower priority"]),
        "Cleo": ("treated", "gift_season", []),
        "Dan": ("left_out", "never said yes to e-mail", ["loyalty: no_consent"]),
        "Eve": ("left_out", "said no to e-mail", ["loyalty: opted_out"]),
        "Finn": ("left_out", "no play of the playbook fits", []),
        "Gus": ("left_out", "no usable e-mail address", ["loyalty: no_address"]),
        "Hana": ("left_out", "no usable e-mail address", ["loyalty: no_address"]),
        "Ida": ("treated", "win_back", []),
    }


def test_a_move_counts_for_its_days_and_only_while_the_customer_is_still_there(lake):
    people = town(lake, Resident("Ana", "at_risk", moved_from="vip"), Resident("Bob", "at_risk", moved_from="vip"))
    later = AS_OF + timedelta(days=13)
    people.residents = (Resident("Ana", "at_risk"), Resident("Bob", "loyal"))
    people.settle(later).make(later)
    assert {name: row["play"] for name, row in people.members(later).items()} == {
        "Ana": "vip_at_risk",
        "Bob": "loyalty",
    }
    too_late = AS_OF + timedelta(days=14)
    people.settle(too_late).make(too_late)
    assert people.members(too_late)["Ana"]["play"] == "win_back"


def test_two_residents_with_one_address_get_one_message(lake):
    people = town(
        lake,
        Resident("Ana", "loyal", email="Home@Example.com", worth=50),
        Resident("Bob", "loyal", email="home@example.com", worth=500),
        Resident("Cleo", "new", email="home@example.com", worth=5),
    )
    people.make()
    assert {name: (row["arm"], row["reason"]) for name, row in people.members().items()} == {
        "Ana": ("left_out", "somebody with the same address has a campaign today"),
        "Bob": ("left_out", "somebody with the same address has a campaign today"),
        "Cleo": ("treated", "segment new"),  # the more important play wins, then the more valuable customer
    }


def test_a_no_to_an_address_counts_for_everybody_who_shares_it(lake):
    people = town(lake, Resident("Ana", "loyal", email="home@example.com", consent="denied"),
                  Resident("Bob", "loyal", email="home@example.com"))  # fmt: skip
    people.make()
    assert {row["reason"] for row in people.members().values()} == {"said no to e-mail"}


def test_the_newest_word_on_consent_counts(lake):
    said = {
        "Ana": ([("granted", 1), ("denied", 2)], "left_out"),
        "Bob": ([("denied", 1), ("granted", 2)], "treated"),
        "Cleo": ([("granted", 1), ("denied", 1)], "left_out"),  # at the same moment a no beats a yes
        "Dan": ([("denied", 1), ("unknown", 2)], "left_out"),  # unknown is no word
        "Eve": ([("granted", 1), ("unknown", 2)], "treated"),
    }
    people = town(lake, *(Resident(name, "loyal") for name in said))
    words = [{"customer_key": f"{name}{status}{day}", "customer_id": name, "channel": "email", "status": status,
              "changed_at": datetime(2017, 11, day, tzinfo=UTC)}
             for name, (words, _) in said.items() for status, day in words]  # fmt: skip
    lake.replace("consent", rows("consent", words))
    people.make()
    assert {name: row["arm"] for name, row in people.members().items()} == {n: arm for n, (_, arm) in said.items()}


def test_an_opt_out_a_bounce_or_a_complaint_in_the_engagement_stops_messages(lake):
    did = {"Ana": "unsubscribe", "Bob": "bounce", "Cleo": "spam", "Dan": "open"}
    people = town(lake, *(Resident(name, "loyal") for name in did))
    day = AS_OF - timedelta(days=1)
    events = [{"event_id": name, "customer_id": name, "kind": kind, "event_date": day} for name, kind in did.items()]
    lake.append("engagement", rows("engagement", events), transaction="x")
    people.make()
    assert {name for name, row in people.members().items() if row["arm"] == "treated"} == {"Dan"}


def test_a_play_is_not_repeated_within_its_cooldown_and_no_week_has_more_than_its_cap(lake):
    people = town(lake, Resident("Ana", "new", ("bargain_hunters", "replenishment_due", "gift_buyers")))
    told = {}
    for number in (0, 1, 3, 7):
        day = AS_OF + timedelta(days=number)
        people.settle(day).make(day, applied=True)
        row = people.members(day)["Ana"]
        told[number] = row["play"] or row["reason"]
    assert told == {0: "welcome", 1: "replenish", 3: "had this campaign too recently", 7: "gift_season"}
    rejected = people.members(AS_OF + timedelta(days=3))["Ana"]["rejected"]
    assert rejected == ["welcome: cooldown", "replenish: cooldown", "gift_season: weekly_cap"]
    third = explain(lake, people.playbook, AS_OF + timedelta(days=3), "Ana").rejected[2]
    assert third == "Gift season: already had as many messages as one week allows"


def test_a_plan_counts_for_no_cap_and_no_cooldown(lake):
    people = town(lake, Resident("Ana", "new"))
    for number in range(3):
        day = AS_OF + timedelta(days=number)
        people.settle(day).make(day, applied=False)
        assert people.members(day)["Ana"]["play"] == "welcome"


def test_planning_again_after_an_apply_forgets_nothing(lake):
    people = town(lake, Resident("Ana", "new"))
    people.make(applied=True)
    people.make(applied=False)
    assert people.members()["Ana"]["applied"] is True


def test_a_quiet_day_keeps_messages_back_but_not_offers_at_the_till(lake):
    people = town(lake, Resident("Ana", "new"), quiet_dates=(AS_OF,))
    people.make()
    assert people.members()["Ana"]["reason"] == "no messages on this day"
    assert people.table("offers")[0]["play"] == "welcome"


def test_a_day_without_segments_is_refused(lake):
    people = town(lake, Resident("Ana", "new"))
    with pytest.raises(CheckFailedError, match="no customer segments for 2017-12-24"):
        people.make(date(2017, 12, 24))


def test_the_same_day_made_twice_is_the_same_in_every_table_and_file(lake, tmp_path):
    people = town(lake, Resident("Ana", "at_risk", moved_from="vip"), Resident("Bob", "new"), Resident("Cleo", "vip"))

    def state() -> tuple:
        tables = ("campaign_members", "campaigns", "holdouts", "campaign_drafts", "offers")
        files = {path.name: path.read_bytes() for path in (tmp_path / "lake" / "outbox").rglob("*") if path.is_file()}
        return [lake.fingerprint(lake.latest(table)) for table in tables], files

    people.make(applied=True)
    first = state()
    people.make(applied=True)
    assert state() == first


def test_every_customer_of_the_day_has_exactly_one_row(lake):
    names = [f"R{number}" for number in range(30)]
    segments = ("new", "vip", "loyal", "dormant", "prospect", "at_risk")
    people = Town(lake, tuple(Resident(n, segments[i % 6]) for i, n in enumerate(names)), control_share=0.2).settle()
    people.make()
    rows_ = people.table("campaign_members")
    assert sorted(row["customer_id"] for row in rows_) == sorted(names)
    assert {row["arm"] for row in rows_} <= {"treated", "holdout", "control", "left_out"}


def test_why_and_why_not_can_be_told_for_any_customer(lake):
    people = Town(lake, (Resident("Ana", "at_risk", moved_from="vip"), Resident("Dan", "loyal", consent=None),
                         Resident("Finn", "prospect"))).settle()  # fmt: skip
    people.make()
    ana, dan, finn = (explain(lake, people.playbook, AS_OF, name) for name in ("Ana", "Dan", "Finn"))
    assert ana.sentence == "Ana gets “VIP at risk” because: moved from vip to at_risk on 2017-11-15."
    assert ana.rejected == ("Win-back: a play with higher priority fits",)
    assert dan.sentence == "Dan gets no campaign: never said yes to e-mail."
    assert finn.sentence == "Finn gets no campaign: no play of the playbook fits."
    assert "Business buyers" not in finn.resting  # Wednesday is one of its days
    assert explain(lake, people.playbook, AS_OF, "Nobody").sentence == "Nobody has no segment on 2017-11-15."

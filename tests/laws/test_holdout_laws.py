"""Laws of the hold-out: stable, secret, independent, the right share everywhere, and out of every draft and offer."""

import hmac
import json
import math
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from tasks.campaigns.held_out import addressed
from tasks.campaigns.holdout import advise, detectable_difference, draw, draws, key_bytes
from tasks.config import BrakeSettings, DestinationSettings
from tasks.destinations.plan import make_plan
from tasks.destinations.registry import all_platforms
from tasks.errors import ConfigurationError
from tasks.lake import Lake
from tests.campaigns.town import AS_OF, KEY, Resident, Town, packaged

ids = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=40)
keys = st.binary(min_size=16, max_size=64)
CUSTOMERS = [f"customer-{number}" for number in range(20_000)]


@given(keys, ids, ids)
def test_the_draw_depends_on_key_campaign_and_customer_alone(key, campaign, customer):
    drawn = draw(key, campaign, customer)
    assert 0 <= drawn < 1
    assert drawn == draw(key, campaign, customer)
    other = bytes(byte ^ 1 for byte in key)
    assert drawn != draw(other, campaign, customer)


@given(keys, ids, ids)
def test_the_draw_is_the_keyed_hash_of_its_definition(key, campaign, customer):
    digest = blake2b(f"{campaign}|{customer}".encode(), digest_size=8, key=key).digest()
    assert draw(key, campaign, customer) == int.from_bytes(digest, "big") // 2**11 / 2**53


@given(keys, ids, st.lists(ids, max_size=20))
def test_many_draws_are_the_single_draws_in_order(key, campaign, customers):
    assert list(draws(key, [campaign] * len(customers), customers)) == [draw(key, campaign, c) for c in customers]


@settings(max_examples=5, deadline=None)
@given(keys, st.sampled_from([0.05, 0.1, 0.2, 0.5]))
def test_every_segment_holds_out_the_share_within_sampling_error(key, share):
    drawn = draws(key, ["win_back"] * len(CUSTOMERS), CUSTOMERS)
    for segment in range(4):
        held = (drawn[segment::4] < share).mean()
        error = math.sqrt(share * (1 - share) / (len(CUSTOMERS) / 4))
        assert abs(held - share) < 5 * error


@settings(max_examples=5, deadline=None)
@given(keys)
def test_draws_of_two_campaigns_are_independent(key):
    one = draws(key, ["win_back"] * len(CUSTOMERS), CUSTOMERS)
    other = draws(key, ["welcome"] * len(CUSTOMERS), CUSTOMERS)
    assert abs(np.corrcoef(one, other)[0, 1]) < 5 / math.sqrt(len(CUSTOMERS))
    both = ((one < 0.1) & (other < 0.1)).mean()
    assert abs(both - 0.01) < 5 * math.sqrt(0.01 * 0.99 / len(CUSTOMERS))


@settings(max_examples=5, deadline=None)
@given(keys)
def test_draws_fill_the_interval_evenly(key):
    drawn = np.sort(draws(key, ["x"] * len(CUSTOMERS), CUSTOMERS))
    distance = np.abs(drawn - (np.arange(len(drawn)) + 0.5) / len(drawn)).max()
    assert distance < 2.5 / math.sqrt(len(drawn))  # Kolmogorov-Smirnov, far beyond the 1 in 100,000 level


@pytest.mark.parametrize("secret", ["", "short", "x" * 15])
def test_a_key_that_can_be_guessed_is_refused_without_being_shown(secret):
    with pytest.raises(ConfigurationError, match="16 random ones") as error:
        key_bytes(SecretStr(secret))
    assert not secret or secret not in str(error.value)


def test_a_long_key_counts_to_its_last_character():
    one, other = (key_bytes(SecretStr("k" * 100 + end)) for end in "ab")
    assert draw(one, "x", "y") != draw(other, "x", "y")
    assert not hmac.compare_digest(one, other)


@given(st.integers(2, 5_000_000), st.floats(0.001, 0.999), st.floats(0.002, 0.3))
def test_the_advised_share_shows_the_effect_and_nothing_much_smaller_does(customers, baseline, effect):
    advice = advise(customers, baseline, effect)
    assert 0 <= advice.share <= 0.5
    held = round(customers * advice.share)
    if advice.enough and held > 1:
        assert advice.detectable <= effect * (1 + 1e-9)
        assert detectable_difference(customers - held + 1, held - 1, baseline) > effect * (1 - 1e-9)
    elif not advice.enough:
        assert advice.detectable > effect
        assert "too few" in advice.sentence


def test_the_formula_agrees_with_a_worked_example():
    # 20 % against 25 %, two arms of equal size, 5 % two-sided, power 0.8: about 1,005 each.
    assert detectable_difference(1005, 1005, 0.2) == pytest.approx(0.05, abs=2e-4)


@st.composite
def towns(draw_from):
    """Residents over segments and audiences, some without address or consent."""
    count = draw_from(st.integers(4, 14))
    segment = st.sampled_from(["new", "vip", "loyal", "at_risk", "promising", "dormant", "prospect"])
    audience = st.sets(st.sampled_from(["gift_buyers", "bargain_hunters", "replenishment_due"]))
    return tuple(
        Resident(
            f"R{number}",
            draw_from(segment),
            tuple(draw_from(audience)),
            email=draw_from(st.sampled_from(["", "", "", None, "shared@example.com"])),
            consent=draw_from(st.sampled_from(["granted", "granted", "denied", None])),
        )
        for number in range(count)
    )


@settings(max_examples=3, deadline=None)
@given(towns(), st.sampled_from([0.0, 0.3]))
def test_whoever_is_held_out_is_in_no_draft_and_no_offer_and_stays_held_out(residents, control_share):
    with TemporaryDirectory() as folder:
        town = Town(Lake(root=folder, threads=1), residents, control_share=control_share).settle()
        town.make(applied=True)
        first = {(row["campaign_id"], row["customer_id"]): row for row in town.table("holdouts")}
        members = town.members()
        plays = {play.campaign_id(AS_OF): play for play in town.playbook.plays}
        for campaign, customer in first:
            share = control_share if campaign == "*" else plays[campaign].holdout_share
            assert draw(KEY, campaign, customer) < share
            member = members[customer]
            assert (member["arm"], member["campaign_id"]) != ("treated", campaign)
            if campaign == "*":
                assert member["arm"] == "control"
        offers = {row["customer_id"]: row for row in town.table("offers")}
        addresses = "".join(path.read_text() for path in Path(folder).rglob("contacts.csv"))
        emails = {resident.name: resident.customer()["email"] for resident in residents}
        for name, member in members.items():
            if member["arm"] in ("holdout", "control"):
                assert (offers[name]["play"], offers[name]["code"], offers[name]["products"]) == (None, None, [])
                assert (
                    emails[name] is None or emails[name] == "shared@example.com" or f"{emails[name]}," not in addresses
                )
            if member["arm"] == "treated":
                assert draw(KEY, member["campaign_id"], name) >= plays[member["campaign_id"]].holdout_share
        assert sorted(members) == sorted(resident.name for resident in residents)
        town.make(applied=True)
        again = {(row["campaign_id"], row["customer_id"]): row for row in town.table("holdouts")}
        assert again == first
        assert town.members() == members


def pushed(town: Town, *more: DestinationSettings) -> dict[str, dict[str, dict]]:
    """What a first push would send: destination → customer → payload, for every platform there is."""
    places = [DestinationSettings(platform=one.slug, released=True) for one in all_platforms()]
    at = datetime(2017, 11, 15, 6, tzinfo=UTC)
    make_plan(town.lake, [], [*places, *more], BrakeSettings(), as_of=AS_OF, at=at, person_key="a key for people")
    found: dict[str, dict[str, dict]] = {place.name: {} for place in (*places, *more)}
    for row in town.table("sync_plan_rows"):
        if row["change"] == "enter":
            found[row["destination"]][row["customer_id"]] = json.loads(row["payload"])
    return found


def named(payload: dict, ours: str) -> object:
    """A pushed value, whatever the platform calls it."""
    wanted = {"held_out_of": "heldout", "recommended_action": "action"}[ours]
    (found,) = [value for name, value in payload["vals"].items() if wanted in name.lower().replace("_", "")]
    return found


@settings(max_examples=3, deadline=None)
@given(towns(), st.sampled_from([0.0, 0.3]))
def test_whoever_is_held_out_is_kept_from_the_campaign_on_every_platform_alike(residents, control_share):
    with TemporaryDirectory() as folder:
        book = packaged()
        plays = tuple(play.model_copy(update={"holdout_share": 0.4}) for play in book.plays)
        playbook = book.model_copy(update={"plays": plays})
        town = Town(Lake(root=folder, threads=1), residents, playbook, control_share=control_share).settle()
        town.make(applied=True)
        held: dict[str, set[str]] = {}
        for row in town.table("holdouts"):
            held.setdefault(row["customer_id"], set()).add(row["campaign_id"])
        play_of = {play.campaign_id(AS_OF): play for play in plays}
        members, sent = town.members(), pushed(town)
        for people in sent.values():
            for customer, payload in people.items():
                campaigns = held.get(customer, set())
                assert "*" not in campaigns
                assert set(named(payload, "held_out_of") or ()) == campaigns
                off = {name for campaign in campaigns for name in addressed(play_of[campaign].who)}
                assert not off & set(payload["lists"])
                if members[customer]["arm"] == "holdout":
                    assert named(payload, "recommended_action") == playbook.default_action.what
        on_paper = [set(sent[one.slug]) for one in all_platforms() if not one.addresses_people]
        assert all(people == on_paper[0] for people in on_paper)


def test_a_destination_that_holds_only_the_campaigns_audience_does_not_get_who_is_held_out(lake):
    book = packaged("welcome")
    play = book.plays[0].model_copy(update={"holdout_share": 0.5})
    residents = tuple(Resident(f"R{number}", "new") for number in range(20))
    town = Town(lake, residents, book.model_copy(update={"plays": (play,)})).settle()
    town.make(applied=True)
    held = {row["customer_id"] for row in town.table("holdouts")}
    narrow = DestinationSettings(platform="outbox", name="welcome list", audience=("new",), released=True)
    sent = pushed(town, narrow)
    everybody = {resident.name for resident in residents}
    assert held
    assert set(sent["welcome list"]) == everybody - held
    assert set(sent["outbox"]) == everybody
    assert {name for name, payload in sent["outbox"].items() if payload["lists"]} == everybody - held

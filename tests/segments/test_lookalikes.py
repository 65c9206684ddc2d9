"""Look-alike audiences: who resembles a seed, never a member of it, never more than asked for."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.config import BrakeSettings
from tasks.errors import ConfigurationError
from tasks.lake import Lake, Snapshots
from tasks.segments.assign import assign
from tasks.segments.checks import check_segments
from tasks.segments.evaluate import audience_ids
from tasks.segments.fields import FIELDS, neutral
from tasks.segments.lookalikes import Lookalikes, compared_fields, find_lookalikes, learn_resemblance
from tasks.segments.proof import prove
from tasks.segments.refresh import reassign
from tasks.segments.registry import read_rules, with_audience
from tasks.segments.rule_file import parse_rules
from tasks.segments.rules import Condition, Rule
from tests.segments.conftest import AS_OF, feature_rows

RULES = """
primary:
  - id: vip
    label: VIP
    when: {field: m_score, op: "=", value: 5}
  - id: others
    label: Others
    when: everyone
audiences:
  - id: gift_buyers
    label: Gift buyers
    when: {field: gift_orders, op: ">=", value: 2}
  - {id: like_vip, label: Looks like a VIP, like: vip, share: 0.1}
"""
FILE = parse_rules(RULES, "segments.yaml")
CALM = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def town(seed: int = 1, *, vips: int = 40, twins: int = 20, others: int = 240) -> list[dict[str, Any]]:
    """VIPs order wine often at the weekend; twins do the same and spend little; all others come now and then."""
    chance = np.random.default_rng(seed)
    people = []
    for number in range(vips + twins + others):
        fond = number < vips + twins
        orders = int(chance.integers(30, 60) if fond else chance.integers(1, 12))
        people.append(
            {
                "customer_id": f"{'vip' if number < vips else 'twin' if fond else 'other'}-{number:03}",
                "m_score": 5 if number < vips else int(chance.integers(1, 5)),
                "orders": orders,
                "orders_90d": orders // 3,
                "weekend_share": float(chance.uniform(0.7, 1) if fond else chance.uniform(0, 0.6)),
                "distinct_categories": int(chance.integers(12, 25) if fond else chance.integers(1, 10)),
                "recency_days": int(chance.integers(1, 200)),
            }
        )
    return people


def search(people: Sequence[dict[str, Any]] | pa.Table, rules: Any = FILE) -> Lookalikes:
    with duckdb.connect() as db:
        db.execute("SET threads = 1")
        db.register("customer_features", people if isinstance(people, pa.Table) else feature_rows(people))
        return find_lookalikes(db, rules, AS_OF)


def names(found: Lookalikes) -> list[str]:
    return list(found.members["customer_id"].to_pylist())


def test_twins_of_the_seed_who_spend_little_are_found() -> None:
    found = search(town())
    assert {name.partition("-")[0] for name in names(found)} == {"twin"}
    assert len(names(found)) == 20  # 30 may be in it, but nobody else is more alike than not


def test_reasons_name_the_seed_and_the_three_things_that_speak_most() -> None:
    told = search(town()).members["reason"].to_pylist()
    assert all(reason.startswith("resembles VIP: ") and reason.count(";") == 2 for reason in told)
    assert {"categories", "orders in 90 days"} <= {
        word for word in ("categories", "orders in 90 days") if word in told[0]
    }


@CALM
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.001, 0.02, 0.05, 0.3]), vips=st.integers(0, 90))
def test_members_of_the_seed_are_never_inside_and_the_share_is_kept(seed: int, share: float, vips: int) -> None:
    people = town(seed, vips=vips, others=60)
    rules = parse_rules(RULES.replace("share: 0.1", f"share: {share}"), "r.yaml")
    found = names(search(people, rules))
    assert len(set(found)) == len(found) <= share * len(people)
    assert not [name for name in found if name.startswith("vip")]


@settings(CALM, max_examples=4)
@given(st.integers(0, 10_000))
def test_neither_the_order_of_rows_nor_the_names_of_customers_matter(seed: int) -> None:
    chance, people = random.Random(seed), town(3, others=100)
    shuffled = chance.sample(people, len(people))
    assert search(people).members == search(shuffled).members
    aliases = {person["customer_id"]: f"{chance.random():.12f}" for person in people}
    renamed = search([{**person, "customer_id": aliases[person["customer_id"]]} for person in shuffled])
    assert set(names(renamed)) == {aliases[name] for name in names(search(people))}


def test_exact_equals_at_the_border_go_by_customer_id() -> None:
    people = [*town(twins=0), *({**town()[41], "customer_id": f"equal-{number:02}"} for number in range(99))]
    rules = parse_rules(RULES.replace("share: 0.1", "share: 0.01"), "r.yaml")
    assert names(search(people, rules)) == ["equal-00", "equal-01", "equal-02"]


def test_looking_at_customers_in_small_parts_or_learning_from_a_sample_finds_the_same_twins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = search(town(others=400))
    monkeypatch.setattr("tasks.segments.lookalikes.ROWS_AT_ONCE", 7)
    assert search(town(others=400)).members == whole.members
    monkeypatch.setattr("tasks.segments.lookalikes.MOST_TAUGHT", 100)
    assert set(names(search(town(others=400)))) == set(names(whole))


def test_what_the_rule_of_the_seed_reads_and_what_says_the_same_is_left_out() -> None:
    compared = compared_fields(FILE.primary[0])
    assert not {"m_score", "monetary", "rfm_score"} & set(compared)
    assert {"orders", "weekend_share", "recency_days", "is_business"} <= set(compared)


def test_missing_and_constant_features_add_nothing() -> None:
    values = np.array([[1.0, 5, np.nan], [2, 5, np.nan], [9, 5, np.nan], [np.nan, 5, np.nan]])
    model = learn_resemblance(("orders", "channels", "stores"), values, np.array([False, False, True, True]))
    assert model.weights[0] > 0
    assert not model.contributions(values)[:, 1:].any()
    assert model.contributions(values)[3, 0] == 0


@pytest.mark.parametrize("vips", [0, 29])
def test_too_small_a_seed_gives_an_empty_audience_that_says_so(open_database: Any, vips: int) -> None:
    db = open_database(town(vips=vips))
    found = find_lookalikes(db, FILE, AS_OF)
    assert len(found.members) == 0
    [told] = [row for row in checked(db, found) if row["check"] == "seed_says_enough"]
    assert (told["subject"], told["verdict"], told["value"], told["limit"]) == ("like_vip", "told", vips, 30)
    assert f"its seed vip has {vips} customers, and at least 30 are needed" in told["message"]


def test_a_seed_of_everybody_leaves_nobody(open_database: Any) -> None:
    db = open_database(town(twins=0, others=0))
    told = [row["message"] for row in checked(db, find_lookalikes(db, FILE, AS_OF))]
    assert "like_vip is empty: everybody is in its seed vip. Take a narrower seed." in told


def checked(db: duckdb.DuckDBPyConnection, found: Lookalikes) -> list[dict[str, Any]]:
    db.register("customer_segments", assign(db, FILE, AS_OF, "v1", similar=found.members).to_arrow_table())
    return list(check_segments(db, FILE, AS_OF, BrakeSettings(), found.searches).to_pylist())


def test_a_look_alike_is_an_audience_with_a_reason_beside_the_others(open_database: Any) -> None:
    people = town()
    people[40] |= {"gift_orders": 3}
    db = open_database(people)
    found = find_lookalikes(db, FILE, AS_OF)
    rows = {
        row["customer_id"]: row
        for row in assign(db, FILE, AS_OF, "v", similar=found.members).to_arrow_table().to_pylist()
    }
    twin = rows["twin-040"]
    assert twin["audiences"] == ["gift_buyers", "like_vip"]
    assert twin["reasons"][-1].startswith("resembles VIP: ")
    assert [name for name, row in rows.items() if "like_vip" in row["audiences"]] == names(found)
    assert checked(db, found)[-1]["message"] == "20 customers resemble the 40 of vip."


def test_whoever_joined_the_seed_since_the_morning_is_no_look_alike_any_more(open_database: Any) -> None:
    people = town()
    found = find_lookalikes(open_database(people), FILE, AS_OF)
    people[40] |= {"m_score": 5}
    rows = assign(open_database(people), FILE, AS_OF, "v", similar=found.members).to_arrow_table().to_pylist()
    risen = next(row for row in rows if row["customer_id"] == "twin-040")
    assert (risen["segment"], risen["audiences"]) == ("vip", [])
    assert not [reason for reason in risen["reasons"] if reason.startswith("resembles")]


def test_during_the_day_look_alikes_stay_what_they_were_unless_they_join_the_seed(tmp_path: Path) -> None:
    lake, people, rules = Lake(root=str(tmp_path)), town(), read_rules(RULES, "r.yaml")
    features = lake.replace("customer_features", feature_rows(people), where={"as_of": AS_OF})
    with lake.database([features, lake.latest("customer_segments")]) as db:
        found = find_lookalikes(db, FILE, AS_OF)
        rows = assign(db, FILE, AS_OF, rules.version, similar=found.members).to_arrow_table()
    morning = lake.replace("customer_segments", rows, where={"as_of": AS_OF})
    before = {row["customer_id"]: row for row in rows.to_pylist()}

    people[41] |= {"m_score": 5}
    features = lake.replace("customer_features", feature_rows(people), where={"as_of": AS_OF})
    asked = ["twin-040", "twin-041", "other-070"]
    done = reassign(lake, AS_OF, asked, rules, Snapshots.of([features, morning]))
    after = {row["customer_id"]: row for row in lake.read(done.snapshots[0]).to_pylist()}
    assert after["twin-040"] == before["twin-040"]
    assert (after["twin-041"]["segment"], after["twin-041"]["audiences"]) == ("vip", [])
    assert after["other-070"]["audiences"] == []
    assert (done.customers, done.moved, len(after)) == (3, 1, len(people))


def test_an_audience_can_be_the_seed() -> None:
    people = [{**person, "gift_orders": 2 if person["m_score"] == 5 else 0} for person in town()]
    rules = parse_rules(RULES.replace("like: vip", "like: gift_buyers"), "r.yaml")
    assert {name.partition("-")[0] for name in names(search(people, rules))} == {"twin"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("like: vipp", "segments.yaml line 13: there is no segment or audience 'vipp'. Did you mean vip?"),
        ("like: like_vip", "segments.yaml line 13: like_vip is a look-alike itself."),
        ("like: vip, share: 0", "segments.yaml line 13: audiences[1].share: Input should be greater than 0"),
        ("like: vip, share: 0.6", "audiences[1].share: Input should be less than or equal to 0.5"),
        (
            "like: vip, when: everyone",
            "segments.yaml line 13: audiences[1]: an audience has a condition (when) or a seed",
        ),
        ("like: vip, examples: {in: [{orders: 3}]}", "examples cannot prove a look-alike"),
        ("when: everyone, share: 0.1", "share belongs to a look-alike audience."),
        ("like: 3", "audiences[1].like: Input should be a valid string"),
    ],
)
def test_a_mistake_in_a_look_alike_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(RULES.replace("like: vip, share: 0.1", text), "segments.yaml")
    assert told in str(caught.value)


def test_look_alikes_cannot_go_round_in_a_circle() -> None:
    circle = RULES.replace("like: vip, share: 0.1", "like: other") + "  - {id: other, label: Other, like: like_vip}\n"
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(circle, "segments.yaml")
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "segments.yaml line 13",
        "segments.yaml line 14",
    ]


def test_a_primary_segment_cannot_be_a_look_alike() -> None:
    primary = RULES.replace('when: {field: m_score, op: "=", value: 5}', "like: others")
    with pytest.raises(ConfigurationError, match=r"line 5: vip is a look-alike, which only an audience can be"):
        parse_rules(primary, "segments.yaml")


def test_the_proof_and_the_judge_of_examples_say_nothing_about_look_alikes() -> None:
    assert "like_vip" not in prove(FILE).witnesses
    assert not prove(FILE).unreachable
    everyone: dict[str, Any] = {name: neutral(field) for name, field in FIELDS.items()}
    assert audience_ids(FILE, {**everyone, "gift_orders": 9}) == ("gift_buyers",)


def test_a_look_alike_survives_in_the_file_when_a_marketer_adds_or_replaces_audiences() -> None:
    wine = Rule(id="wine", label="Wine", when=Condition(field="top_category", op="=", value="wine"))
    after = with_audience(read_rules(RULES, "r.yaml"), wine)
    assert after.file.audiences[1] == FILE.audiences[1]
    wider = Rule.model_validate({"id": "like_vip", "label": "Looks like a VIP", "like": "vip", "share": 0.2})
    assert with_audience(after, wider).file.lookalikes == (wider,)

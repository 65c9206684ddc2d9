"""What staff and till are told: the action for each customer, and the files by loyalty card."""

import csv
import hashlib
import io
import json
import re
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.campaigns.held_out import contamination
from tasks.lake import Lake
from tests.campaigns.town import AS_OF, PRODUCTS, Resident, Town, everybody_in, rows


def everybody_treated(lake: Lake, *residents: Resident) -> Town:
    return Town(lake, residents, playbook=everybody_in()).settle()


def files(lake: Lake, day: date = AS_OF) -> Path:
    return Path(lake.root) / "outbox" / str(day) / "offers"


def test_every_customer_has_an_action_a_reason_an_offer_and_products(lake):
    town = everybody_treated(lake, Resident("Ana", "at_risk", moved_from="vip"), Resident("Finn", "prospect"))
    town.make()
    ana, finn = sorted(town.table("offers"), key=lambda row: row["customer_id"])
    assert ana["action"].startswith("Greet by name")
    assert ana["why"].endswith("comes less often now (moved from vip to at_risk on 2017-11-15).")
    assert (ana["offer"], ana["valid_until"], ana["products"]) == (
        "15% off",
        date(2017, 12, 6),
        ["milk", "cheese", "coffee"],
    )
    assert ana["code"].startswith("VIP")
    assert (finn["play"], finn["offer"], finn["products"]) == (None, None, ["milk", "bread", "coffee"])
    assert finn["action"].startswith("Serve as usual")


def test_message_and_till_name_the_same_code(lake):
    town = everybody_treated(lake, Resident("Ana", "at_risk", moved_from="vip"))
    town.make(applied=True)
    [row] = town.table("offers")
    text = next((Path(lake.root) / "outbox").rglob("contacts.csv")).read_text()
    assert row["code"] in text


def test_the_files_agree_with_each_other_and_with_their_manifest(lake):
    town = everybody_treated(lake, Resident("Ana", "new"), Resident("Bob", "loyal", loyalty_id=None),
                             Resident("Finn", "prospect"))  # fmt: skip
    town.make()
    folder = files(lake)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in manifest["sha256"]} == manifest["sha256"]
    assert (manifest["format"], manifest["offers"], manifest["compared_with"]) == ("offers/1", 1, None)
    table = pq.read_table(folder / "offers.parquet")
    assert table.schema.metadata[b"format"] == b"offers/1"
    read = json.loads((folder / "offers.json").read_text())
    assert [row["loyalty_id"] for row in read] == ["card-Ana"] == table["loyalty_id"].to_pylist()
    assert "example.com" not in (folder / "offers.json").read_text()


def test_a_second_day_tells_only_what_changed(lake):
    town = everybody_treated(lake, Resident("Ana", "new"), Resident("Bob", "loyal"), Resident("Cleo", "vip"))
    town.make(applied=True)
    day = AS_OF + timedelta(days=1)
    town.residents = (
        Resident("Ana", "new"),
        Resident("Bob", "prospect"),
        Resident("Cleo", "vip"),
        Resident("Dan", "new"),
    )
    town.settle(day).make(day, applied=True)
    told = {(row["loyalty_id"], row["change"]) for row in json.loads((files(lake, day) / "changes.json").read_text())}
    assert told == {("card-Bob", "removed"), ("card-Dan", "set")}
    # Ana and Cleo: their message was yesterday; the offer at the till keeps its last day.
    until = {row["customer_id"]: row["valid_until"] for row in town.table("offers") if row["as_of"] == day}
    assert until["Ana"] == AS_OF + timedelta(days=21)
    assert until["Cleo"] == AS_OF + timedelta(days=14)


def test_two_days_apart_only_new_members_are_drafted(lake):
    town = everybody_treated(lake, Resident("Ana", "new"), Resident("Bob", "new"))
    assert [line.recipients for line in town.make(applied=True).drafts] == [2]
    day = AS_OF + timedelta(days=2)
    town.residents = (*town.residents, Resident("Dan", "new"))
    summary = town.settle(day).make(day, applied=True)
    assert [(line.name, line.recipients) for line in summary.drafts] == [(f"Welcome, {day}, en", 1)]


@pytest.mark.parametrize(
    ("stock", "shown"),
    [
        ({}, ["bread", "coffee", "milk"]),
        ({"bread": 0.0, "milk": 0.0}, ["coffee", "cheese"]),  # up-sell is none of the play's kinds: it fills the gap
        ({name["product_id"]: 0.0 for name in PRODUCTS}, []),
    ],
)
def test_nothing_sold_out_is_shown_and_gaps_are_filled_or_left_away(lake, stock, shown):
    town = everybody_treated(lake, Resident("Ana", "new"))
    town.settle(products=[{**p, "stock_on_hand": stock.get(p["product_id"], p["stock_on_hand"])} for p in PRODUCTS])
    [line] = town.make(applied=True).drafts
    assert town.table("offers")[0]["products"] == shown
    assert line.name == f"Welcome, {AS_OF}, en" + {3: "", 2: ", 2 products", 0: ", no products"}[len(shown)]


def test_contacts_open_safely_in_a_spreadsheet(lake):
    town = everybody_treated(lake, Resident("Ana", "new"))
    town.settle(products=[{**p, "name": "=HYPERLINK(1)"} for p in PRODUCTS]).make(applied=True)
    text = next((Path(lake.root) / "outbox").rglob("contacts.csv")).read_text()
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert "'=hyperlink(1)" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_the_page_shows_counts_cost_approval_and_why_others_get_nothing(lake):
    town = everybody_treated(lake, Resident("Ana", "at_risk", moved_from="vip"), Resident("Dan", "loyal", consent=None))
    summary = town.make(applied=True, approved_by="Mira <marketing>")
    page = Path(summary.page).read_text()
    for words in ("VIP at risk, 2017-11-15, en", "£0", "Mira &lt;marketing&gt;", "never said yes to e-mail", "outbox",
                  "£4.50", "Nothing is scheduled or sent", "2 loyalty cards with a recommended action"):  # fmt: skip
        assert words in page, words
    assert "<marketing>" not in page
    links = re.findall(r'(?:href|src)="([^"#]+)"', page)
    assert {"offers/offers.json", "offers/changes.json", "vip-at-risk-2017-11-15-en/sample-1.html"} <= set(links)
    assert all((Path(summary.page).parent / link).exists() for link in links)


def test_an_approval_counts_for_the_very_content_that_was_approved(lake):
    town = everybody_treated(lake, Resident("Ana", "new"))
    town.make(applied=True, approved_by="Mira")
    assert town.make(applied=True).drafts[0].approved_by == "Mira"
    play = town.playbook.play("welcome")
    texts = {"en": play.texts["en"].model_copy(update={"headline": "New words"})}
    new = play.model_copy(update={"texts": texts})
    town.playbook = town.playbook.model_copy(update={"plays": (new,)})
    assert town.make(applied=True).drafts[0].approved_by == ""


def test_held_out_customers_who_were_reached_all_the_same_are_reported(lake):
    town = Town(lake, (Resident("Ana", "new"), Resident("Bob", "new", email="ana@example.com"))).settle()
    held = [{"campaign_id": "welcome", "customer_id": "Ana", "since": AS_OF}]
    lake.merge("holdouts", rows("holdouts", held))
    day = AS_OF + timedelta(days=1)
    opened = {"customer_id": "Ana", "kind": "open", "event_date": AS_OF}
    events = [
        {**opened, "event_id": "1", "campaign_id": "welcome"},
        {**opened, "event_id": "2", "campaign_id": "other"},
    ]
    lake.append("engagement", rows("engagement", events), transaction="x")
    member = {"as_of": AS_OF, "campaign_id": "welcome", "applied": True}
    members = [{**member, "customer_id": "Bob", "arm": "treated"}, {**member, "customer_id": "Ana", "arm": "holdout"}]
    lake.replace("campaign_members", rows("campaign_members", members))
    tables = ("holdouts", "engagement", "campaign_members", "customers", "orders")
    with lake.database([lake.latest(table) for table in tables]) as db:
        assert contamination(db, day) == [("welcome", "address", 1, 1), ("welcome", "engaged", 1, 1)]
    assert town.members()["Ana"]["arm"] == "holdout"


def test_a_control_customer_gets_no_campaign_of_any_kind_and_leaves_control_when_the_share_falls(lake):
    town = Town(lake, tuple(Resident(f"R{n}", "new") for n in range(20)), control_share=0.5).settle()
    town.make()
    control = {name for name, row in town.members().items() if row["arm"] == "control"}
    assert control
    assert {row["customer_id"] for row in town.table("holdouts") if row["campaign_id"] == "*"} == control
    town.control_share = 0.0
    day = AS_OF + timedelta(days=1)
    town.settle(day).make(day)
    assert {row["until"] for row in town.table("holdouts") if row["campaign_id"] == "*"} == {AS_OF}


def test_the_hold_out_is_advised_from_the_smallest_effect_worth_seeing(lake):
    town = Town(lake, tuple(Resident(f"R{n}", "new") for n in range(30))).settle()
    town.make()
    [row] = [row for row in town.table("campaigns") if row["play"] == "welcome"]
    assert row["matched"] == 30 == row["treated"] + row["held_out"]
    assert row["baseline"] == pytest.approx(0.2)
    assert "too few to see 3.0 percentage points" in row["advice"]


def test_the_cost_is_the_price_of_the_messages(lake):
    town = everybody_treated(lake, Resident("Ana", "new"), replace(Resident("Bob", "new"), language="de"))
    town.make()
    assert {row["draft"]: row["cost"] for row in town.table("campaign_drafts")} == {
        f"Welcome, {AS_OF}, de": Decimal("0.0010"),
        f"Welcome, {AS_OF}, en": Decimal("0.0010"),
    }

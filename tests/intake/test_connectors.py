"""Every source beyond files: read whole, then by changes, through bad weather, from where it stopped, and alone."""

import json
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).parent))

from sources_stand_ins import STAND_INS, ShopifyShop, WooShop, stamp

from tasks.config import Config, Source
from tasks.destinations.rehearsal.fake import Weather, serve
from tasks.errors import ConfigurationError, TransientError
from tasks.intake.dead_letters import TABLE as LETTERS
from tasks.intake.landing import landed
from tasks.intake.sources import hubspot, pull, salesforce, shopify, woocommerce
from tasks.intake.sources.connector import Account, Window
from tasks.intake.sources.pull import check_source, pull_all, read_progress
from tasks.intake.sources.wire import Patience, Wire

NOW = stamp(5_000)
HASTE = Patience(attempts=12, sleep=lambda _: None, chance=lambda: 0.0)
DATASETS = {"shopify": "orders", "woocommerce": "orders", "salesforce": "contacts", "hubspot": "contacts"}
KEYS = {"shopify": "order_id", "woocommerce": "order_id", "salesforce": "customer_id", "hubspot": "customer_id"}


def source_of(fake, **more):
    return Source(
        name="theirs", dataset=DATASETS[fake.slug], connector=fake.slug, options=fake.options(), secret="key", **more
    )


def read(lake, fake, at=NOW, patience=HASTE):
    config = Config(lake=lake.root, sources=(source_of(fake),))
    (pulled,) = pull_all(lake, config, at, lambda _: SecretStr(fake.secret), patience)
    return pulled


def rows(lake):
    files = sorted(Path(lake.root, "landing", "theirs").glob("*.ndjson"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


each = pytest.mark.parametrize("kind", STAND_INS, ids=lambda kind: kind.slug)


@each
def test_everything_is_read_once_then_only_what_changed(kind, lake):
    with serve(kind()) as fake:
        assert read(lake, fake).problem == ""
        assert {row[KEYS[fake.slug]] for row in rows(lake)} == fake.ids
        before = len(rows(lake))
        fake.change(7)
        pulled = read(lake, fake, at=stamp(20_000))
        assert (pulled.problem, len(rows(lake)) - before) == ("", 1)
        assert not fake.complaints


@each
def test_bad_weather_loses_and_doubles_nothing(kind, lake):
    with serve(kind(Weather(rate=0.5, seed=1))) as fake:
        for _ in range(6):
            pulled = read(lake, fake)
            if not pulled.problem:
                break
        assert pulled.problem == ""
        assert fake.weather.happened >= 1
        found = [row[KEYS[fake.slug]] for row in rows(lake)]
        assert set(found) == fake.ids
        assert not fake.complaints


class KilledError(Exception):
    """kill -9, as far as a test can go without a process."""


@each
def test_a_killed_read_goes_on_where_it_stopped(kind, lake, monkeypatch):
    monkeypatch.setattr(shopify, "BULK_ROWS", 50)
    real, landed_pages = pull._land, []

    def land(*args):
        if len(landed_pages) == 2:
            raise KilledError
        landed_pages.append(args[2])
        return real(*args)

    with serve(kind()) as fake:
        with monkeypatch.context() as patch:
            patch.setattr(pull, "_land", land)
            with pytest.raises(KilledError):
                read(lake, fake)
        half = read_progress(lake, "theirs", NOW)
        assert half.position
        assert half.reading_until == NOW
        assert read(lake, fake, at=NOW + timedelta(hours=5)).problem == ""
        assert {row[KEYS[fake.slug]] for row in rows(lake)} == fake.ids
        assert read_progress(lake, "theirs", NOW).read_until == NOW, "the window that was begun is the one finished"
        if isinstance(fake, ShopifyShop):
            assert fake.operations == 1, "the bulk operation is not started twice"


@each
def test_a_source_that_is_away_is_told_and_stops_nobody(kind, lake):
    with serve(WooShop()) as well, serve(kind(Weather(rate=1.0, kinds=("503",)))) as ill:
        config = Config(
            lake=lake.root,
            sources=(source_of(ill).model_copy(update={"name": "ill"}), source_of(well)),
        )
        secrets = {"ill": ill.secret, "theirs": well.secret}
        short = Patience(attempts=2, sleep=lambda _: None)
        order = iter(["ill", "theirs"])
        pulled = pull_all(lake, config, NOW, lambda _: SecretStr(secrets[next(order)]), short)
    assert [bool(one.problem) for one in pulled] == [True, False]
    (letter,) = [row for row in lake.read(lake.latest(LETTERS)).to_pylist() if row["open"]]
    assert (letter["what"], letter["where"], letter["code"]) == ("source", "ill", "unreachable")


@each
def test_a_letter_of_a_source_is_closed_when_it_was_read(kind, lake):
    with serve(kind(Weather(rate=1.0, kinds=("500",)))) as fake:
        assert read(lake, fake, patience=Patience(attempts=1, sleep=lambda _: None)).problem
        fake.weather.rate = 0.0
        assert not read(lake, fake).problem
    assert not any(row["open"] for row in lake.read(lake.latest(LETTERS)).to_pylist())


@each
def test_a_wrong_key_is_a_persons_business_and_is_not_tried_for_ever(kind, lake):
    with serve(kind()) as fake:
        wrong = json.dumps({"client_id": "id", "client_secret": "hush-wrong"}) if "{" in fake.secret else "hush-wrong"
        config = Config(lake=lake.root, sources=(source_of(fake),))
        (pulled,) = pull_all(lake, config, NOW, lambda _: SecretStr(wrong), HASTE)
        assert pulled.problem
        assert len(fake.seen) <= 3
        told = json.dumps(lake.read(lake.latest(LETTERS)).to_pylist(), default=str) + pulled.problem
        assert "hush" not in told


@each
def test_a_check_reads_and_never_writes(kind, lake):
    with serve(kind()) as fake:
        told = check_source(lake, source_of(fake), lambda _: SecretStr(fake.secret), HASTE)
        assert told
        assert {request.method for request in fake.seen} <= {"GET", "POST"}
    assert not Path(lake.root).exists()


@each
def test_nobody_is_asked_over_plain_http(kind):
    source = source_of(kind()).model_copy(update={"options": {"address": "http://shop.example"}})
    account = Account(source, SecretStr(kind.secret), None, HASTE)
    module = {"shopify": shopify, "woocommerce": woocommerce, "salesforce": salesforce, "hubspot": hubspot}[kind.slug]
    with pytest.raises(ConfigurationError, match="https"):
        list(module.read(account, Window(None, NOW)))


@each
def test_a_no_on_the_platform_is_a_no_here_and_silence_is_no_yes(kind, lake):
    if DATASETS[kind.slug] != "contacts":
        pytest.skip("orders carry no consent")
    with serve(kind(people=20)) as fake:
        read(lake, fake)
    assert {row["consent_email"] for row in rows(lake)} == {"denied", None}


def test_landed_rows_are_taken_by_the_ordinary_intake(lake):
    from tasks.intake.intake import take_in

    with serve(ShopifyShop(orders=12)) as fake:
        written = source_of(fake).model_dump(exclude_unset=True)  # as a file says it: what is left out is left out
        config = Config(lake=lake.root, currency="GBP", sources=(written,))
        read(lake, fake)
        report = take_in(lake, landed(lake, config), NOW.date())
    assert not report.stopped
    assert report.sums.rows_kept == 12
    assert report.sums.balanced
    orders = {row["order_id"]: row for row in lake.read(lake.latest("order_lines")).to_pylist()}
    assert orders["shopify-5"]["amount"] == 18
    assert orders["shopify-5"]["customer_key"] == "shopify:5"


def test_a_woocommerce_window_that_shrinks_is_begun_anew(lake):
    with serve(WooShop()) as fake:
        real, asked = fake.list_orders, []

        def shrinking(request, match):
            asked.append(request.query["page"])
            if len(asked) == 2:
                fake.change(0)
            return real(request, match)

        fake.list_orders = shrinking
        assert read(lake, fake, at=stamp(300)).problem == ""
    assert asked == ["1", "2", "1", "2", "3"]
    assert {row["order_id"] for row in rows(lake)} == fake.ids


def test_credentials_never_leave_for_another_host():
    wire = Wire("Shop", "https://shop.example", lambda _: {"Authorization": "hush"}, patience=HASTE)
    with pytest.raises(ConfigurationError, match=r"elsewhere\.example"):
        wire.get("https://elsewhere.example/next")


def test_a_server_that_asks_for_an_hour_is_asked_in_another_run():
    from tasks.destinations.rehearsal.fake import Fake, Reply

    class Busy(Fake):
        def authorise(self, _request):
            return Reply(429, {}, {"Retry-After": "3600"})

    waits = []
    with serve(Busy()) as fake:
        wire = Wire("Busy", fake.address, lambda _: {}, patience=Patience(sleep=waits.append), per_second=1e9)
        with pytest.raises(TransientError) as told:
            wire.get("/x")
        assert told.value.wait_seconds == 3600
        assert len(fake.seen) == 1
        wire.close()


def test_shopify_queries_fit_the_published_schema():
    graphql = pytest.importorskip("graphql")
    schema = Path(__file__).parents[3] / "shared" / "specs" / "shopify" / "admin-2026-07.trimmed.graphql"
    if not schema.exists():
        pytest.skip("the published schema is not at hand")
    built = graphql.build_schema(schema.read_text(encoding="utf-8"))
    for query in shopify.QUERIES:
        assert graphql.validate(built, graphql.parse(query)) == [], query


def test_an_unknown_option_is_told_with_the_known_ones(lake):
    with serve(WooShop()) as fake:
        source = source_of(fake).model_copy(update={"options": {"adress": "x"}})
        config = Config(lake=lake.root, sources=(source,))
        (pulled,) = pull_all(lake, config, NOW, lambda _: SecretStr("a:b"), HASTE)
    assert "adress" in pulled.problem
    assert "address" in pulled.problem

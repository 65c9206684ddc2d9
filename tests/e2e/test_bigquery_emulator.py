"""Google's own client, our platform file and our source connector against the BigQuery emulator.

What the emulator has wrong, and how it is dealt with here:
- it refuses an upload in two parts as Google's client labels it (``*/*``), so the label is another one here;
- ALTER TABLE changes a table but not what is said of it, and a PATCH only what is said;
  ``Warehouse.tell`` brings both together;
- a refused load leaves an empty table where Google makes none;
- it runs a job again whose id is taken (Google answers 409), keeps results for ever, knows no rights, quotas and bytes:
  tests/intake/test_bigquery_source.py and tests/destinations/test_bigquery.py have these on stand-ins.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tasks.config import Config, DestinationSettings, Source
from tasks.destinations.accounts import account_of
from tasks.destinations.answers import Conversation
from tasks.destinations.apply import apply_plan
from tasks.destinations.connect import surveyor
from tasks.destinations.forget import forget
from tasks.destinations.http import HttpSession
from tasks.destinations.limits import batches, unpaced
from tasks.destinations.plan import make_plan
from tasks.destinations.platform import Answer, Change, Field, Kind, Member, Person, Platform, Target
from tasks.destinations.platforms import bigquery as ours
from tasks.destinations.prepare import prepare
from tasks.destinations.rehearsal.bigquery import BigQuery
from tasks.destinations.rehearsal.fake import serve
from tasks.intake.intake import take_in
from tasks.intake.landing import landed
from tasks.intake.sources import bigquery as connector
from tasks.intake.sources import pull as pulling
from tasks.intake.sources.pull import Pulled, check_source, pull, read_progress
from tasks.intake.sources.wire import Patience
from tests.destinations.world import AS_OF, AT, KEY, LOOSE, PEOPLE, assign, plain_connect, retailer
from tests.e2e.bigquery_emulator import bigquery_emulator, needs_bigquery_emulator

bigquery = pytest.importorskip("google.cloud.bigquery", reason="the extra bigquery is not installed")
pytestmark = [pytest.mark.e2e, needs_bigquery_emulator]
FIELDS = tuple(Field(kind.value, f"rs_{kind.value}", kind) for kind in Kind)
Talk = tuple[HttpSession, Target]
HOSTILE = 'Zoë "Z" O\'Neill\n\\ `x`; -- ${@} 漢字'


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One emulator for the file; each test has a dataset of its own."""
    with bigquery_emulator(tmp_path_factory.mktemp("bigquery")) as running:
        yield running


@pytest.fixture(autouse=True)
def labelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator has a list of content types, and the one that Google's client sends is not on it."""
    monkeypatch.setattr("google.cloud.bigquery.client._GENERIC_CONTENT_TYPE", "application/octet-stream")


class Warehouse:
    """A dataset as an analyst sees it."""

    def __init__(self, address: str, dataset: str) -> None:
        from google.auth.credentials import AnonymousCredentials

        self.address, self.dataset = address, dataset
        self.client = bigquery.Client(
            "shop", AnonymousCredentials(), location="EU", client_options={"api_endpoint": address}
        )

    def settings(self) -> dict[str, str]:
        return {"base": self.address, "project": "shop", "dataset": self.dataset}

    def sql(self, text: str) -> list[dict[str, Any]]:
        with_dataset = bigquery.QueryJobConfig(default_dataset=f"shop.{self.dataset}")
        return [dict(row.items()) for row in self.client.query(text, job_config=with_dataset).result()]

    def rows(self, columns: str = "* EXCEPT (run_id)") -> dict[str, dict[str, Any]]:
        found = self.sql(f"SELECT {columns} FROM customer_segments ORDER BY customer_id")
        return {row.pop("customer_id"): row for row in found}

    def tables(self) -> list[str]:
        return [one.table_id for one in self.client.list_tables(self.dataset)]

    def columns(self) -> dict[str, str]:
        """Name → type; Google says FLOAT of a FLOAT64."""
        said = {"FLOAT": "FLOAT64", "INTEGER": "INT64", "BOOLEAN": "BOOL"}
        return {
            one.name: said.get(one.field_type, one.field_type) + "[]" * (one.mode == "REPEATED")
            for one in self.client.get_table(f"{self.dataset}.customer_segments").schema
        }

    def tell(self) -> None:
        table = self.client.get_table(f"{self.dataset}.customer_segments")
        table.schema = self.client.query(f"SELECT * FROM {self.dataset}.customer_segments LIMIT 0").result().schema
        self.client.update_table(table, ["schema"])


@pytest.fixture
def warehouse(address: str, request: pytest.FixtureRequest) -> Warehouse:
    """Nothing yet: the dataset is for the test to make."""
    return Warehouse(address, request.node.originalname[:60])


@contextmanager
def talking(settings: dict[str, str], fields: Sequence[Field], secret: str = "") -> Iterator[Talk]:
    platform = ours.PLATFORM
    account = account_of(platform, DestinationSettings(platform="bigquery", settings=settings), SecretStr(secret))
    with HttpSession(platform, account, "q", unpaced, sleep=lambda _: None) as session:
        yield session, Target("here", account, tuple(fields), push_id="push-1")


@contextmanager
def ready(settings: dict[str, str], fields: Sequence[Field] = FIELDS, secret: str = "") -> Iterator[Talk]:
    with talking(settings, fields, secret) as (session, target):
        yield session, prepare(ours.PLATFORM, session, target)[0]


def member(name: str, change: Change = Change.ENTER, **values: Any) -> Member:
    return Member(name, change, name, None, None, {f"rs_{kind}": value for kind, value in values.items()})


def push(session: HttpSession, target: Target, *members: Member, platform: Platform = ours.PLATFORM) -> list[Answer]:
    parts = [platform.shape(one, target) for one in members]
    talk = Conversation(platform, session, target)
    return [answer for batch in batches(parts, platform.limits) for answer in talk.deliver(batch)]


ANA = {"text": "vip", "number": 12.5, "integer": 2**53 + 1, "boolean": True, "date": "1980-02-29",
       "instant": "2026-03-02T06:00:00Z", "texts": ["sku-1", "a, b", 'say "x"']}  # fmt: skip
BEN = dict.fromkeys(ANA)
CLEO = {"text": HOSTILE, "number": -0.001, "integer": -7, "boolean": False, "date": "2026-12-31",
        "instant": "1969-07-20T20:17:40Z", "texts": [HOSTILE]}  # fmt: skip


def test_what_is_missing_is_created_once(warehouse: Warehouse) -> None:
    with talking(warehouse.settings(), FIELDS) as (session, target):
        first, created = prepare(ours.PLATFORM, session, target)
        second, again = prepare(ours.PLATFORM, session, target)
        assert ours.PLATFORM.check(session, target) == "project shop"
    assert [str(thing) for thing in created][:3] == [
        f"dataset {warehouse.dataset}", "table customer_segments", "field rs_text (text)",
    ]  # fmt: skip
    assert (len(created), again) == (2 + len(FIELDS), ())
    assert first.known == second.known
    assert warehouse.client.get_dataset(warehouse.dataset).location == "EU"
    assert warehouse.columns() == {
        "customer_id": "STRING", "run_id": "STRING", "rs_text": "STRING", "rs_number": "FLOAT64", "rs_integer": "INT64",
        "rs_boolean": "BOOL", "rs_date": "DATE", "rs_instant": "TIMESTAMP", "rs_texts": "STRING[]",
    }  # fmt: skip


def test_every_kind_of_value_arrives_as_it_is_and_in_the_stand_in_as_in_the_emulator(warehouse: Warehouse) -> None:
    """Enter, change, clear, leave; ``people`` of the stand-in leaves out what is empty."""
    found = []
    with serve(BigQuery()) as fake:
        places = [(warehouse.settings(), ""), ({**fake.settings(), "dataset": "segmentation"}, fake.secret)]
        for settings, secret in places:
            with ready(settings, FIELDS, secret) as (session, target):
                answers = push(session, target, member("ana", **ANA), member("ben", **BEN), member("cleo", **CLEO))
                if not secret:
                    found.append(warehouse.rows())
                changed = [member("ben", Change.UPDATE, **ANA), member("ana", Change.UPDATE, **BEN)]
                gone = [member(name, Change.LEAVE, **BEN) for name in ("cleo", "zoe")]
                answers += push(session, target, *changed, *gone)
                assert {answer.verdict for answer in answers} == {"delivered"}
        held = fake.people()
        assert fake.complaints == []
    arrived = {"rs_date": datetime(1980, 2, 29).date(), "rs_instant": datetime(2026, 3, 2, 6, tzinfo=UTC)}  # noqa: DTZ001
    ana = {f"rs_{kind}": value for kind, value in ANA.items()} | arrived
    empty = dict.fromkeys(ana) | {"rs_texts": []}
    cleo = {f"rs_{kind}": value for kind, value in CLEO.items()} | {
        "rs_date": datetime(2026, 12, 31).date(), "rs_instant": datetime(1969, 7, 20, 20, 17, 40, tzinfo=UTC),  # noqa: DTZ001
    }  # fmt: skip
    assert found == [{"ana": ana, "ben": empty, "cleo": cleo}]
    assert warehouse.rows() == {"ana": empty, "ben": ana}
    assert held == {"ana": {}, "ben": ana | {"rs_instant": datetime(2026, 3, 2, 6)}}  # noqa: DTZ001 - a column without a zone
    assert warehouse.tables() == ["customer_segments"]


def test_a_column_that_comes_later_is_empty_for_those_who_were_there(warehouse: Warehouse) -> None:
    with ready(warehouse.settings(), FIELDS[:1]) as (session, target):
        push(session, target, member("ana", text="vip"), member("ben", text="new"))
    with talking(warehouse.settings(), FIELDS) as (session, target):
        _, created = prepare(ours.PLATFORM, session, target)
        warehouse.tell()
        now, again = prepare(ours.PLATFORM, session, target)
        push(session, now, member("ben", Change.UPDATE, **ANA))
    assert ([thing.name for thing in created], again) == ([one.theirs for one in FIELDS[1:]], ())
    assert warehouse.columns()["rs_texts"] == "STRING[]"
    rows = warehouse.rows()
    assert (rows["ana"]["rs_text"], rows["ana"]["rs_texts"], rows["ana"]["rs_number"]) == ("vip", [], None)
    assert (rows["ben"]["rs_texts"], rows["ben"]["rs_integer"]) == (ANA["texts"], ANA["integer"])


def test_a_batch_sent_again_doubles_nothing_and_goes_over_a_stage_that_a_kill_left(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        """kill -9, as far as a test can go without a process."""

    def dies(*_args: object, **_named: object) -> None:
        raise KilledError

    with ready(warehouse.settings()) as (session, target):
        with monkeypatch.context() as patch:
            patch.setattr(ours, "_query", dies)
            patch.setattr(bigquery.Client, "delete_table", dies)
            with pytest.raises(KilledError):
                push(session, target, member("ana", **ANA), member("ben", **BEN))
        assert len(warehouse.tables()) == 2
        for _ in range(2):
            push(session, target, member("ana", **ANA), member("ben", **BEN))
    assert (list(warehouse.rows()), warehouse.tables()) == (["ana", "ben"], ["customer_segments"])


def test_a_large_batch_goes_in_one_resumable_upload(warehouse: Warehouse) -> None:
    """From 5 MB on Google's client uploads in another way than below."""
    many = [member(f"c{i:05}", text="x" * 900, number=i / 4) for i in range(6_000)]
    with ready(warehouse.settings(), FIELDS[:2]) as (session, target):
        assert {answer.verdict for answer in push(session, target, *many)} == {"delivered"}
    told = warehouse.sql("SELECT count(*) AS n, sum(rs_number) AS s, min(length(rs_text)) AS l FROM customer_segments")
    assert told == [{"n": 6_000, "s": 5_999 * 6_000 / 8, "l": 900}]


def test_a_row_that_no_column_takes_is_refused_alone(warehouse: Warehouse) -> None:
    with ready(warehouse.settings()) as (session, target):
        answers = push(session, target, *(member(name, number=1.5) for name in ("ana", "ben", "cleo", "dora")),
                       member("emil", number="much"))  # fmt: skip
    assert {one.customer_id: str(one.verdict) for one in answers} == {
        **dict.fromkeys(("ana", "ben", "cleo", "dora"), "delivered"), "emil": "rejected",
    }  # fmt: skip
    assert list(warehouse.rows()) == ["ana", "ben", "cleo", "dora"]


def test_a_column_that_somebody_dropped_stops_the_push_at_once_and_leaves_no_stage(warehouse: Warehouse) -> None:
    with ready(warehouse.settings()) as (session, target):
        warehouse.sql("ALTER TABLE customer_segments DROP COLUMN rs_number")
        answers = push(session, target, member("ana", **ANA), member("ben", **ANA))
    assert [(str(one.verdict), one.code) for one in answers] == [("later", "stopped")] * 2
    assert "rs_number" in answers[0].reason
    assert (warehouse.rows("customer_id"), warehouse.tables()) == ({}, ["customer_segments"])


def test_an_erased_person_is_in_no_row_and_in_no_stage_that_was_left(warehouse: Warehouse) -> None:
    with ready(warehouse.settings()) as (session, target):
        push(session, target, member("ana", **ANA), member("o'ben", **ANA))
        for name in ("customer_segments_stage_0123456789abcdef", "customer_segments_stage_of_an_analyst"):
            warehouse.sql(f"CREATE TABLE {name} AS SELECT * FROM customer_segments")
        receipts = list(ours.PLATFORM.erase(session, target, [Person("o'ben", None, None), Person("zoe", None, None)]))
    assert [(one.customer_id, one.done) for one in receipts] == [("o'ben", True), ("zoe", True)]
    assert list(warehouse.rows()) == ["ana"]
    assert warehouse.tables() == ["customer_segments", "customer_segments_stage_of_an_analyst"]


def test_a_life_from_the_lake_ends_in_a_table_that_is_as_desired(warehouse: Warehouse, tmp_path: Path) -> None:
    """Plan, push, a second push that is silent, change and leave, forgetting: all from tables, with the ledger."""
    lake, minutes = retailer(tmp_path / "lake"), iter(range(60))
    where = DestinationSettings(platform="bigquery", settings=warehouse.settings(), released=True)
    opens = plain_connect()

    def day(destination: DestinationSettings) -> tuple[Any, Any]:
        at = AT.replace(minute=next(minutes))
        plan, _ = make_plan(lake, [], [destination], LOOSE, as_of=AS_OF, at=at, person_key=KEY, survey=surveyor(opens))
        done = apply_plan(lake, plan, [destination], opens, at=at, person_key=KEY)
        return plan.destinations[0], done.destinations[0]

    plan, done = day(where)
    assert (done.delivered, done.stopped, set(done.created)) == (5, "", set(plan.prepare))
    segments = {name: row["rs_segment"] for name, row in warehouse.rows().items()}
    assert segments == PEOPLE
    assert warehouse.rows()["ben"] == {
        "rs_segment": "loyal", "rs_clv": 201.0, "rs_churn_probability": 0.13, "rs_recommended_action": "Talk to loyal",
        "rs_recommended_products": ["sku-1", "sku-2"], "rs_held_out_of": [],
    }  # fmt: skip

    jobs = len(list(warehouse.client.list_jobs(max_results=1_000)))
    plan, done = day(where)
    assert (plan.enters + plan.updates + plan.leaves, plan.prepare, done.delivered) == (0, (), 0)
    assert len(list(warehouse.client.list_jobs(max_results=1_000))) == jobs > 0

    assign(lake, PEOPLE | {"ana": "loyal", "ben": "at_risk"})
    plan, done = day(where.model_copy(update={"audience": ("loyal", "new")}))
    assert (plan.leaves, done.delivered, done.rejected) == (2, 3, 0)
    segments = {name: row["rs_segment"] for name, row in warehouse.rows().items()}
    assert segments == {"ana": "loyal", "cleo": "loyal", "emil": "new"}
    runs = {name: row["run_id"] for name, row in warehouse.rows("*").items()}
    assert runs["ana"] != runs["cleo"] == runs["emil"], "who did not change was not sent"

    _, receipts = forget(lake, "cleo@example.com", [where], opens, request_id="r", buckets=1, at=AT, person_key=KEY)
    assert {r["status"] for r in receipts if "bigquery" in str(r["place"])} == {"accepted"}
    assert list(warehouse.rows()) == ["ana", "emil"]
    assert warehouse.tables() == ["customer_segments"]


BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
QUERY = "SELECT * FROM {}.orders WHERE updated_at >= @since AND updated_at < @until ORDER BY updated_at, order_id"
COLUMNS = {"order_id": "order_id", "customer_id": "customer_id", "ordered_at": "ordered_at", "product_id": "sku",
           "quantity": "quantity", "amount": "amount"}  # fmt: skip


class Till:
    """Orders in a table of the warehouse, one a minute, and the source that reads them."""

    def __init__(self, warehouse: Warehouse, lake: Any) -> None:
        self.warehouse, self.lake = warehouse, lake
        warehouse.client.create_dataset(warehouse.dataset)
        warehouse.sql(
            "CREATE TABLE orders (order_id STRING, customer_id STRING, sku STRING, ordered_at TIMESTAMP, sold_on DATE, "
            "quantity INT64, amount NUMERIC, weight FLOAT64, gift BOOL, tags ARRAY<STRING>, updated_at TIMESTAMP)"
        )
        self.options = {"query": QUERY.format(warehouse.dataset), "project": "shop", "address": warehouse.address}

    def sell(self, first: int, last: int) -> None:
        at = "TIMESTAMP_ADD(TIMESTAMP '2026-03-01 00:00:00+00', INTERVAL n MINUTE)"
        self.warehouse.sql(
            f"INSERT INTO orders SELECT CONCAT('o-', CAST(n AS STRING)), 'ana', 'sku-1', {at}, DATE '2026-03-01', 2, "
            "NUMERIC '12345678901.9' + n, IF(n = 0, NULL, 0.1), MOD(n, 2) = 0, "
            f"IF(n = 0, [], ['{first}', 'b,c']), {at} "
            f"FROM UNNEST(GENERATE_ARRAY({first}, {last})) AS n"
        )

    def source(self) -> Source:
        return Source(name="till", dataset="orders", connector="bigquery", secret="s", options=self.options,
                      columns=COLUMNS, checks={"max_amount": 10**12})  # fmt: skip

    def pull(self, minute: int) -> Pulled:
        at = BEGIN + timedelta(minutes=minute)
        return pull(self.lake, self.source(), at, lambda _: SecretStr("token"), Patience(sleep=lambda _: None))

    def files(self) -> dict[str, list[dict[str, Any]]]:
        found = sorted(Path(self.lake.root, "landing", "till").glob("*.ndjson"))
        return {file.name: [json.loads(line) for line in file.read_text().splitlines()] for file in found}

    def ids(self) -> list[str]:
        return [row["order_id"] for rows in self.files().values() for row in rows]


@pytest.fixture
def till(warehouse: Warehouse, lake: Any, monkeypatch: pytest.MonkeyPatch) -> Till:
    monkeypatch.setattr(connector, "PAGE", 10)
    return Till(warehouse, lake)


def test_orders_are_pulled_page_by_page_with_their_types_and_then_only_what_is_new(till: Till) -> None:
    till.sell(0, 24)
    assert till.pull(60) == Pulled("till", 25, 4)
    assert [len(rows) for rows in till.files().values()] == [10, 10, 5]
    first, second, *_ = next(iter(till.files().values()))
    assert first == {
        "order_id": "o-0", "customer_id": "ana", "sku": "sku-1", "ordered_at": "2026-03-01T00:00:00+00:00",
        "sold_on": "2026-03-01", "quantity": 2, "amount": first["amount"], "weight": None, "gift": True, "tags": [],
        "updated_at": "2026-03-01T00:00:00+00:00",
    }  # fmt: skip
    assert (float(first["amount"]), second["weight"], second["tags"]) == (12345678901.9, 0.1, ["0", "b,c"])
    assert till.pull(70) == Pulled("till", 0, 1), "nothing is new"
    till.sell(68, 80)
    assert till.pull(120) == Pulled("till", 13, 3), "from five minutes before the last pull on"
    assert sorted(till.ids()) == sorted(f"o-{n}" for n in (*range(25), *range(68, 81)))


def test_pulled_orders_are_taken_into_the_lake(till: Till) -> None:
    till.sell(0, 11)
    till.pull(60)
    config = Config(lake=till.lake.root, currency="GBP", sources=(till.source(),))
    report = take_in(till.lake, landed(till.lake, config), (BEGIN + timedelta(days=1)).date())
    assert (report.stopped, report.sums.rows_kept, report.sums.balanced) == ((), 12, True)
    lines = {row["order_id"]: row for row in till.lake.read(till.lake.latest("order_lines")).to_pylist()}
    assert float(lines["o-11"]["amount"]) == 12345678912.9
    assert lines["o-11"]["quantity"] == 2


def test_a_killed_pull_goes_on_at_its_page_without_another_query(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    class KilledError(BaseException):
        """kill -9, as far as a test can go without a process."""

    real = pulling._land

    def land(*args: Any) -> Any:
        if args[2].rows and args[1].pages == 2:
            raise KilledError
        return real(*args)

    till.sell(0, 24)
    with monkeypatch.context() as patch:
        patch.setattr(pulling, "_land", land)
        with pytest.raises(KilledError):
            till.pull(60)
    half = read_progress(till.lake, "till", BEGIN)
    assert half.position.endswith("#1")
    started = len(list(till.warehouse.client.list_jobs(max_results=1_000)))
    till.sell(70, 71)
    assert till.pull(90) == Pulled("till", 15, 4)
    assert len(list(till.warehouse.client.list_jobs(max_results=1_000))) == started + 1, "only the sale itself"
    assert till.ids() == [f"o-{n}" for n in range(25)], "the result that was begun is the one finished"
    assert till.pull(120).rows == 2


def test_a_query_that_failed_is_asked_anew_when_it_is_mended(till: Till) -> None:
    till.sell(0, 4)
    till.warehouse.sql("CREATE TABLE kept AS SELECT * FROM orders")
    till.warehouse.sql("DROP TABLE orders")
    assert "404" in till.pull(60).problem
    assert "404" in till.pull(70).problem
    till.warehouse.sql("CREATE TABLE orders AS SELECT * FROM kept")
    assert till.pull(80).problem == ""
    assert till.ids() == [f"o-{n}" for n in range(5)]
    assert read_progress(till.lake, "till", BEGIN).read_until == BEGIN + timedelta(minutes=60)


def test_a_check_examines_the_query_and_runs_nothing(till: Till) -> None:
    def look() -> str:
        return check_source(till.lake, till.source(), lambda _: SecretStr("token"), Patience())

    assert look().startswith("The query reads ")
    till.options = {**till.options, "query": "SELEC 1"}
    with pytest.raises(Exception, match="BigQuery answered 400"):
        look()
    assert not Path(till.lake.root).exists()

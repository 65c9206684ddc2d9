"""BigQuery: one row per customer in a table, by one load into a stage and one MERGE per batch.

Sending a batch again loads and merges the same rows, so nothing doubles. No address is stored unless a field asks for
it. Uses Google's client (extra ``bigquery``); its own retries are off, ours apply.

Run against an emulator, not against Google itself. Unverified: quotas of loads and merges per table and day (one of
each per batch of 100,000 customers).
"""

import hashlib
import importlib
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import orjson
from pydantic import Field, SecretStr, model_validator

from tasks.destinations.platform import (
    Account, Address, Answer, Change, Key, Kind, Known, Limits, Member, Part, Person, Platform, Receipt, Session,
    Target, Thing, delivered, fields_and_no_lists,
)  # fmt: skip
from tasks.errors import ConfigurationError, RejectedError, TransientError

T = TypeVar("T")
NAME = r"^[A-Za-z0-9_-]+$"
GONE, STAGE = "rs_gone", "_stage_"
TYPES = {
    Kind.NUMBER: "FLOAT64",
    Kind.INTEGER: "INT64",
    Kind.BOOLEAN: "BOOL",
    Kind.DATE: "DATE",
    Kind.INSTANT: "TIMESTAMP",
}
OWN = ("customer_id", "run_id")
BUSY = {"rateLimitExceeded", "quotaExceeded"}  # refused as missing rights are, with 403


class BigQueryAccount(Account):
    """A service account's JSON or an access token as the secret; without one, the environment's own identity."""

    token: SecretStr = SecretStr("")
    service_account: SecretStr = SecretStr("")
    project: str = Field(pattern=NAME)
    dataset: str = Field("segmentation", pattern=NAME)
    table: str = Field("customer_segments", pattern=NAME)
    location: str = "EU"
    job_seconds: float = Field(3_600.0, gt=0)
    base: Address = "https://bigquery.googleapis.com"

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, values: dict[str, Any]) -> dict[str, Any]:
        """A service account's file spreads into a dozen keys: put them together again."""
        own = {name: value for name, value in values.items() if name in cls.model_fields}
        rest = {name: value for name, value in values.items() if name not in cls.model_fields}
        return own | {"service_account": json.dumps(rest)} if "private_key" in rest else values


def shape(member: Member, target: Target) -> Part:
    """One row; whoever leaves is marked and deleted by the merge."""
    head = {"customer_id": member.key, "run_id": target.push_id, GONE: member.change is Change.LEAVE}
    # what is empty is left out: a load refuses null in a column of lists
    return Part(member, head | {name: value for name, value in member.values.items() if value is not None})


def push(session: Session, target: Target, parts: Sequence[Part]) -> Iterable[Answer]:
    """Load the batch into a stage of its own, merge it, drop the stage whatever came of it."""
    ids = "\n".join(part.member.customer_id for part in parts)
    stage = f"{_table(target)}{STAGE}{hashlib.sha256(ids.encode()).hexdigest()[:16]}"
    content = b"\n".join(orjson.dumps(part.body) for part in parts)
    client = _client(session)
    _do(session, lambda: _load(client, target, stage, content))
    try:
        _do(session, lambda: _query(client, target, merge_sql(target, stage)))
    except RejectedError as error:  # no row is to blame: all of them were loaded
        raise ConfigurationError(f"{error}. Check the columns of {_table(target)}.") from error
    finally:
        _do(session, lambda: client.delete_table(stage, not_found_ok=True, retry=None))
    return [delivered(part) for part in parts]


def merge_sql(target: Target, stage: str) -> str:
    """Upsert by customer, delete whoever is marked."""
    columns = [*OWN, *(f.theirs for f in target.fields)]
    sets = ", ".join(f"`{one}` = s.`{one}`" for one in columns[1:])
    names, values = ", ".join(f"`{one}`" for one in columns), ", ".join(f"s.`{one}`" for one in columns)
    return (
        f"MERGE `{_table(target)}` t USING `{stage}` s ON t.customer_id = s.customer_id "
        f"WHEN MATCHED AND s.{GONE} THEN DELETE WHEN MATCHED THEN UPDATE SET {sets} "
        f"WHEN NOT MATCHED AND NOT s.{GONE} THEN INSERT ({names}) VALUES ({values})"
    )


def column_sql(target: Target, thing: Thing) -> str:
    """One more column, unless it is there."""
    kind = "ARRAY<STRING>" if thing.type is Kind.TEXTS else TYPES.get(thing.type or Kind.TEXT, "STRING")
    return f"ALTER TABLE `{_table(target)}` ADD COLUMN IF NOT EXISTS `{thing.name}` {kind}"


def _table(target: Target) -> str:
    account = target.account
    return f"{account.project}.{account.dataset}.{account.table}"


def _google(module: str) -> Any:
    """A module of Google's client, which is an optional extra."""
    return importlib.import_module(f"google.{module}")


def _client(session: Session) -> Any:
    def make() -> Any:
        account: BigQueryAccount = session.account
        token, key = account.token.get_secret_value(), account.service_account.get_secret_value()
        identity: Any = None
        if token:
            identity = _google("oauth2.credentials").Credentials(token)
        elif key:
            maker = _google("oauth2.service_account").Credentials
            identity = maker.from_service_account_info(json.loads(key))
        elif account.base.startswith("http://"):
            identity = _google("auth.credentials").AnonymousCredentials()
        return _google("cloud.bigquery").Client(
            project=account.project,
            credentials=identity,
            location=account.location,
            client_options={"api_endpoint": account.base},
        )

    return session.keep("client", make)


def _load(client: Any, target: Target, stage: str, content: bytes) -> None:
    bigquery = _google("cloud.bigquery")
    schema = [*_schema(target), bigquery.SchemaField(GONE, "BOOL")]
    how = {"source_format": "NEWLINE_DELIMITED_JSON", "write_disposition": "WRITE_TRUNCATE"}
    config = bigquery.LoadJobConfig(schema=schema, **how)
    job = client.load_table_from_file(io.BytesIO(content), stage, size=len(content), job_config=config, num_retries=0)
    job.result(retry=None, timeout=target.account.job_seconds)


def _query(client: Any, target: Target, sql: str, ids: Sequence[str] | None = None) -> None:
    bigquery = _google("cloud.bigquery")
    given = [bigquery.ArrayQueryParameter("ids", "STRING", ids)] if ids is not None else []
    config = bigquery.QueryJobConfig(query_parameters=given)
    job = client.query(sql, job_config=config, location=target.account.location, retry=None, job_retry=None)
    job.result(retry=None, job_retry=None, timeout=target.account.job_seconds)


def _schema(target: Target) -> list[Any]:
    own = [_column(name, Kind.TEXT) for name in OWN]
    return own + [_column(f.theirs, f.kind) for f in target.fields]


def _column(name: str, kind: Kind) -> Any:
    mode = "REPEATED" if kind is Kind.TEXTS else "NULLABLE"
    return _google("cloud.bigquery").SchemaField(name, TYPES.get(kind, "STRING"), mode=mode)


def _do(session: Session, action: Callable[[], T]) -> T:
    """Run one call of Google's client and say its failures in our words."""
    api, auth = _google("api_core.exceptions"), _google("auth.exceptions")
    requests = importlib.import_module("requests.exceptions")
    outages = (api.ServerError, api.TooManyRequests, auth.TransportError, requests.RequestException, TimeoutError)

    def run() -> T:
        try:
            return action()
        except outages as error:
            raise TransientError(f"BigQuery: not answered ({type(error).__name__})") from error
        except (api.Unauthorized, api.Forbidden, auth.GoogleAuthError) as error:
            if found := BUSY & {one.get("reason") for one in getattr(error, "errors", ())}:
                raise TransientError(f"BigQuery: asked to wait ({', '.join(found)})") from error
            advice = "Check the credentials, and the roles jobUser and dataEditor."
            raise ConfigurationError(f"BigQuery: refused ({type(error).__name__}). {advice}") from error
        except api.NotFound as error:
            raise ConfigurationError(f"BigQuery: {error.message}. Check the account's settings.") from error
        except api.GoogleAPICallError as error:
            raise RejectedError(f"BigQuery: {error.message}") from error

    return session.attempt(run)


def wants(target: Target) -> tuple[Thing, ...]:
    """The dataset, the table, and a column per field."""
    account = target.account
    dataset, table = (account.dataset, account.table) if account else ("dataset", "table")
    return (Thing("dataset", dataset), Thing("table", table), *fields_and_no_lists(target))


def known(session: Session, target: Target) -> Known:
    """What exists of the dataset, the table and its columns."""
    client, account = _client(session), target.account
    absent = _google("api_core.exceptions").NotFound

    def look() -> dict[tuple[str, str], str]:
        found = {}
        try:
            client.get_dataset(f"{account.project}.{account.dataset}", retry=None)
            found["dataset", account.dataset] = account.dataset
            table = client.get_table(_table(target), retry=None)
        except absent:
            return found
        columns = {("field", one.name): one.name for one in table.schema if one.name not in OWN}
        return found | {("table", account.table): account.table} | columns

    return _do(session, look)


def create(session: Session, target: Target, thing: Thing) -> str:
    """The dataset in its location, the table with all columns, or one more column."""
    client, account, bigquery = _client(session), target.account, _google("cloud.bigquery")

    def make() -> None:
        if thing.kind == "dataset":
            dataset = bigquery.Dataset(f"{account.project}.{account.dataset}")
            dataset.location = account.location
            client.create_dataset(dataset, exists_ok=True, retry=None)
        elif thing.kind == "table":
            client.create_table(bigquery.Table(_table(target), schema=_schema(target)), exists_ok=True, retry=None)
        elif thing.name not in {column.name for column in client.get_table(_table(target), retry=None).schema}:
            _query(client, target, column_sql(target, thing))

    _do(session, make)
    return thing.name


def check(session: Session, target: Target) -> str:
    """Which project the identity can see."""
    client = _client(session)
    _do(session, lambda: list(client.list_datasets(max_results=1, retry=None)))
    return f"project {target.account.project}"


def erase(session: Session, target: Target, people: Sequence[Person]) -> Iterable[Receipt]:
    """Delete the rows, and stages that a killed push left; time travel keeps both for up to seven days more."""
    client, account = _client(session), target.account
    sql = f"DELETE FROM `{_table(target)}` WHERE customer_id IN UNNEST(@ids)"
    left = re.compile(re.escape(account.table) + STAGE + "[0-9a-f]{16}")

    def drop() -> None:
        for one in client.list_tables(f"{account.project}.{account.dataset}", page_size=1_000, retry=None):
            if left.fullmatch(one.table_id):
                client.delete_table(one.reference, not_found_ok=True, retry=None)

    _do(session, lambda: _query(client, target, sql, [person.customer_id for person in people]))
    _do(session, drop)
    note = "time travel and fail-safe keep it for some days"
    return [Receipt(person.customer_id, done=True, reference=_table(target), note=note) for person in people]


PLATFORM = Platform(
    slug="bigquery", title="BigQuery", api_version="v2", keys=(Key.CUSTOMER_ID,), account=BigQueryAccount,
    docs="https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs",
    limits=Limits(rows=100_000, bytes=100_000_000, per_second=2.0),
    shape=shape, push=push, check=check, wants=wants, known=known, create=create, erase=erase,
    extra="bigquery",
    modules=("google.cloud.bigquery",),
    addresses_people=False, reads_opt_outs=False,
)  # fmt: skip

"""Redshift: a query unloaded to Parquet beside the lake, or fetched page by page where it is small.

The query names ``:since`` and ``:until`` where it compares its time of change. With ``role`` (an IAM role attached to
Redshift) and a lake on S3 the result is unloaded straight into ``landing``; otherwise it comes through the Data API
(500 MB at most). https://docs.aws.amazon.com/redshift/latest/dg/r_UNLOAD.html

Unverified: UNLOAD on a living cluster; how long the Data API keeps a result (a day, it says).
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config as Botocore
from botocore.exceptions import BotoCoreError, ClientError

from tasks.config import Dataset
from tasks.errors import ConfigurationError, RejectedError, SegmentationError, TransientError
from tasks.intake.landing import FOLDER
from tasks.intake.sources.connector import Account, Connector, Page, Window
from tasks.lake.storage import is_s3

LONGEST_SECONDS = 4 * 3600.0
BEGIN = datetime(1900, 1, 1, tzinfo=UTC)
_TRANSIENT = (
    "Throttling",
    "InternalServer",
    "ActiveStatementsExceeded",
    "ActiveSessionsExceeded",
    "ServiceUnavailable",
)
_STOPPED = {"FAILED", "ABORTED"}
_UNLOAD, _FETCH = "unload:", "fetch:"
_AT = re.compile(r"(?<!:):(since|until)\b")


def read(account: Account, window: Window) -> Iterator[Page]:
    """Run the query for the window; a statement that was started before a kill is waited for, not run twice."""
    client = _client(account)
    unloads = is_s3(account.lake.root) and "role" in account.source.options
    prefix = _UNLOAD if unloads else _FETCH
    statement = window.position.removeprefix(prefix).partition("#")[0]
    if not statement:
        sql = unload_sql(account, window) if unloads else query_sql(account, window)
        statement = _call(client, "execute_statement", **_where(account), Sql=sql, ClientToken=_token(account, window))[
            "Id"
        ]
        yield Page((), f"{prefix}{statement}")
    done = _wait(client, account, statement)
    if unloads:
        yield Page((), "", files=max(0, int(done.get("ResultRows", 0))))
        return
    yield from _results(client, statement, window.position.partition("#")[2], has_rows=bool(done.get("HasResultSet")))


def check(account: Account) -> str:
    """Ask the database for nothing."""
    client = _client(account)
    _wait(client, account, _call(client, "execute_statement", **_where(account), Sql="SELECT 1")["Id"])
    return f"Database {account.option('database')} answers."


def query_sql(account: Account, window: Window) -> str:
    """The query with the window's times as literals; they are ours, no value comes from outside."""
    times = {"since": window.since or BEGIN, "until": window.until}
    return _AT.sub(lambda found: f"TIMESTAMPTZ '{times[found[1]]:%Y-%m-%d %H:%M:%S+00}'", account.option("query"))


def unload_sql(account: Account, window: Window) -> str:
    """The statement that writes the query's result as Parquet into ``landing``."""
    quoted = query_sql(account, window).replace("'", "''")
    target = f"{account.lake.address(FOLDER)}/{account.source.name}/{window.until:%Y%m%dT%H%M%S%f}-"
    role = account.option("role").replace("'", "''")
    return f"UNLOAD ('{quoted}') TO '{target}' IAM_ROLE '{role}' FORMAT PARQUET ALLOWOVERWRITE"


def _token(account: Account, window: Window) -> str:
    """Makes starting idempotent: the same window of the same source is one statement."""
    return hashlib.sha256(f"{account.source.name}|{window.until.isoformat()}|{window.since}".encode()).hexdigest()[:64]


def _where(account: Account) -> dict[str, str]:
    names = {
        "workgroup": "WorkgroupName",
        "cluster": "ClusterIdentifier",
        "db_user": "DbUser",
        "secret_arn": "SecretArn",
    }
    given = {theirs: account.source.options[ours] for ours, theirs in names.items() if ours in account.source.options}
    if not {"WorkgroupName", "ClusterIdentifier"} & set(given):
        raise ConfigurationError(f"Source {account.source.name}: give options.workgroup or options.cluster.")
    return {"Database": account.option("database"), **given}


def _wait(client: Any, account: Account, statement: str) -> Mapping[str, Any]:
    waited, pause = 0.0, 0.5
    while waited <= LONGEST_SECONDS:
        found: Mapping[str, Any] = _call(client, "describe_statement", Id=statement)
        if found["Status"] == "FINISHED":
            return found
        if found["Status"] in _STOPPED:
            raise RejectedError(f"Redshift: the statement {found['Status'].lower()}: {_first_line(found.get('Error'))}")
        account.patience.sleep(pause)
        waited, pause = waited + pause, min(pause * 2, 15.0)
    raise TransientError("Redshift: the statement does not end.")


def _first_line(text: Any) -> str:
    return str(text or "no reason given").strip().split("\n", 1)[0][:200]


def _results(client: Any, statement: str, token: str, *, has_rows: bool) -> Iterator[Page]:
    if not has_rows:
        yield Page((), "")
        return
    while True:
        more = {"NextToken": token} if token else {}
        found = _call(client, "get_statement_result", Id=statement, **more)
        names = [column["name"] for column in found["ColumnMetadata"]]
        rows = [{n: _cell(c) for n, c in zip(names, record, strict=True)} for record in found["Records"]]
        token = str(found.get("NextToken") or "")
        yield Page(rows, f"{_FETCH}{statement}#{token}" if token else "")
        if not token:
            return


def _cell(cell: Mapping[str, Any]) -> Any:
    return None if cell.get("isNull") else next(iter(cell.values()))


def _client(account: Account) -> Any:
    retries = Botocore(retries={"mode": "standard", "max_attempts": account.patience.attempts})
    options = account.source.options
    return boto3.client(
        "redshift-data", region_name=options.get("region"), endpoint_url=options.get("address"), config=retries
    )


def _call(client: Any, operation: str, **arguments: Any) -> Any:
    try:
        return getattr(client, operation)(**arguments)
    except ClientError as error:
        raise _problem(error.response.get("Error", {})) from error
    except BotoCoreError as error:
        raise TransientError(f"Redshift: not answered ({type(error).__name__}).") from error


def _problem(error: Mapping[str, Any]) -> SegmentationError:
    code = str(error.get("Code", ""))
    if code.startswith(_TRANSIENT):
        return TransientError(f"Redshift: {code}.")
    if "AccessDenied" in code or "UnrecognizedClient" in code or "ExpiredToken" in code:
        return ConfigurationError(f"Redshift: {code}. Give this task the rights of the Data API.")
    return RejectedError(f"Redshift: {code}: {_first_line(error.get('Message'))}")


CONNECTOR = Connector(
    slug="redshift",
    title="Redshift",
    docs="https://docs.aws.amazon.com/redshift-data/latest/APIReference/",
    datasets=frozenset(Dataset),
    options=frozenset(
        {"query", "database", "workgroup", "cluster", "db_user", "secret_arn", "role", "region", "address"}
    ),
    read=read,
    check=check,
)

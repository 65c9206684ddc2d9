"""BigQuery: a query with the parameters ``@since`` and ``@until``, its result page by page.

Needs the extra ``bigquery``. The secret is a service account's JSON; without one the environment's own identity serves.
A job's id follows from source and window, so starting it twice is starting it once; a job that has failed, or whose
result is no longer kept (a day), is followed by another.

Run against an emulator, not against Google itself. Unverified: how long the owner of a job may look at its result.
"""

import hashlib
import importlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import count, islice
from typing import Any

from tasks.config import Dataset
from tasks.errors import ConfigurationError, RejectedError, SegmentationError, TransientError
from tasks.intake.sources.connector import Account, Connector, Page, Window
from tasks.intake.sources.wire import secure

PAGE = 10_000
MOST_BYTES = 200 * 1024**3
BEGIN = datetime(1900, 1, 1, tzinfo=UTC)
_TOO_MANY, _SERVER = 429, 500
_BUSY = {"rateLimitExceeded", "quotaExceeded"}  # told with 403, as missing rights are


def read(account: Account, window: Window) -> Iterator[Page]:
    """Run the query for the window; after a kill the same job goes on at the page it had reached."""
    client, names = _client(account), _library()
    job_id, _, done = window.position.partition("#")
    try:
        if not job_id or not _serves(client, names, account, job_id):
            job_id, done = _start(client, names, account, window), ""
            yield Page((), f"{job_id}#0")
        result = client.get_job(job_id, location=account.option("location", "EU")).result(page_size=PAGE)
        number = int(done or 0)
        pages = islice(result.pages, number, None)
        rows = [dict(row.items()) for row in next(pages, ())]
        while rows:
            number += 1
            following = [dict(row.items()) for row in next(pages, ())]
            yield Page(rows, f"{job_id}#{number}" if following else "")
            rows = following
    except names["errors"] as error:
        raise _problem(error) from error


def check(account: Account) -> str:
    """Let the query be examined without running it."""
    client, names = _client(account), _library()
    try:
        dry = _settings(names, account, Window(None, BEGIN), dry=True)
        job = client.query(account.option("query"), job_config=dry, location=account.option("location", "EU"))
        size = job.total_bytes_processed
    except names["errors"] as error:
        raise _problem(error) from error
    return f"The query reads {size:,} bytes."


def _start(client: Any, names: Mapping[str, Any], account: Account, window: Window) -> str:
    told = f"{account.source.name}|{account.option('query')}|{window.since}|{window.until.isoformat()}"
    name = f"segmentation-{hashlib.sha256(told.encode()).hexdigest()[:32]}"
    for attempt in count():
        job_id = f"{name}-{attempt}"
        try:
            client.query(
                account.option("query"),
                job_config=_settings(names, account, window, dry=False),
                job_id=job_id,
                location=account.option("location", "EU"),
                job_retry=None,
            )
        except names["conflict"]:  # it was started before
            if not _serves(client, names, account, job_id):
                continue
        break
    return job_id


def _serves(client: Any, names: Mapping[str, Any], account: Account, job_id: str) -> bool:
    """Whether a job is still at work, or its result is there."""
    try:
        job = client.get_job(job_id, location=account.option("location", "EU"))
        if job.state == "DONE" and not job.error_result:
            client.get_table(job.destination)
    except names["absent"]:
        return False
    return not job.error_result


def _settings(names: Mapping[str, Any], account: Account, window: Window, *, dry: bool) -> Any:
    bigquery = names["bigquery"]
    return bigquery.QueryJobConfig(
        query_parameters=[
            bigquery.ScalarQueryParameter("since", "TIMESTAMP", window.since or BEGIN),
            bigquery.ScalarQueryParameter("until", "TIMESTAMP", window.until),
        ],
        maximum_bytes_billed=int(account.option("most_bytes", str(MOST_BYTES))),
        dry_run=dry,
        use_query_cache=not dry,
    )


def _library() -> dict[str, Any]:
    try:
        api = importlib.import_module("google.api_core.exceptions")
        auth = importlib.import_module("google.auth.exceptions")
        return {
            "bigquery": importlib.import_module("google.cloud.bigquery"),
            "absent": api.NotFound,
            "conflict": api.Conflict,
            "errors": (api.GoogleAPIError, auth.GoogleAuthError, ConnectionError),
        }
    except ImportError:
        raise ConfigurationError("BigQuery needs a library: pip install 'retail-segmentation[bigquery]'.") from None


def _client(account: Account) -> Any:
    bigquery = _library()["bigquery"]
    options: dict[str, Any] = {}
    if "address" in account.source.options:
        options["client_options"] = {"api_endpoint": secure(account.option("address"))}
    project = account.option("project")
    if account.secret is None:
        return bigquery.Client(project=project, **options)
    secret = account.need_secret()
    if not secret.lstrip().startswith("{"):
        tokens = importlib.import_module("google.oauth2.credentials")
        return bigquery.Client(project=project, credentials=tokens.Credentials(token=secret), **options)
    accounts = importlib.import_module("google.oauth2.service_account")
    scopes = ["https://www.googleapis.com/auth/bigquery"]
    found = accounts.Credentials.from_service_account_info(json.loads(secret), scopes=scopes)
    return bigquery.Client(project=project, credentials=found, **options)


def _problem(error: Exception) -> SegmentationError:
    code = getattr(error, "code", None)
    reasons = {one.get("reason") for one in getattr(error, "errors", ())}
    if code is None or code == _TOO_MANY or code >= _SERVER or reasons & _BUSY:
        return TransientError(f"BigQuery: not answered ({type(error).__name__}).")
    if code in (401, 403, 404):
        return ConfigurationError(
            f"BigQuery answered {code}: look at `secret`, options.project and the tables' rights."
        )
    return RejectedError(f"BigQuery answered {code}: the query was refused.")


CONNECTOR = Connector(
    slug="bigquery",
    title="BigQuery",
    docs="https://cloud.google.com/bigquery/docs/reference/rest",
    datasets=frozenset(Dataset),
    options=frozenset({"query", "project", "location", "most_bytes", "address"}),
    read=read,
    check=check,
)

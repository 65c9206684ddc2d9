"""Where the lake lies: a directory or an S3 prefix, with what each library needs to reach it.

Credentials come from the AWS default chain (task role, environment, profile); they are never configuration.
S3 commits use conditional put, so no lock table is needed.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import boto3
import duckdb
import fsspec
from duckdb_extension_httpfs import __file__ as httpfs_package

from tasks.errors import ConfigurationError


def is_s3(address: str) -> bool:
    """Whether the address lies on S3 or an S3-compatible store."""
    return address.startswith("s3://")


def endpoint_url() -> str | None:
    """Address of an S3-compatible store other than AWS, from ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL``."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _credentials() -> dict[str, str]:
    session = boto3.Session()
    found = session.get_credentials()
    if found is None:
        raise ConfigurationError(
            "No AWS credentials found for an s3:// address. Run with a task role, or set AWS_PROFILE or "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    frozen = found.get_frozen_credentials()
    values = {"key": frozen.access_key, "secret": frozen.secret_key, "region": session.region_name or "us-east-1"}
    return {**values, "token": frozen.token} if frozen.token else values


def delta_options(address: str) -> dict[str, str] | None:
    """Storage options of ``deltalake`` for the address; ``None`` for a directory."""
    if not is_s3(address):
        return None
    found = _credentials()
    options = {
        "aws_access_key_id": found["key"],
        "aws_secret_access_key": found["secret"],
        "aws_region": found["region"],
        "conditional_put": "etag",
    }
    if "token" in found:
        options["aws_session_token"] = found["token"]
    if endpoint := endpoint_url():
        options |= {"aws_endpoint": endpoint, "allow_http": str(_is_loopback_http(endpoint)).lower()}
    return options


def _is_loopback_http(endpoint: str) -> bool:
    parsed = urlparse(endpoint)
    if parsed.scheme == "http" and parsed.hostname not in {"localhost", "127.0.0.1", "::1"}:
        raise ConfigurationError(f"{endpoint}: plain http is only allowed on this machine. Use https.")
    return parsed.scheme == "http"


@lru_cache(maxsize=1)
def _httpfs() -> str:
    found = sorted(Path(httpfs_package).parent.rglob("httpfs.duckdb_extension"))
    return str(found[0])


def allow_s3(connection: duckdb.DuckDBPyConnection) -> None:
    """Teach the connection to read ``s3://`` with the credentials of this process."""
    connection.execute(f"LOAD '{_httpfs()}'")
    found = _credentials()
    parts = {"KEY_ID": found["key"], "SECRET": found["secret"], "REGION": found["region"]}
    if "token" in found:
        parts["SESSION_TOKEN"] = found["token"]
    clauses = [f"{name} {_quote(value)}" for name, value in parts.items()]
    if endpoint := endpoint_url():
        use_ssl = "false" if _is_loopback_http(endpoint) else "true"
        clauses += [f"ENDPOINT {_quote(urlparse(endpoint).netloc)}", f"USE_SSL {use_ssl}", "URL_STYLE 'path'"]
    connection.execute(f"CREATE OR REPLACE SECRET lake (TYPE s3, {', '.join(clauses)})")


def _quote(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def filesystem(address: str) -> Any:
    """The fsspec file system of the address."""
    if not is_s3(address):
        return fsspec.filesystem(urlparse(address).scheme or "file") if "://" in address else fsspec.filesystem("file")
    return fsspec.filesystem("s3", endpoint_url=endpoint_url(), skip_instance_cache=True)

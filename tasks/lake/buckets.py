"""The one place that says which bucket a customer (or, for guests, an order) belongs to."""

import hashlib


def bucket_sql(key: str, buckets: int) -> str:
    """SQL expression for the bucket of the text expression ``key``; from md5, which no DuckDB release can change."""
    return f"(CAST('0x' || substr(md5({key}), 1, 8) AS BIGINT) % {buckets})::INTEGER"


def bucket_of(key: str, buckets: int) -> int:
    """The bucket of one key, equal to ``bucket_sql``."""
    return int(hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()[:8], 16) % buckets

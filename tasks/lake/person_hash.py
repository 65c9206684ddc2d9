"""The one keyed hash by which tables name people who must be left alone, without naming them."""

import hashlib


def hash_person(handle: str, key: str) -> str:
    """Keyed hash of an id, address or number, so that a list of people to leave alone does not name them."""
    inner = hashlib.sha256((key + normal(handle)).encode()).hexdigest()
    return hashlib.sha256((key + inner).encode()).hexdigest()


def normal(handle: str) -> str:
    """The one spelling of a handle that is hashed."""
    return handle.strip().lower()

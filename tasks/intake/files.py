"""Which files a source has, each with the fingerprint by which it is known again."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from tasks.config import Source
from tasks.errors import TransientError
from tasks.lake.storage import filesystem

_FINGERPRINTS = ("ETag", "etag", "md5Hash", "content_md5", "checksum")
_OLDEST_TIME = datetime(1990, 1, 1, tzinfo=UTC)  # archives are unpacked with times such as 1980 that mean nothing


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source; ``modified`` is unknown (None) on stores that keep no time."""

    uri: str
    etag: str
    modified: datetime | None
    bytes: int

    @property
    def batch(self) -> str:
        """Digest that names this content of this file wherever rows carry where they came from."""
        return sha256(f"{self.uri}\n{self.etag}".encode()).hexdigest()[:16]


def list_files(source: Source) -> list[SourceFile]:
    """The files that the glob of a source names, oldest first, so that newer files win over older ones."""
    files = filesystem(source.files)
    protocol = source.files.split("://", 1)[0] + "://" if "://" in source.files else ""
    try:
        found = files.glob(source.files, detail=True)
    except FileNotFoundError:
        found = {}
    except OSError as error:
        raise TransientError(f"Source {source.name}: {source.files} cannot be listed ({error}).") from error
    listed = [_describe(path, info, protocol) for path, info in found.items() if info.get("type") == "file"]
    return sorted(listed, key=lambda file: (file.modified or _OLDEST_TIME, file.uri))


def _describe(path: str, info: dict[str, Any], protocol: str) -> SourceFile:
    modified = _modified(info)
    size = int(info.get("size") or 0)
    told = next((str(info[name]).strip('"') for name in _FINGERPRINTS if info.get(name)), None)
    stamp = int(modified.timestamp() * 1_000_000) if modified else 0
    uri = path if "://" in path else f"{protocol}{path}"
    return SourceFile(uri=uri, etag=told or f"{size:x}-{stamp:x}", modified=modified, bytes=size)


def _modified(info: dict[str, Any]) -> datetime | None:
    value = next((info[name] for name in ("mtime", "LastModified", "last_modified", "updated") if info.get(name)), None)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, int | float):
        value = datetime.fromtimestamp(value, UTC)
    if not isinstance(value, datetime):
        return None
    value = value if value.tzinfo else value.replace(tzinfo=UTC)
    return value if value > _OLDEST_TIME else None

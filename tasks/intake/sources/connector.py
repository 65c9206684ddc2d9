"""What a connector is: a value with two functions, one reads pages, the other looks whether reading would work."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from pydantic import SecretStr

from tasks.config import Dataset, Source
from tasks.errors import ConfigurationError
from tasks.intake.sources.wire import Patience
from tasks.lake import Lake


@dataclass(frozen=True, slots=True)
class Window:
    """Changes from ``since`` (None: everything) until ``until``; ``position`` is where an earlier try stopped."""

    since: datetime | None
    until: datetime
    position: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows that belong together, and the position after them (empty: the window is read).

    ``files`` counts rows that the source itself wrote into ``landing`` (an unload), where there are no rows to carry.
    """

    rows: Sequence[Mapping[str, Any]]
    position: str
    files: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """One configured source with its secret opened, and where it may write files of its own."""

    source: Source
    secret: SecretStr | None
    lake: Lake
    patience: Patience = field(default_factory=Patience)

    def option(self, name: str, otherwise: str | None = None) -> str:
        """An option of the configuration. ConfigurationError: it is needed and not there."""
        value = self.source.options.get(name, otherwise)
        if value is None:
            raise ConfigurationError(f"Source {self.source.name}: options.{name} is missing. Add it.")
        return value

    def need_secret(self) -> str:
        """The secret's value. ConfigurationError: none is configured."""
        if self.secret is None:
            raise ConfigurationError(f"Source {self.source.name}: `secret` is missing. Name the secret that opens it.")
        return self.secret.get_secret_value()


Pages: TypeAlias = Callable[[Account, Window], Iterator[Page]]


@dataclass(frozen=True, slots=True)
class Connector:
    """A kind of source: ``read`` gives the pages of a window, ``check`` reads as little as it can and says what it saw.

    ``overlap_seconds`` is read again each time, for changes that became visible late; rows are known by their keys.
    """

    slug: str
    title: str
    docs: str
    datasets: frozenset[Dataset]
    options: frozenset[str]
    read: Pages
    check: Callable[[Account], str]
    overlap_seconds: int = 300

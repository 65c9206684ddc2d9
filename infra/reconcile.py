"""What is wanted against what is there: the difference, in words, and how to remove it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Item:
    """One object on the Prefect API.

    ``present`` is None where the object does not exist; ``wanted`` is None where it should not. ``write`` makes it so;
    it is None for objects that are written all at once.
    ``secret``: values are compared, never shown.
    """

    kind: str
    name: str
    wanted: Mapping[str, Any] | None
    present: Mapping[str, Any] | None
    write: Callable[[], object] | None = None
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between wanted and present, ready to be shown and applied."""

    action: Literal["create", "update", "delete"]
    item: Item
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        sign = {"create": "+", "update": "~", "delete": "-"}[self.action]
        return "\n".join([f"{sign} {self.item.kind} {self.item.name}", *(f"    {detail}" for detail in self.details)])


def changes(items: Iterable[Item]) -> list[Change]:
    """Return what has to change, in the order of the items."""
    return [change for item in items if (change := _change(item))]


def _change(item: Item) -> Change | None:
    if item.wanted is None:
        return None if item.present is None else Change("delete", item)
    if item.present is None:
        return Change("create", item)
    details = tuple(_differences(item.wanted, item.present, show=not item.secret))
    return Change("update", item, details) if details else None


def _differences(wanted: Any, present: Any, *, show: bool, path: str = "") -> Iterator[str]:
    if isinstance(wanted, Mapping) and isinstance(present, Mapping):
        for key in sorted(wanted.keys() | present.keys(), key=str):
            inner = f"{path}.{key}" if path else str(key)
            yield from _differences(wanted.get(key), present.get(key), show=show, path=inner)
    elif wanted != present:
        yield f"{path}: {present!r} → {wanted!r}" if show else f"{path}: changed (not shown)"

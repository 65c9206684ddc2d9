"""A chapter of the insight report, and how chapters read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Reader = Callable[[str], list[tuple[object, ...]]]


@dataclass(frozen=True, slots=True)
class Chapter:
    """One picture with its message; ``rows`` repeats the numbers as a table for readers who want them."""

    title: str
    says: str
    do: str
    picture: str
    headers: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def number(value: object) -> float:
    """A cell as a number; nothing is zero."""
    return float(str(value)) if value is not None else 0.0


def texts(rows: Sequence[Sequence[object]]) -> tuple[tuple[str, ...], ...]:
    """Cells as text; nothing is a dash."""
    return tuple(tuple("–" if cell is None else str(cell) for cell in row) for row in rows)

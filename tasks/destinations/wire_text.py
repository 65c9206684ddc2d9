"""Values as platforms without numbers or lists want them, and as files want them: as text."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def text(value: Any, separator: str = ";") -> str:
    """A value as text: None is empty, lists are joined, numbers have no exponent and no trailing zeros."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.6f}".rstrip("0").rstrip(".") or "0"
        case list() | tuple():
            return separator.join(text(one) for one in value)
        case _:
            return str(value)


def no_lists(values: Mapping[str, Any], separator: str = ";") -> dict[str, Any]:
    """The same values with lists written as one text, for platforms without a list type."""
    return {name: text(value, separator) if isinstance(value, list) else value for name, value in values.items()}


def csv_bytes(lines: Iterable[Iterable[str]], line_end: str = "\n") -> bytes:
    """The lines, the names first, as CSV (RFC 4180) in UTF-8."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=line_end).writerows(lines)
    return out.getvalue().encode()


def csv_lines(content: str) -> Iterator[list[str]]:
    """The lines of a CSV file, the names first."""
    return csv.reader(io.StringIO(content, newline=""))


def csv_records(content: str) -> Iterator[dict[str, str]]:
    """The lines of a CSV file by the names in its first."""
    return csv.DictReader(io.StringIO(content, newline=""))

"""Values as platforms without numbers or lists want them: as text."""

from collections.abc import Mapping
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

"""Keep personal data and secrets out of every text that leaves a conversation."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

EMAIL = re.compile(r"[^\s\"<>(),:;\[\]@]+(?:@|%40)[\w.-]+")
PHONE = re.compile(r"\+?\d[\d ()./-]{7,}\d")
QUERY = re.compile(r"(https?://[^\s?#\"']+)[?#][^\s\"']*")
LONGEST = 300


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without addresses, telephone numbers, URL queries and the given secrets, on one line, shortened."""
    for secret in secrets:
        if len(secret) > 3:  # noqa: PLR2004 - shorter texts occur by chance in any sentence
            text = text.replace(secret, "***")
    text = QUERY.sub(r"\1", text)
    text = EMAIL.sub("<email>", text)
    text = PHONE.sub("<number>", text)
    return " ".join(text.split())[:LONGEST]


def secrets_of(account: BaseModel) -> tuple[str, ...]:
    """Every secret value of an account, longest first; of a secret address (a web hook's) also the path alone."""
    values = (getattr(account, name) for name in type(account).model_fields)
    found = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
    found += [urlsplit(one).path for one in found if one.startswith(("https://", "http://"))]
    return tuple(sorted(found, key=len, reverse=True))

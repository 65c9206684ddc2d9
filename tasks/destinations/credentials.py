"""How a platform is convinced of who we are: a secret in a header, or a token that an app asks for."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, Self

from pydantic import SecretStr, model_validator

from tasks.destinations.session import Account, Session, Token

Headers = Callable[[Any, Token | None], Mapping[str, str]]
"""The headers of every request: (account, its access token if the platform gives one)."""

TOKEN_SECONDS = 3_600.0  # where none is promised; a token that is refused is renewed anyway


class AppAccount(Account):
    """An account that is opened by a token, or by the client id and secret of an app that asks for one."""

    token: SecretStr = SecretStr("")
    client_id: SecretStr = SecretStr("")
    client_secret: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        app = (self.client_id, self.client_secret)
        if not self.token.get_secret_value() and not all(one.get_secret_value() for one in app):
            raise ValueError("needs token, or client_id and client_secret, in the secret")
        return self


def secret_in(header: str, scheme: str = "", also: Mapping[str, str] | None = None) -> Headers:
    """Send the access token, or else the account's own ``token``, in this header, and ``also`` as it is."""

    def headers(account: Any, token: Token | None) -> Mapping[str, str]:
        value = token.value if token is not None else account.token.get_secret_value()
        return {header: f"{scheme}{value}", **(also or {})}

    return headers


def bearer(also: Mapping[str, str] | None = None) -> Headers:
    """The usual header of a bearer token."""
    return secret_in("Authorization", "Bearer ", also)


def basic(user: str, password: SecretStr) -> str:
    """What the Authorization header says by HTTP Basic (RFC 7617)."""
    return f"Basic {b64encode(f'{user}:{password.get_secret_value()}'.encode()).decode()}"


def granted(session: Session, path: str, asked: Mapping[str, SecretStr | str], *, base: str = "instance_url") -> Token:
    """Ask an OAuth server for a token with a form; ``base`` names the answer's address that the token is good for."""
    form = {name: one.get_secret_value() if isinstance(one, SecretStr) else one for name, one in asked.items()}
    body = session.call("POST", path, data=form, authorized=False).json()
    return Token(body["access_token"], float(body.get("expires_in", TOKEN_SECONDS)), body.get(base, ""))


def client_credentials(path: str) -> Callable[[Session, Any], Token | None]:
    """A token for the account's ``client_id`` and ``client_secret``; none where its secret is a token already."""

    def token(session: Session, account: Any) -> Token | None:
        own: SecretStr | None = getattr(account, "token", None)
        if own is not None and own.get_secret_value():
            return None
        app = {"client_id": account.client_id, "client_secret": account.client_secret}
        return granted(session, path, {"grant_type": "client_credentials", **app})

    return token

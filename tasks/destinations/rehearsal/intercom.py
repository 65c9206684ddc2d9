"""A stand-in for Intercom's contacts and data attributes."""

import re
from typing import Any

from tasks.destinations.rehearsal.fake import Fake, Reply, Request, demand, route


class Intercom(Fake):
    """Knows only attributes that were created; the same address or external id twice is a conflict."""

    slug = "intercom"
    secret = "rehearsal-token"  # noqa: S105 - opens nothing

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.attributes: dict[str, str] = {}
        self.contacts: dict[str, dict[str, Any]] = {}
        self.made = 0

    def seed(self, people: list[dict[str, Any]]) -> None:
        self._new({"role": "user", "email": people[1]["email"], "custom_attributes": {}})

    def people(self) -> dict[str, dict[str, Any]]:
        return {
            c["external_id"]: {k: v for k, v in c["custom_attributes"].items() if v is not None}
            for c in self.contacts.values()
            if c.get("external_id")
        }

    def opt_out(self, email: str) -> None:
        next(c for c in self.contacts.values() if c["email"] == email)["unsubscribed_from_emails"] = True

    def authorise(self, request: Request) -> Reply | None:
        if request.headers.get("authorization") != f"Bearer {self.secret}":
            return Reply(
                401, {"type": "error.list", "errors": [{"code": "unauthorized", "message": "Access Token Invalid"}]}
            )
        demand(request.headers.get("intercom-version") == "2.14", "the version is missing")
        return None

    @route("GET", "/data_attributes")
    def list_attributes(self, request: Request, _match: re.Match[str]) -> Reply:
        demand(request.query == {"model": "contact"}, "ask for contacts")
        own = [{"name": name, "custom": True, "data_type": kind} for name, kind in self.attributes.items()]
        return Reply(200, {"type": "list", "data": [{"name": "email", "custom": False}, *own]})

    @route("POST", "/data_attributes")
    def create_attribute(self, request: Request, _match: re.Match[str]) -> Reply:
        body = request.json
        demand(set(body) == {"name", "model", "data_type"} and body["model"] == "contact", "name, model, data_type")
        demand(body["data_type"] in {"string", "integer", "float", "boolean", "datetime", "date"}, "unknown type")
        if body["name"] in self.attributes:
            return _errors(400, "parameter_invalid", f"You already have '{body['name']}' in your contact data.")
        self.attributes[body["name"]] = body["data_type"]
        return Reply(200, {"type": "data_attribute", "id": len(self.attributes), **body})

    @route("GET", r"/contacts/find_by_external_id/(.+)")
    def find(self, _request: Request, match: re.Match[str]) -> Reply:
        found = next((c for c in self.contacts.values() if c.get("external_id") == match[1]), None)
        return Reply(200, found) if found else _errors(404, "not_found", "User Not Found")

    @route("POST", "/contacts")
    def create(self, request: Request, _match: re.Match[str]) -> Reply:
        body = request.json
        self._inspect(body)
        if "@invalid" in body.get("email", ""):
            return _errors(400, "parameter_invalid", "email is invalid: someone@invalid")
        for ident, contact in self.contacts.items():
            if body["external_id"] == contact.get("external_id") or body.get("email") == contact.get("email"):
                return _errors(409, "conflict", f"A contact matching those details already exists with id={ident}")
        return Reply(200, self._new(body))

    def _new(self, body: dict[str, Any]) -> dict[str, Any]:
        self.made += 1
        ident = f"5da6{self.made:04d}"
        self.contacts[ident] = {"type": "contact", "id": ident, **body}
        return self.contacts[ident]

    def _inspect(self, body: dict[str, Any]) -> None:
        demand(set(body) <= {"role", "external_id", "email", "custom_attributes"}, "unknown keys")
        kinds: dict[str, Any] = {"string": str, "float": (int, float), "integer": int, "boolean": bool}
        for name, value in body["custom_attributes"].items():
            demand(name in self.attributes, f"attribute {name} does not exist")
            demand(value is None or isinstance(value, kinds[self.attributes[name]]), f"{name} has the wrong type")

    @route("PUT", r"/contacts/(\w+)")
    def update(self, request: Request, match: re.Match[str]) -> Reply:
        if match[1] not in self.contacts:
            return _errors(404, "not_found", "User Not Found")
        body = request.json
        self._inspect(body)
        contact = self.contacts[match[1]]
        contact["custom_attributes"] = {**contact["custom_attributes"], **body.pop("custom_attributes")}
        contact.update(body)
        return Reply(200, contact)

    @route("POST", "/contacts/search")
    def search(self, request: Request, _match: re.Match[str]) -> Reply:
        query = request.json["query"]
        demand(query["operator"] == "=" and query["value"] is True, "only states are searched")
        found = [c for c in self.contacts.values() if c.get(query["field"])]
        after = int(request.json["pagination"].get("starting_after", "0"))
        more = {"next": {"starting_after": str(after + 1)}} if after + 1 < len(found) else {"next": None}
        return Reply(200, {"type": "list", "data": found[after : after + 1], "pages": more})

    @route("DELETE", r"/contacts/(\w+)")
    def delete(self, _request: Request, match: re.Match[str]) -> Reply:
        gone = self.contacts.pop(match[1], None)
        return Reply(200, {"id": match[1], "deleted": True}) if gone else _errors(404, "not_found", "User Not Found")


def _errors(status: int, code: str, message: str) -> Reply:
    return Reply(status, {"type": "error.list", "request_id": "r", "errors": [{"code": code, "message": message}]})

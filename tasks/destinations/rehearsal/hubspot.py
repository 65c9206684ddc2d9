"""A stand-in for HubSpot's contacts, properties and GDPR deletion."""

import re
from typing import Any

from tasks.destinations.rehearsal.fake import SOME_TIME, Fake, Reply, Request, demand, route

BATCH = 100
_TIMES = {"createdAt": SOME_TIME, "updatedAt": SOME_TIME}
_DONE = {"status": "COMPLETE", "startedAt": SOME_TIME, "completedAt": SOME_TIME}


class HubSpot(Fake):
    """Portals refuse numbers as values, unknown properties, and more than a hundred rows."""

    slug = "hubspot"
    secret = "pat-na1-rehearsal"  # noqa: S105 - opens nothing

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.properties: dict[str, dict[str, Any]] = {"email": {"name": "email"}, "hs_email_optout": {}}
        self.groups: set[str] = set()
        self.contacts: dict[str, dict[str, str]] = {}
        self.blocked: set[str] = set()

    def people(self) -> dict[str, dict[str, Any]]:
        return {
            c["rs_customer_id"]: {
                k: v for k, v in c.items() if v and k not in {"rs_customer_id", "email", "hs_email_optout"}
            }
            for c in self.contacts.values()
            if c.get("rs_customer_id")
        }

    def opt_out(self, email: str) -> None:
        next(c for c in self.contacts.values() if c.get("email") == email)["hs_email_optout"] = "true"

    def authorise(self, request: Request) -> Reply | None:
        if request.headers.get("authorization") != f"Bearer {self.secret}":
            return Reply(401, {"status": "error", "category": "INVALID_AUTHENTICATION", "message": "bad token"})
        return None

    @route("GET", r"/crm/v3/properties/contacts/groups/(\w+)")
    def read_group(self, _request: Request, match: re.Match[str]) -> Reply:
        return Reply(200, {"name": match[1]}) if match[1] in self.groups else Reply(404, {"message": "absent"})

    @route("POST", "/crm/v3/properties/contacts/groups")
    def create_group(self, request: Request, _match: re.Match[str]) -> Reply:
        demand({"name", "label"} <= set(request.json), "a group needs name and label")
        if request.json["name"] in self.groups:
            return Reply(409, {"status": "error", "category": "CONFLICT", "message": "exists"})
        self.groups.add(request.json["name"])
        return Reply(201, request.json)

    @route("GET", r"/crm/v3/properties/contacts/(\w+)")
    def read_property(self, _request: Request, match: re.Match[str]) -> Reply:
        found = self.properties.get(match[1])
        return Reply(404, {"message": "absent"}) if found is None else Reply(200, {"name": match[1]})

    @route("POST", "/crm/v3/properties/contacts")
    def create_property(self, request: Request, _match: re.Match[str]) -> Reply:
        body = request.json
        demand({"name", "label", "type", "fieldType", "groupName"} <= set(body), "a property needs five keys")
        demand(body["groupName"] in self.groups, "the group does not exist")
        if body["name"] in self.properties:
            return Reply(409, {"status": "error", "category": "OBJECT_ALREADY_EXISTS", "message": "exists"})
        self.properties[body["name"]] = body
        return Reply(201, body)

    @route("POST", "/crm/v3/objects/contacts/batch/read")
    def read(self, request: Request, _match: re.Match[str]) -> Reply:
        body = request.json
        demand({"inputs", "properties"} <= set(body) and len(body["inputs"]) <= BATCH, "inputs, properties, 100 rows")
        prop = body.get("idProperty")
        index = {c.get(prop): i for i, c in self.contacts.items()} if prop else {i: i for i in self.contacts}
        found = [index[one["id"]] for one in body["inputs"] if one["id"] in index]
        results = [
            {"id": i, "properties": {p: self.contacts[i].get(p) for p in body["properties"]}, **_TIMES} for i in found
        ]
        return Reply(200, _DONE | {"results": results})

    @route("POST", "/crm/v3/objects/contacts/batch/(update|upsert)")
    def write(self, request: Request, match: re.Match[str]) -> Reply:
        inputs = request.json["inputs"]
        demand(0 < len(inputs) <= BATCH, "one to a hundred rows")
        demand(len({one["objectWriteTraceId"] for one in inputs}) == len(inputs), "trace ids must be unique")
        results, errors = [], []
        for one in inputs:
            problem = self._problem(one)
            if problem:
                errors.append({"status": "error", "category": "VALIDATION_ERROR", "message": problem, "context": {}})
                continue
            ident = one["id"] if match[1] == "update" else self._by_key(one)
            if ident not in self.contacts and match[1] == "update":
                errors.append({"status": "error", "category": "OBJECT_NOT_FOUND", "message": "gone", "context": {}})
                continue
            contact = self.contacts.setdefault(ident, {})
            contact.update(one["properties"])
            results.append({"id": ident, "new": False, "properties": dict(contact), **_TIMES})
        body = _DONE | {"results": results[::-1]}
        return Reply(207, body | {"numErrors": len(errors), "errors": errors}) if errors else Reply(200, body)

    def _problem(self, one: dict[str, Any]) -> str:
        values = one["properties"]
        demand(all(isinstance(value, str) for value in values.values()), "values must be strings")
        unknown = sorted(set(values) - set(self.properties))
        demand(not unknown, f"properties {unknown} do not exist")
        return "email address is invalid" if "invalid" in values.get("email", "") else ""

    def _by_key(self, one: dict[str, Any]) -> str:
        demand(one["idProperty"] == "rs_customer_id", "the unique property is the key")
        demand(self.properties["rs_customer_id"].get("hasUniqueValue"), "the key must be unique")
        demand(one["properties"]["rs_customer_id"] == one["id"], "key and value differ")
        for ident, contact in self.contacts.items():
            if contact.get("rs_customer_id") == one["id"]:
                return ident
        address = one["properties"].get("email")
        demand(not any(c.get("email") == address for c in self.contacts.values() if address), "address is taken")
        return str(101 + len(self.contacts))

    @route("POST", "/crm/v3/objects/contacts/gdpr-delete")
    def erase(self, request: Request, _match: re.Match[str]) -> Reply:
        body = request.json
        if body.get("idProperty") == "email":
            self.blocked.add(body["objectId"])
            self.contacts = {i: c for i, c in self.contacts.items() if c.get("email") != body["objectId"]}
        else:
            self.contacts.pop(body["objectId"], None)
        return Reply(204)

"""A stand-in for one Shopify store: customers, metafields with definitions, bulk mutations, throttling inside a 200."""
# ruff: noqa: PLR2004 - the numbers are the vendor's limits, said where they are demanded

import re
from typing import Any

import orjson

from tasks.destinations.rehearsal.fake import Fake, Reply, Request, demand, route

MARK = re.compile(r"\{(\w+)[({]")


class Shopify(Fake):
    """Sets metafields all or none, refuses types that differ from their definition, and knows only its customers."""

    slug = "shopify"
    secret = '{"client_id": "app", "client_secret": "rehearsal-secret"}'  # noqa: S105 - opens nothing
    expiring = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.customers: dict[str, dict[str, Any]] = {}
        self.definitions: dict[tuple[str, str], str] = {}
        self.uploads: dict[str, bytes] = {}
        self.operations: list[dict[str, Any]] = []
        self.tokens = 0

    def seed(self, people: list[dict[str, Any]]) -> None:
        for number, person in enumerate(people, 1):
            email = person["email"].replace("invalid@example.com", "someone@invalid")
            self.customers[f"gid://shopify/Customer/{number}"] = {"email": email, "meta": {}, "state": "SUBSCRIBED"}

    def people(self) -> dict[str, dict[str, Any]]:
        return {
            c["email"]: {f"{n}.{k}": orjson.loads(v) if v[:1] == "[" else v for (n, k), v in c["meta"].items()}
            for c in self.customers.values()
        }

    def opt_out(self, email: str) -> None:
        next(c for c in self.customers.values() if c["email"] == email)["state"] = "UNSUBSCRIBED"

    def expire(self) -> Reply | None:
        self.tokens += 1
        return Reply(401, {"errors": "[API] Invalid API key or access token"})

    def authorise(self, request: Request) -> Reply | None:
        if request.path.startswith(("/upload", "/result")):
            demand("x-shopify-access-token" not in request.headers, "storage must not see the token")
            return None
        if request.path == "/admin/oauth/access_token":
            return None
        if request.headers.get("x-shopify-access-token") != f"shpat_{self.tokens}":
            return Reply(401, {"errors": "[API] Invalid API key or access token"})
        return None

    @route("POST", "/admin/oauth/access_token")
    def token(self, request: Request, _match: re.Match[str]) -> Reply:
        demand(request.form["grant_type"] == "client_credentials", "wrong grant")
        if request.form["client_secret"] != "rehearsal-secret":  # noqa: S105 - opens nothing
            return Reply(401, {"error": "invalid_client"})
        return Reply(200, {"access_token": f"shpat_{self.tokens}", "scope": "write_customers", "expires_in": 86_399})

    @route("POST", "/admin/api/2026-07/graphql.json")
    def graphql(self, request: Request, _match: re.Match[str]) -> Reply:
        query, variables = request.json["query"], request.json["variables"]
        if "customerByIdentifier" in query:
            aliases = re.findall(r"(c\d+):customerByIdentifier\(identifier:\{emailAddress:\$(e\d+)\}\)", query)
            demand(aliases, "ask by address")
            return _data({alias: self._by_email(variables[name]) for alias, name in aliases})
        found = MARK.search(query)
        demand(found is not None, "unreadable query")
        operation = found[1] if found else ""
        handler = getattr(self, f"on_{operation}", None)
        demand(handler is not None, f"unknown operation {operation}")
        return _data({operation: handler(variables)}) if handler else Reply(400)

    def _by_email(self, email: str) -> dict[str, str] | None:
        return next(({"id": ident} for ident, c in self.customers.items() if c["email"] == email), None)

    def on_shop(self, _variables: dict[str, Any]) -> Any:
        return {"name": "Rehearsal"}

    def on_metafieldDefinitions(self, variables: dict[str, Any]) -> Any:  # noqa: N802 - the operation's name
        nodes = [
            {"id": f"gid://shopify/MetafieldDefinition/{key}", "key": key, "type": {"name": kind}}
            for (namespace, key), kind in self.definitions.items()
            if namespace == variables["n"]
        ]
        return {"nodes": nodes}

    def on_metafieldDefinitionCreate(self, variables: dict[str, Any]) -> Any:  # noqa: N802 - the operation's name
        asked = variables["d"]
        demand(set(asked) == {"name", "namespace", "key", "ownerType", "type"}, "five keys")
        place = (asked["namespace"], asked["key"])
        if place in self.definitions:
            return {"createdDefinition": None, "userErrors": [{"message": "Key is in use", "code": "TAKEN"}]}
        self.definitions[place] = asked["type"]
        return {"createdDefinition": {"id": f"gid://shopify/MetafieldDefinition/{asked['key']}"}, "userErrors": []}

    def on_metafieldsSet(self, variables: dict[str, Any]) -> Any:  # noqa: N802 - the operation's name
        asked = variables["m"]
        demand(0 < len(asked) <= 25, "one to 25 metafields")
        errors = [
            {"field": ["metafields", str(place)], "message": "wrong", "code": "INVALID_VALUE", "elementIndex": place}
            for place, one in enumerate(asked)
            if self._is_bad(one)
        ]  # fmt: skip
        if errors:
            return {"metafields": None, "userErrors": errors[:1]}
        for one in asked:
            self.customers[one["ownerId"]]["meta"][one["namespace"], one["key"]] = one["value"]
        return {"metafields": [{"id": "gid://shopify/Metafield/1"} for _ in asked], "userErrors": []}

    def _is_bad(self, one: dict[str, Any]) -> bool:
        demand(set(one) == {"ownerId", "namespace", "key", "type", "value"}, "five keys")
        demand(self.definitions.get((one["namespace"], one["key"])) == one["type"], "type differs from the definition")
        demand(isinstance(one["value"], str) and one["value"], "a value is a text")
        demand((one["value"][0] == "[") == one["type"].startswith("list."), "a list is JSON")
        return bool(self.customers[one["ownerId"]]["email"].endswith("@invalid"))

    def on_metafieldsDelete(self, variables: dict[str, Any]) -> Any:  # noqa: N802 - the operation's name
        demand(0 < len(variables["m"]) <= 25, "one to 25 metafields")
        for one in variables["m"]:
            self.customers[one["ownerId"]]["meta"].pop((one["namespace"], one["key"]), None)
        return {"deletedMetafields": [None for _ in variables["m"]], "userErrors": []}

    def on_stagedUploadsCreate(self, variables: dict[str, Any]) -> Any:  # noqa: N802 - the operation's name
        demand(variables["i"][0]["resource"] == "BULK_MUTATION_VARIABLES", "wrong resource")
        parameters = [{"name": "key", "value": f"tmp/{len(self.uploads)}/rs.jsonl"}, {"name": "policy", "value": "p"}]
        return {"stagedTargets": [{"url": f"{self.address}/upload", "parameters": parameters}], "userErrors": []}

    @route("POST", "/upload")
    def upload(self, request: Request, _match: re.Match[str]) -> Reply:
        demand(request.headers["content-type"].startswith("multipart/form-data"), "a form with a file")
        key = re.search(rb'name="key"\r\n\r\n([^\r]+)', request.body)
        file = re.search(
            rb'filename="rs.jsonl"\r\nContent-Type: text/jsonl\r\n\r\n(.*?)\r\n--', request.body, re.DOTALL
        )
        demand(key and file, "key and file are missing")
        if key and file:
            self.uploads[key[1].decode()] = file[1]
        return Reply(201)

    def on_bulkOperationRunMutation(self, variables: dict[str, Any]) -> Any:  # noqa: N802 - the operation's name
        demand("metafieldsSet" in variables["m"], "only metafields are set in bulk")
        lines = [orjson.loads(line) for line in self.uploads[variables["p"]].splitlines()]
        results = [
            {"data": {"metafieldsSet": self.on_metafieldsSet(line)}, "__lineNumber": place}
            for place, line in enumerate(lines)
        ]
        self.operations.append({"results": results, "looks": 0})
        ident = f"gid://shopify/BulkOperation/{len(self.operations) - 1}"
        return {"bulkOperation": {"id": ident, "status": "CREATED"}, "userErrors": []}

    def on_bulkOperation(self, variables: dict[str, Any]) -> Any:  # noqa: N802 - the operation's name
        number = int(variables["id"].rpartition("/")[2])
        operation = self.operations[number]
        operation["looks"] += 1
        if operation["looks"] < 2:
            return {"status": "RUNNING", "errorCode": None, "url": None}
        return {"status": "COMPLETED", "errorCode": None, "url": f"{self.address}/result/{number}"}

    @route("GET", r"/result/(\d+)")
    def result(self, _request: Request, match: re.Match[str]) -> Reply:
        lines = self.operations[int(match[1])]["results"]
        return Reply(200, b"\n".join(map(orjson.dumps, lines[::-1])), {"Content-Type": "application/jsonl"})

    def on_customers(self, variables: dict[str, Any]) -> Any:
        demand(set(variables) == {"q", "after"}, "query and cursor")
        start = int(variables["after"] or 0)
        found = list(self.customers.values())
        nodes = [
            {
                "defaultEmailAddress": {
                    "emailAddress": c["email"],
                    "marketingState": c["state"],
                    "marketingUpdatedAt": None,
                }
            }
            for c in found[start : start + 3]
        ]
        return {"nodes": nodes, "pageInfo": {"hasNextPage": start + 3 < len(found), "endCursor": str(start + 3)}}

    def on_customerRequestDataErasure(self, variables: dict[str, Any]) -> Any:  # noqa: N802 - the operation's name
        demand(variables["id"] in self.customers, "unknown customer")
        return {"customerId": variables["id"], "userErrors": []}


def _data(data: Any) -> Reply:
    state = {"maximumAvailable": 2000, "currentlyAvailable": 1990, "restoreRate": 100}
    cost = {"requestedQueryCost": 10, "actualQueryCost": 10, "throttleStatus": state}
    return Reply(200, {"data": data, "extensions": {"cost": cost}})

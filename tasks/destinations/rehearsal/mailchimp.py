"""A stand-in for one Mailchimp audience."""
# ruff: noqa: PLR2004 - the numbers are the vendor's limits, said where they are demanded

import hashlib
import re
from base64 import b64decode
from typing import Any

from tasks.destinations.rehearsal.fake import Fake, Reply, Request, demand, route

LIST = "/lists/a1b2"


class Mailchimp(Fake):
    """Answers 200 when members fail, refuses any status, and knows only merge fields that were made."""

    slug = "mailchimp"
    secret = "rehearsal-us19"  # noqa: S105 - opens nothing

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.members: dict[str, dict[str, Any]] = {}
        self.fields: dict[str, str] = {}
        self.tags: dict[str, dict[str, Any]] = {}

    def settings(self) -> dict[str, str]:
        return {"base": self.address, "list_id": "a1b2"}

    def seed(self, people: list[dict[str, Any]]) -> None:
        for person in people:
            email = person["email"].replace("invalid@example.com", "someone@invalid")
            self.members[email] = {"status": "subscribed", "merge_fields": {}}

    def people(self) -> dict[str, dict[str, Any]]:
        found = {}
        for email, member in self.members.items():
            values = {k: v for k, v in member["merge_fields"].items() if v != ""}
            lists = {tag["name"].removeprefix("rs:") for tag in self.tags.values() if email in tag["members"]}
            found[email] = values | {"lists": lists}
        return found

    def opt_out(self, email: str) -> None:
        self.members[email]["status"] = "unsubscribed"

    def authorise(self, request: Request) -> Reply | None:
        scheme, _, said = request.headers.get("authorization", "").partition(" ")
        if scheme != "Basic" or b64decode(said).decode().partition(":")[2] != self.secret:
            return Reply(401, {"title": "API Key Invalid", "status": 401, "detail": "Your API key may be invalid"})
        return None

    @route("GET", f"{LIST}/members")
    def list_members(self, request: Request, _match: re.Match[str]) -> Reply:
        demand(int(request.query["count"]) <= 1000, "count is at most 1000")
        wanted = request.query.get("status")
        found = [
            {"email_address": email, "status": member["status"]}
            for email, member in sorted(self.members.items())
            if wanted in {None, member["status"]}
        ]
        offset = int(request.query.get("offset", "0"))
        page = found[offset : offset + int(request.query["count"])]
        return Reply(200, {"members": page, "total_items": len(found)})

    @route("GET", f"{LIST}/merge-fields")
    def list_fields(self, _request: Request, _match: re.Match[str]) -> Reply:
        return Reply(200, {"merge_fields": [{"tag": tag, "type": kind} for tag, kind in self.fields.items()]})

    @route("POST", f"{LIST}/merge-fields")
    def create_field(self, request: Request, _match: re.Match[str]) -> Reply:
        body = request.json
        demand(re.fullmatch(r"[A-Z0-9]{1,10}", body["tag"]), "tags are up to ten capital letters")
        demand(body["public"] is False and body["required"] is False, "not on the sign-up form")
        if body["tag"] in self.fields:
            return _problem("A Merge Field with the tag already exists for this list.")
        self.fields[body["tag"]] = body["type"]
        return Reply(200, {"merge_id": len(self.fields), **body})

    @route("GET", f"{LIST}/segments")
    def list_segments(self, request: Request, _match: re.Match[str]) -> Reply:
        demand(request.query["type"] == "static", "only static segments")
        return Reply(200, {"segments": [{"id": int(i), "name": tag["name"]} for i, tag in self.tags.items()]})

    @route("POST", f"{LIST}/segments")
    def create_segment(self, request: Request, _match: re.Match[str]) -> Reply:
        name = request.json["name"]
        demand(request.json["static_segment"] == [], "a static segment begins empty")
        if any(tag["name"] == name for tag in self.tags.values()):
            return _problem("Sorry, that tag already exists.")
        self.tags[str(76 + len(self.tags))] = {"name": name, "members": set()}
        return Reply(200, {"id": 75 + len(self.tags), "name": name, "type": "static"})

    @route("POST", rf"{LIST}/segments/(\d+)")
    def tag(self, request: Request, match: re.Match[str]) -> Reply:
        add, remove = request.json["members_to_add"], request.json["members_to_remove"]
        demand(max(len(add), len(remove)) <= 500, "at most 500 members")
        held = self.tags[match[1]]["members"]
        held |= {email for email in add if email in self.members}
        held -= set(remove)
        return Reply(200, {"members_added": [], "members_removed": [], "errors": [], "error_count": 0})

    @route("POST", LIST)
    def write(self, request: Request, _match: re.Match[str]) -> Reply:
        body = request.json
        demand(body["update_existing"] is True and body["sync_tags"] is False, "members are updated, tags stay")
        demand(0 < len(body["members"]) <= 500, "one to 500 members")
        errors = []
        for one in body["members"]:
            demand(set(one) == {"email_address", "merge_fields"}, "no status is ever sent")
            unknown = sorted(set(one["merge_fields"]) - set(self.fields))
            demand(not unknown, f"merge fields {unknown} do not exist")
            email = one["email_address"]
            demand(email in self.members, "a new address in the batch")
            if email.endswith("@invalid"):
                errors.append(
                    {"email_address": email, "error": f"{email} looks fake or invalid", "error_code": "ERROR_GENERIC"}
                )
                continue
            self.members[email]["merge_fields"].update(one["merge_fields"])
        return Reply(200, {"new_members": [], "updated_members": [], "errors": errors, "error_count": len(errors)})

    @route("POST", rf"{LIST}/members/(\w+)/actions/delete-permanent")
    def erase(self, _request: Request, match: re.Match[str]) -> Reply:
        for email in list(self.members):
            if hashlib.md5(email.encode(), usedforsecurity=False).hexdigest() == match[1]:
                del self.members[email]
                return Reply(204)
        return Reply(404, {"title": "Resource Not Found", "status": 404})


def _problem(detail: str) -> Reply:
    return Reply(400, {"title": "Bad Request", "status": 400, "detail": detail})

"""A stand-in for Klaviyo's profiles, import jobs and privacy jobs."""

import re
from typing import Any

from tasks.destinations.rehearsal.fake import SOME_TIME, Fake, Reply, Request, demand, route

ROWS, BYTES, ROW_BYTES = 10_000, 5_000_000, 100_000
_CONTACT = {"default_sender_name": "Shop", "default_sender_email": "shop@example.com", "organization_name": "Shop",
            "street_address": {}}  # fmt: skip


class Klaviyo(Fake):
    """Refuses calls without the revision, other content types, and jobs that are too big; jobs take two looks."""

    slug = "klaviyo"
    secret = "pk_rehearsal"  # noqa: S105 - opens nothing
    media = "application/vnd.api+json"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.profiles: dict[str, dict[str, Any]] = {}
        self.suppressed: dict[str, dict[str, str]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}

    def people(self) -> dict[str, dict[str, Any]]:
        return {key: {k: v for k, v in values.items() if v is not None} for key, values in self.profiles.items()}

    def opt_out(self, email: str) -> None:
        self.suppressed[email] = {"reason": "UNSUBSCRIBE", "timestamp": SOME_TIME}

    def authorise(self, request: Request) -> Reply | None:
        if request.headers.get("authorization") != f"Klaviyo-API-Key {self.secret}":
            return Reply(401, {"errors": [{"status": 401, "code": "not_authenticated", "detail": "bad key"}]})
        demand(request.headers.get("revision") == "2026-07-15", "the revision is missing")
        demand(request.headers.get("accept") == "application/vnd.api+json", "accept is wrong")
        if request.body:
            demand(request.headers.get("content-type") == "application/vnd.api+json", "content type is wrong")
        return None

    @route("GET", "/api/accounts")
    def accounts(self, _request: Request, _match: re.Match[str]) -> Reply:
        attributes = {
            "test_account": True, "contact_information": _CONTACT, "timezone": "Europe/London",
            "preferred_currency": "GBP", "public_api_key": "AbC123", "locale": "en-GB",
        }  # fmt: skip
        account = {"type": "account", "id": "AbC123", "attributes": attributes, "links": self._links("accounts/AbC123")}
        return Reply(200, {"data": [account], "links": self._links("accounts")})

    @route("POST", "/api/profile-bulk-import-jobs")
    def start(self, request: Request, _match: re.Match[str]) -> Reply:
        data = request.json["data"]
        demand(data["type"] == "profile-bulk-import-job", "wrong type")
        demand(set(data) == {"type", "attributes"} and set(data["attributes"]) == {"profiles"}, "unknown keys")
        profiles = data["attributes"]["profiles"]["data"]
        demand(0 < len(profiles) <= ROWS and len(request.body) <= BYTES, "the job is too big")
        errors = []
        for profile in profiles:
            demand(profile["type"] == "profile", "wrong type")
            attributes = profile["attributes"]
            demand(set(attributes) == {"email", "properties"}, "a profile has one key and properties")
            if attributes["email"].endswith("@invalid"):
                words = {"code": "invalid", "title": "Invalid input", "detail": "Invalid email address"}
                errors.append({**words, "source": {"pointer": "/data"}, "original_payload": attributes})
                continue
            held = self.profiles.setdefault(attributes["email"].lower(), {})
            held.update(attributes["properties"])
        job = f"job-{len(self.jobs) + 1}"
        self.jobs[job] = {"errors": errors, "total": len(profiles), "looks": 0}
        return Reply(202, {"data": self._job(job, "queued")})

    @route("GET", r"/api/profile-bulk-import-jobs/([\w-]+)")
    def status(self, _request: Request, match: re.Match[str]) -> Reply:
        job = self.jobs[match[1]]
        job["looks"] += 1
        done = {"completed_count": job["total"] - len(job["errors"]), "failed_count": len(job["errors"])}
        status = "complete" if job["looks"] > 1 else "processing"
        return Reply(200, {"data": self._job(match[1], status, **done)})

    def _job(self, job: str, status: str, **done: int) -> dict[str, Any]:
        attributes = {"status": status, "created_at": SOME_TIME, "total_count": self.jobs[job]["total"], **done}
        links = self._links(f"profile-bulk-import-jobs/{job}")
        return {"type": "profile-bulk-import-job", "id": job, "attributes": attributes, "links": links}

    def _links(self, path: str) -> dict[str, str]:
        return {"self": f"{self.address}/api/{path}"}

    @route("GET", r"/api/profile-bulk-import-jobs/([\w-]+)/import-errors")
    def errors(self, _request: Request, match: re.Match[str]) -> Reply:
        found = [{"type": "import-error", "attributes": one} for one in self.jobs[match[1]]["errors"]]
        return Reply(200, {"data": found, "links": {"next": None}})

    @route("GET", "/api/profiles")
    def list_profiles(self, request: Request, _match: re.Match[str]) -> Reply:
        demand(request.query["additional-fields[profile]"] == "subscriptions", "subscriptions must be asked for")
        demand("suppression.timestamp" in request.query["filter"], "filter by suppression")
        offset = int(request.query.get("page[cursor]", "0"))
        emails = sorted(self.suppressed)
        page = [
            {"type": "profile", "id": email, "attributes": {"email": email, "subscriptions": {"email": {"marketing": {
                "consent": "UNSUBSCRIBED", "suppression": [self.suppressed[email]]}}}}}
            for email in emails[offset : offset + 100]
        ]  # fmt: skip
        return Reply(200, {"data": page, "links": {"next": None}})

    @route("POST", "/api/data-privacy-deletion-jobs")
    def erase(self, request: Request, _match: re.Match[str]) -> Reply:
        profile = request.json["data"]["attributes"]["profile"]["data"]
        demand(profile["type"] == "profile" and len(profile["attributes"]) == 1, "exactly one key")
        self.profiles.pop(profile["attributes"]["email"].lower(), None)
        return Reply(202)

"""Stand-ins for sources: strict about what they are asked, with a clock of changes and faults on demand."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta

from tasks.destinations.rehearsal.fake import Fake, Reply, Request, demand, route
from tasks.intake.sources import shopify

START = datetime(2026, 3, 1, tzinfo=UTC)


def stamp(number):
    """When thing ``number`` last changed: one a minute."""
    return START + timedelta(minutes=number)


def zulu(at):
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


class ShopifyShop(Fake):
    """Orders behind the Admin GraphQL API; knows exactly the queries it is meant to be asked."""

    slug, secret = "shopify", json.dumps({"client_id": "id", "client_secret": "hush-hush"})

    def __init__(self, weather=None, orders=230):
        super().__init__(weather)
        self.orders = [self.order(number) for number in range(orders)]
        self.tokens, self.operations = 0, 0

    def order(self, number):
        money = {"shopMoney": {"amount": "10.00"}}
        line = {
            "id": f"gid://shopify/LineItem/{number}", "sku": f"sku-{number % 7}", "quantity": 2, "currentQuantity": 2,
            "product": None, "originalUnitPriceSet": money,
            "discountedUnitPriceAfterAllDiscountsSet": {"shopMoney": {"amount": "9.00"}},
        }  # fmt: skip
        return {
            "id": f"gid://shopify/Order/{number}", "email": f"c{number}@example.com", "phone": None,
            "createdAt": zulu(stamp(number)), "updatedAt": zulu(stamp(number)), "processedAt": zulu(stamp(number)),
            "cancelledAt": None, "test": False, "currencyCode": "GBP", "customer": {"id": f"gid://shopify/Customer/{number}"},
            "lineItems": {"nodes": [line], "pageInfo": {"hasNextPage": number == 3, "endCursor": "line"}},
        }  # fmt: skip

    def authorise(self, request: Request):
        if request.path == "/admin/oauth/access_token" or request.path.startswith("/bulk/"):
            return None
        fresh = request.headers.get("x-shopify-access-token") == f"shpat_{self.tokens}"
        return None if fresh else Reply(401, {"errors": "[API] Invalid API key or access token"})

    def expire(self):
        self.tokens += 1
        return Reply(401, {"errors": "[API] Invalid API key or access token"})

    @route("POST", "/admin/oauth/access_token")
    def grant(self, request, _match):
        wanted = {"grant_type": "client_credentials", "client_id": "id", "client_secret": "hush-hush"}
        demand(request.form == wanted, "not the client credentials grant")
        return Reply(200, {"access_token": f"shpat_{self.tokens}", "scope": "read_orders", "expires_in": 86399})

    @route("POST", f"/admin/api/{re.escape(shopify.API_VERSION)}/graphql.json")
    def graphql(self, request, _match):
        demand(set(request.json) == {"query", "variables"}, "not a GraphQL request")
        query, told = request.json["query"], request.json["variables"]
        demand(query in shopify.QUERIES, "an unknown query")
        if "bulkOperationRunQuery" in query:
            demand(told == {"query": shopify._ALL["orders"]}, "another bulk query")
            self.operations += 1
            return self.data(bulkOperationRunQuery={"bulkOperation": {"id": "gid://bulk/1"}, "userErrors": []})
        if "bulkOperation(" in query:
            url = f"{self.address}/bulk/1.jsonl"
            return self.data(bulkOperation={"status": "COMPLETED", "errorCode": None, "url": url})
        if "order(id" in query:
            demand(told == {"id": "gid://shopify/Order/3", "after": "line"}, "another order's lines")
            last = {
                "nodes": self.orders[3]["lineItems"]["nodes"],
                "pageInfo": {"hasNextPage": False, "endCursor": None},
            }
            return self.data(order={"lineItems": last})
        if "shop{" in query:
            return self.data(shop={"name": "Fig & Olive"})
        return self.page(told)

    def page(self, told):
        demand(told["first"] == 100, "another page size")
        since, until = re.fullmatch(r"updated_at:>='(.*)' AND updated_at:<'(.*)'", told["query"]).groups()
        found = [order for order in self.orders if since <= order["updatedAt"] < until]
        begin = int(told["after"] or 0)
        end = begin + told["first"]
        info = {"hasNextPage": end < len(found), "endCursor": str(end)}
        return self.data(orders={"nodes": found[begin:end], "pageInfo": info})

    @route("GET", "/bulk/1.jsonl")
    def file(self, _request, _match):
        lines = []
        for order in self.orders:
            lines.append({name: value for name, value in order.items() if name != "lineItems"})
            lines += [{**line, "__parentId": order["id"]} for line in order["lineItems"]["nodes"]]
        return Reply(200, "\n".join(map(json.dumps, lines)).encode())

    def data(self, **parts):
        return Reply(200, {"data": parts})

    def options(self):
        return {"address": self.address}

    def change(self, number):
        self.orders[number]["updatedAt"] = zulu(stamp(10_000))

    ids = property(lambda self: {f"shopify-{order['id'].rsplit('/', 1)[1]}" for order in self.orders})


class WooShop(Fake):
    """Orders behind wc/v3; pages by number, sorted by id."""

    slug, secret = "woocommerce", "ck_key:cs_hush-hush"

    def __init__(self, weather=None, orders=230):
        super().__init__(weather)
        self.orders = [
            {
                "id": number, "status": "completed", "currency": "GBP", "customer_id": number + 1,
                "date_created_gmt": zulu(stamp(number))[:-1], "date_modified_gmt": zulu(stamp(number))[:-1],
                "billing": {"email": f"c{number}@example.com", "phone": ""}, "refunds": [],
                "line_items": [{"id": 1, "product_id": 5, "sku": "", "quantity": 1, "subtotal": "10", "total": "9"}],
            }
            for number in range(orders)
        ]  # fmt: skip

    def authorise(self, request):
        key = base64.b64encode(self.secret.encode()).decode()
        return None if request.headers.get("authorization") == f"Basic {key}" else Reply(401, {"code": "cannot_view"})

    @route("GET", "/wp-json/wc/v3/orders")
    def list_orders(self, request, _match):
        asked = dict(request.query)
        if asked == {"per_page": "1"}:
            return Reply(200, self.orders[:1])
        page, since, until = int(asked.pop("page")), asked.pop("modified_after", ""), asked.pop("modified_before")
        fixed = {"per_page": "100", "orderby": "id", "order": "asc", "dates_are_gmt": "true", "status": "any"}
        demand(asked == fixed, f"other parameters {asked}")
        found = [one for one in self.orders if since <= one["date_modified_gmt"] < until]
        pages = max(1, -(-len(found) // 100))
        headers = {"X-WP-Total": str(len(found)), "X-WP-TotalPages": str(pages)}
        return Reply(200, found[(page - 1) * 100 : page * 100], headers)

    def options(self):
        return {"address": self.address}

    def change(self, number):
        self.orders[number]["date_modified_gmt"] = zulu(stamp(10_000))[:-1]

    ids = property(lambda self: {f"woocommerce-{one['id']}" for one in self.orders})


class SalesforceOrg(Fake):
    """Contacts behind SOQL, 100 records a page."""

    slug, secret = "salesforce", json.dumps({"client_id": "id", "client_secret": "hush-hush"})

    def __init__(self, weather=None, people=230):
        super().__init__(weather)
        self.tokens = 0
        self.contacts = [
            {
                "Id": f"003{number}", "Email": f"c{number}@example.com", "Phone": None, "FirstName": "A",
                "LastName": "B", "MailingPostalCode": "N1", "HasOptedOutOfEmail": number % 10 == 0,
                "CreatedDate": self.time(number), "SystemModstamp": self.time(number),
            }
            for number in range(people)
        ]  # fmt: skip

    @staticmethod
    def time(number):
        return stamp(number).strftime("%Y-%m-%dT%H:%M:%S.000+0000")

    def authorise(self, request):
        if request.path == "/services/oauth2/token":
            return None
        fresh = request.headers.get("authorization") == f"Bearer t{self.tokens}"
        return None if fresh else Reply(401, [{"errorCode": "INVALID_SESSION_ID"}])

    def expire(self):
        self.tokens += 1
        return Reply(401, [{"errorCode": "INVALID_SESSION_ID"}])

    @route("POST", "/services/oauth2/token")
    def grant(self, request, _match):
        wanted = {"grant_type": "client_credentials", "client_id": "id", "client_secret": "hush-hush"}
        demand(request.form == wanted, "not the client credentials flow")
        return Reply(200, {"access_token": f"t{self.tokens}", "instance_url": self.address, "token_type": "Bearer"})

    @route("GET", "/services/data/v67.0/query")
    def query(self, request, _match):
        demand(set(request.query) == {"q"}, "one question")
        if request.query["q"] == "SELECT Id FROM Contact LIMIT 1":
            return Reply(200, {"records": self.contacts[:1], "done": True})
        pattern = (
            r"SELECT Id, Email, Phone, FirstName, LastName, MailingPostalCode, HasOptedOutOfEmail, CreatedDate, "
            r"SystemModstamp FROM Contact WHERE (?:SystemModstamp >= (\S+) AND )?SystemModstamp < (\S+) "
            r"ORDER BY SystemModstamp, Id"
        )
        since, until = re.fullmatch(pattern, request.query["q"]).groups()
        return self.page(since or "", until, 0)

    @route("GET", r"/services/data/v67.0/query/(.*)_(.*)_(\d+)")
    def more(self, _request, match):
        return self.page(match[1], match[2], int(match[3]))

    def page(self, since, until, begin):
        found = sorted(
            (one for one in self.contacts if since[:19] <= one["SystemModstamp"][:19] < until[:19]),
            key=lambda one: one["SystemModstamp"],
        )
        end = begin + 100
        more = {} if end >= len(found) else {"nextRecordsUrl": f"/services/data/v67.0/query/{since}_{until}_{end}"}
        return Reply(200, {"records": found[begin:end], "done": not more, **more})

    def options(self):
        return {"address": self.address}

    def change(self, number):
        self.contacts[number]["SystemModstamp"] = self.time(10_000)

    ids = property(lambda self: {one["Id"] for one in self.contacts})


class HubSpotPortal(Fake):
    """Contacts behind list and search."""

    slug, secret = "hubspot", "pat-hush-hush"

    def __init__(self, weather=None, people=230):
        super().__init__(weather)
        self.contacts = [
            {
                "id": str(number),
                "properties": {
                    "email": f"c{number}@example.com", "phone": None, "firstname": "A", "lastname": "B", "zip": None,
                    "createdate": zulu(stamp(number)), "lastmodifieddate": zulu(stamp(number)),
                    "hs_email_optout": "true" if number % 10 == 0 else None,
                },
            }
            for number in range(people)
        ]  # fmt: skip

    def authorise(self, request):
        return None if request.headers.get("authorization") == f"Bearer {self.secret}" else Reply(401, {})

    @route("GET", "/crm/v3/objects/contacts")
    def list_contacts(self, request, _match):
        if dict(request.query) == {"limit": "1"}:
            return Reply(200, {"results": self.contacts[:1]})
        asked = dict(request.query)
        begin = int(asked.pop("after", "0"))
        demand(asked.pop("properties").split(",") == list(self.contacts[0]["properties"]), "other properties")
        demand(asked == {"limit": "100"}, "another page size")
        return self.page(self.contacts, begin)

    @route("POST", "/crm/v3/objects/contacts/search")
    def search(self, request, _match):
        asked = request.json
        (group,) = asked["filterGroups"]
        since, until = (int(one["value"]) for one in group["filters"])
        demand([one["operator"] for one in group["filters"]] == ["GTE", "LT"], "another window")
        demand(asked["sorts"] == [{"propertyName": "lastmodifieddate", "direction": "ASCENDING"}], "another order")
        found = [one for one in self.contacts if since <= self.changed(one) < until]
        return self.page(sorted(found, key=self.changed), int(asked.get("after", "0")))

    @staticmethod
    def changed(contact):
        return int(datetime.fromisoformat(contact["properties"]["lastmodifieddate"]).timestamp() * 1000)

    def page(self, found, begin):
        end = begin + 100
        more = {"paging": {"next": {"after": str(end)}}} if end < len(found) else {}
        return Reply(200, {"results": found[begin:end], **more})

    def options(self):
        return {"address": self.address}

    def change(self, number):
        self.contacts[number]["properties"]["lastmodifieddate"] = zulu(stamp(10_000))

    ids = property(lambda self: {one["id"] for one in self.contacts})


STAND_INS = (ShopifyShop, WooShop, SalesforceOrg, HubSpotPortal)

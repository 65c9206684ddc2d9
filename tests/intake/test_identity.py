"""Records that share a card, an address or a number are one customer; ids once given stay."""

from datetime import date, datetime, timedelta

from tests.intake.conftest import AS_OF, TILL, WRITTEN

CRM = {
    "name": "crm",
    "dataset": "customers",
    "files": "crm/*.ndjson",
    "columns": {
        "customer_id": "no",
        "email": "mail",
        "phone": "tel",
        "loyalty_id": "card",
        "first_name": "name",
        "updated_at": "changed",
    },
}
SHOP = {**CRM, "name": "shop", "dataset": "contacts", "files": "shop/*.ndjson", "id_space": "shop"}
LATER = WRITTEN + timedelta(days=1)
NEXT_DAY = date(2024, 6, 2)


def _person(no: str | None, **known: str) -> dict[str, str | None]:
    return {"no": no, "mail": None, "tel": None, "card": None, "name": None, "changed": None, **known}


def test_ana_is_found_by_address_card_and_number(shop):
    shop.write("crm/1.ndjson", [_person("1", mail="ana@example.com", tel="020 7946 0001", name="Ana")])
    shop.write("shop/1.ndjson", [_person("77", mail=" ANA@example.com", card="L1"), _person("78", tel="+442079460001")])
    shop.write("shop/2.ndjson", [_person("79", card="L1")])
    shop.take(shop.config(CRM, SHOP, country="GB"))
    assert shop.rows("identity", "customer_key, customer_id, matched_on") == [
        ("main:1", "1", "own id"),
        ("shop:77", "1", "loyalty_id"),
        ("shop:78", "1", "phone"),
        ("shop:79", "1", "loyalty_id"),
    ]
    assert shop.rows("customers", "customer_id, loyalty_id, first_name, sources") == [
        ("1", "L1", "Ana", ["crm", "shop"])
    ]


def test_a_number_of_the_shop_itself_joins_nobody(shop):
    people = [_person(str(number), tel="020 7946 0999", mail=f"p{number}@example.com") for number in range(9)]
    shop.write("crm/1.ndjson", people)
    shop.take(shop.config(CRM, country="GB"))
    assert len(shop.rows("customers", "customer_id")) == 9


def test_what_is_no_address_or_number_joins_nobody(shop):
    shop.write("crm/1.ndjson", [_person("1", mail="none", tel="0"), _person("2", mail="none", tel="0")])
    shop.take(shop.config(CRM, country="GB"))
    assert shop.rows("customers", "customer_id, email, phone") == [("1", None, None), ("2", None, None)]


def test_the_id_known_first_stays_and_all_facts_follow(shop, sale):
    web = {**TILL, "name": "web", "channel": "web", "files": "web/*.parquet", "id_space": "shop"}
    sessions = {
        "dataset": "sessions",
        "files": "visits/*.ndjson",
        "id_space": "shop",
        "columns": {"session_id": "id", "customer_id": "who", "started_at": "at"},
    }
    shop.write("web/1.parquet", [sale(card="77", receipt="W1")])
    shop.write("visits/1.ndjson", [{"id": "v1", "who": "77", "at": "2024-05-21T10:00:00Z"}])
    config = shop.config(web, sessions, {**TILL, "files": "till/*.parquet"}, CRM, SHOP, buckets=64)
    shop.take(config)
    assert shop.rows("customers", "customer_id") == [("shop:77",)]
    shop.write("till/1.parquet", [sale(card="1", receipt="T1", sku="jam")], LATER)
    shop.write("crm/1.ndjson", [_person("1", mail="ana@example.com")], LATER)
    shop.write("shop/1.ndjson", [_person("77", mail="ana@example.com")], LATER)
    shop.take(config, NEXT_DAY)
    assert shop.rows("customers", "customer_id") == [("shop:77",)]
    assert shop.rows("orders", "order_id, customer_id") == [("T1", "shop:77"), ("W1", "shop:77")]
    assert shop.rows("order_lines", "order_id, customer_id, customer_key") == [
        ("T1", "shop:77", "main:1"),
        ("W1", "shop:77", "shop:77"),
    ]
    assert shop.rows("sessions", "customer_id") == [("shop:77",)]
    assert {bucket for (bucket,) in shop.rows("order_lines", "bucket")} == {
        bucket for (bucket,) in shop.rows("orders", "bucket")
    }


def test_customers_that_merge_keep_their_orders_and_totals(shop, sale):
    shop.write("till/1.parquet", [sale(card="1"), sale(card="2", receipt="R2", paid=4.0)])
    config = shop.config({**TILL, "files": "till/*.parquet"}, CRM, buckets=64)
    shop.take(config)
    assert shop.rows("category_totals", "customer_id, amount") == [("1", 3.5), ("2", 4)]
    shop.write("crm/1.ndjson", [_person("1", card="L1"), _person("2", card="L1")], LATER)
    shop.take(config, NEXT_DAY)
    assert shop.rows("category_totals", "customer_id, lines, amount") == [("1", 2, 7.5)]
    assert shop.rows("orders", "order_id, customer_id, amount") == [("R1", "1", 3.5), ("R2", "1", 4)]


def test_a_key_that_turns_out_to_be_shared_by_many_parts_customers_again(shop, sale):
    shop.write("crm/1.ndjson", [_person("1", tel="020 7946 0999"), _person("2", tel="020 7946 0999")])
    shop.write("till/1.parquet", [sale(card="2")])
    config = shop.config(CRM, {**TILL, "files": "till/*.parquet"}, country="GB", identity={"max_records_per_key": 2})
    shop.take(config)
    assert shop.rows("orders", "customer_id") == [("1",)]
    shop.write("crm/2.ndjson", [_person("3", tel="020 7946 0999")], LATER)
    shop.take(config, NEXT_DAY)
    assert shop.rows("customers", "customer_id") == [("1",), ("2",), ("3",)]
    assert shop.rows("orders", "customer_id") == [("2",)]


def test_the_newest_word_counts_field_by_field(shop):
    shop.write("crm/1.ndjson", [_person("1", name="Anna", mail="old@example.com", changed="2024-01-01T00:00:00Z")])
    shop.write("shop/1.ndjson", [_person(None, mail="old@example.com", name="Ana", changed="2024-03-01T00:00:00Z")])
    config = shop.config(CRM, SHOP)
    shop.take(config)
    assert shop.rows("customers", "first_name, email") == [("Ana", "old@example.com")]
    older = _person("1", name="A.", mail="older@example.com", changed="2023-01-01T00:00:00Z")
    shop.write("crm/2.ndjson", [older], LATER)
    report = shop.take(config, NEXT_DAY)
    assert report.sums.rows_duplicate == 1
    assert shop.rows("customers", "first_name, email") == [("Ana", "old@example.com")]


def test_no_id_spells_out_an_address(shop):
    shop.write("shop/1.ndjson", [_person(None, mail="finn@example.com")])
    shop.take(shop.config(SHOP))
    ((customer, email),) = shop.rows("customers", "customer_id, email")
    assert email == "finn@example.com"
    assert "finn" not in customer


def test_a_plain_id_is_never_mistaken_for_one_of_another_id_space(shop):
    shop.write("crm/1.ndjson", [_person("shop:77")])
    shop.write("shop/1.ndjson", [_person("77")])
    shop.take(shop.config(CRM, SHOP))
    assert shop.rows("customers", "customer_id") == [("main:shop:77",), ("shop:77",)]


def test_created_at_is_the_first_sign_of_life(shop, sale):
    shop.write("crm/1.ndjson", [_person("ana", changed="2024-05-25T00:00:00Z")])
    shop.write("till/1.parquet", [sale()])
    shop.take(shop.config(CRM, {**TILL, "files": "till/*.parquet"}), AS_OF)
    ((created,),) = shop.rows("customers", "created_at")
    assert created.replace(tzinfo=None) == datetime.fromisoformat("2024-05-20T09:00")

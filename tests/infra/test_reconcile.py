"""A difference is found, said in words, and never shows a secret."""

from infra.reconcile import Item, changes


def item(wanted, present, *, secret=False):
    return Item("limit", "crm", wanted, present, lambda: None, secret=secret)


def test_equal_objects_need_no_change():
    assert changes([item({"limit": 3}, {"limit": 3}), item(None, None)]) == []


def test_what_is_missing_is_created_and_what_nobody_wants_is_deleted():
    assert [str(change) for change in changes([item({"limit": 3}, None), item(None, {"limit": 3})])] == [
        "+ limit crm",
        "- limit crm",
    ]


def test_a_difference_names_its_place_and_both_values():
    [change] = changes([item({"job": {"cpu": 2, "env": {"A": "1"}}}, {"job": {"cpu": 1, "env": {}}})])
    assert str(change) == "~ limit crm\n    job.cpu: 1 → 2\n    job.env.A: None → '1'"


def test_the_values_of_a_secret_object_are_not_shown():
    [change] = changes([item({"key": "new-secret"}, {"key": "old-secret"}, secret=True)])
    assert str(change) == "~ limit crm\n    key: changed (not shown)"


def test_changes_keep_the_order_of_the_items():
    first, second = item({"a": 1}, None), item({"b": 1}, None)
    assert [change.item for change in changes([first, second])] == [first, second]

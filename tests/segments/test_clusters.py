"""Clusters say something about the next period, come out again, keep their numbers, or are refused."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from tasks.config import ClusterSettings
from tasks.segments.behaviour import Behaviour, measure
from tasks.segments.candidates import explained
from tasks.segments.cluster_tables import customer_clusters, review_rows, solution_in_use, solution_rows
from tasks.segments.clusters import Choice, Solution, choose_clusters, due_for_review
from tasks.segments.stability import agreement, drift, match_clusters, number_clusters, weekly_stability

AS_OF = date(2026, 6, 1)
FEW = ClusterSettings(smallest=4, largest=5)


def shoppers(customers: int = 500, seed: int = 1, *, shift: float = 0.0) -> pd.DataFrame:
    """Customers with a steady rate and basket each, some of whom have left; the next quarter follows from both."""
    random = np.random.default_rng(seed)
    rate = random.gamma(1.2, 10.0, customers) * (1 + shift)
    basket = random.lognormal(3.2, 0.5, customers)
    left = random.random(customers) < 0.15
    recent = np.where(left, 0, random.poisson(rate))
    year = recent + random.poisson(rate * 3)
    year[year == 0] = 1
    recency = np.where(left, random.integers(95, 300, customers), random.integers(1, 90, customers))
    return pd.DataFrame(
        {
            "customer_id": [f"c{number:05}" for number in range(customers)],
            "recency_days": recency,
            "orders": year,
            "monetary": year * basket,
            "days_since_first_order": 365,
            "gap_ratio": recency / (365 / year),
            "average_order_value": basket,
            "spend_30d": recent / 3 * basket,
            "spend_90d": recent * basket,
            "spend_365d": year * basket,
            "orders_30d": recent // 3,
            "orders_90d": recent,
            "orders_365d": year,
            "next_spend": np.where(left, 0, random.poisson(rate)) * basket,
        }
    )


def today_of(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="next_spend")


@pytest.fixture(scope="module")
def people() -> tuple[Behaviour, Behaviour]:
    return measure(shoppers(seed=1)), measure(today_of(shoppers(seed=2)))


@pytest.fixture(scope="module")
def chosen(people: tuple[Behaviour, Behaviour]) -> Choice:
    return choose_clusters(*people, FEW, AS_OF)


def in_use(choice: Choice) -> Solution:
    assert choice.solution is not None
    return choice.solution


def test_the_chosen_clusters_explain_more_of_the_next_period_than_equal_groups_by_past_spend(chosen: Choice) -> None:
    best = next(review for review in chosen.reviews if review.chosen)
    assert best.eta_squared is not None
    assert best.rival_eta_squared is not None
    assert best.eta_squared > best.rival_eta_squared
    assert best.smallest_share >= FEW.smallest_share
    assert best.stability is not None
    assert best.stability >= FEW.min_stability
    assert sum(review.chosen for review in chosen.reviews) == 1


def test_every_method_is_tried_and_every_candidate_gets_a_verdict(chosen: Choice) -> None:
    assert {r.method for r in chosen.reviews} == {"kmeans", "mixture", "hierarchical", "tree", "bands", "grid"}
    assert all(review.verdict for review in chosen.reviews)


def test_names_differ_and_tell_the_order_of_spend(chosen: Choice, people: tuple[Behaviour, Behaviour]) -> None:
    solution = in_use(chosen)
    assert len(set(solution.labels)) == len(solution.labels)
    spend = people[1].column("recent_spend")
    placed = solution.place(people[1])
    means = {number: spend[placed == number].mean() for number in solution.numbers}
    top = max(means, key=lambda number: means[number])
    assert solution.labels[solution.numbers.index(top)].startswith("Top spend")


def test_the_same_input_gives_the_same_clusters(chosen: Choice, people: tuple[Behaviour, Behaviour]) -> None:
    assert choose_clusters(*people, FEW, AS_OF) == chosen


def test_the_order_of_rows_does_not_matter(chosen: Choice) -> None:
    history, today = shoppers(seed=1).sample(frac=1, random_state=3), shoppers(seed=2).sample(frac=1, random_state=4)
    assert choose_clusters(measure(history), measure(today_of(today)), FEW, AS_OF) == chosen


def test_numbers_and_names_survive_a_refit_on_slightly_other_customers(chosen: Choice) -> None:
    solution = in_use(chosen)
    later = measure(today_of(shoppers(seed=2, shift=0.02)))
    worn = solution.model_copy(update={"stability": 0.0})  # no longer good enough: forces a new choice
    again = choose_clusters(measure(shoppers(seed=5)), later, FEW, AS_OF + timedelta(days=7), in_use=worn)
    assert again.replaced
    fresh = in_use(again)
    kept = set(fresh.numbers) & set(solution.numbers)
    assert len(kept) >= len(solution.numbers) - 1
    for number in kept:
        assert fresh.labels[fresh.numbers.index(number)] == solution.labels[solution.numbers.index(number)]
    assert np.mean(fresh.place(later) == solution.place(later)) > 0.7


def test_good_clusters_stay_until_others_are_clearly_better(
    chosen: Choice, people: tuple[Behaviour, Behaviour]
) -> None:
    again = choose_clusters(*people, FEW, AS_OF + timedelta(days=7), in_use=in_use(chosen))
    assert not again.replaced
    assert again.solution == chosen.solution


def test_the_last_good_clusters_stay_when_the_gate_refuses_all(
    chosen: Choice, people: tuple[Behaviour, Behaviour]
) -> None:
    strict = FEW.model_copy(update={"smallest_share": 0.4})
    refused = choose_clusters(*people, strict, AS_OF, in_use=in_use(chosen))
    assert refused.solution == chosen.solution
    assert not refused.replaced
    assert all(review.verdict.startswith("refused") for review in refused.reviews)
    assert choose_clusters(*people, strict, AS_OF).solution is None


def test_spend_without_any_pattern_gets_no_clusters() -> None:
    noise = shoppers(400)
    noise["next_spend"] = np.random.default_rng(9).permutation(noise["next_spend"].to_numpy())
    choice = choose_clusters(measure(noise), measure(today_of(noise)), FEW, AS_OF)
    assert choice.solution is None
    assert any("says" in review.verdict for review in choice.reviews)


def test_a_new_retailer_without_history_is_clustered_by_separation_and_stability(
    people: tuple[Behaviour, Behaviour],
) -> None:
    choice = choose_clusters(None, people[1], FEW, AS_OF)
    assert {review.method for review in choice.reviews} == {"kmeans", "mixture", "hierarchical"}
    assert all(review.eta_squared is None for review in choice.reviews)


def test_a_handful_of_customers_is_not_clustered() -> None:
    few = measure(shoppers(60))
    assert choose_clusters(few, few, FEW, AS_OF) == Choice(None, (), replaced=False)


def test_the_future_of_today_is_never_looked_at(people: tuple[Behaviour, Behaviour], chosen: Choice) -> None:
    past, now = people
    seeing = replace(now, next_spend=np.random.default_rng(1).random(len(now)))
    assert choose_clusters(past, seeing, FEW, AS_OF) == chosen


def test_clusters_come_back_from_their_table(chosen: Choice, people: tuple[Behaviour, Behaviour]) -> None:
    solution = in_use(chosen)
    rows = solution_rows(solution).to_pylist()
    older = [{**row, "as_of": AS_OF - timedelta(days=9), "definition": "not this one"} for row in rows]
    assert solution_in_use([*older, *rows], AS_OF) == solution
    assert solution_in_use(rows, AS_OF - timedelta(days=1)) is None
    assert review_rows(chosen.reviews, AS_OF).num_rows == len(chosen.reviews)


def test_customers_without_an_order_have_no_cluster(chosen: Choice) -> None:
    frame = today_of(shoppers(50))
    frame.loc[frame.index[:5], "orders"] = 0
    placed = customer_clusters(in_use(chosen), frame)
    assert placed.num_rows == 45
    assert set(placed["cluster_label"].to_pylist()) <= set(in_use(chosen).labels)
    assert customer_clusters(None, frame).num_rows == 0


def test_clusters_are_due_when_old_or_when_sizes_drift(chosen: Choice, people: tuple[Behaviour, Behaviour]) -> None:
    solution, now = in_use(chosen), people[1]
    assert due_for_review(None, now, AS_OF, 7)
    assert not due_for_review(solution, now, AS_OF + timedelta(days=6), 7)
    assert due_for_review(solution, now, AS_OF + timedelta(days=7), 7)
    spenders = now.take(now.column("recent_spend") > np.median(now.column("recent_spend")))
    assert due_for_review(solution, spenders, AS_OF + timedelta(days=1), 7)


def test_matching_follows_the_customers_not_the_numbers() -> None:
    old = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
    new = np.array([2, 2, 2, 0, 0, 1, 1, 1, 1])
    assert match_clusters(new, old, (3, 3)) == {2: 0, 0: 1, 1: 2}
    assert number_clusters(new, old, 3, (11, 12, 13)) == (12, 13, 11)


def test_a_cluster_that_continues_none_gets_a_number_never_used() -> None:
    old, new = np.zeros(8, dtype=np.int64), np.array([0, 0, 0, 0, 0, 0, 1, 1])
    assert number_clusters(new, old, 2, (4,)) == (4, 5)


def test_weekly_stability_compares_customers_in_both_weeks(chosen: Choice, people: tuple[Behaviour, Behaviour]) -> None:
    partition, now = in_use(chosen).partition, people[1]
    assert weekly_stability(partition, now, now) == 1.0
    assert weekly_stability(partition, now, now.take(np.array([], dtype=np.int64))) is None
    assert agreement(np.array([0, 0, 1, 1]), np.array([5, 5, 3, 3])) == 1.0


def test_drift_is_zero_without_change_and_grows_with_it() -> None:
    shares = {1: 0.5, 2: 0.5}
    assert drift(shares, shares) == 0
    assert 0 < drift(shares, {1: 0.45, 2: 0.55}) < 0.25 < drift(shares, {1: 0.2, 2: 0.8})


def test_explained_variance_is_all_for_groups_of_equals_and_none_for_one_group() -> None:
    spend = np.array([1.0, 1.0, 5.0, 5.0])
    assert explained(spend, np.array([0, 0, 1, 1])) == 1.0
    assert explained(spend, np.array([0, 0, 0, 0])) == 0.0
    assert explained(np.array([3.0, 3.0]), np.array([0, 1])) == 0.0

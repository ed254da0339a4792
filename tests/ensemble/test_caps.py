import numpy as np
import pytest
from plain_greedy import learned_library

from raysearch.ensemble.selection import Cap, select_bagged, select_greedy, select_uniform
from raysearch.errors import StudyError

PROBS, LABELS = learned_library(0, 12, 200, 6)
SELECT = {
    "greedy": lambda caps: select_greedy(PROBS, LABELS, 20, caps=caps),
    "sorted start": lambda caps: select_greedy(PROBS, LABELS, 20, sorted_start=8, caps=caps),
    "uniform": lambda caps: select_uniform(PROBS, LABELS, 8, caps=caps),
    "bagged": lambda caps: select_bagged(PROBS, LABELS, 20, bags=7, share=0.5, rng=np.random.default_rng(0), caps=caps),
}
select = pytest.mark.parametrize("select", SELECT.values(), ids=SELECT.keys())


def members_cap(limit: float) -> Cap:
    return Cap(np.arange(12), np.ones(12), limit, "max_members")


def cost(cap: Cap, weights: np.ndarray) -> float:
    return sum(cap.costs[group] for group in {cap.groups[member] for member in np.flatnonzero(weights)})


@select
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_an_ensemble_has_at_most_so_many_members(select, limit):
    assert np.count_nonzero(select(()).weights) > limit
    assert np.count_nonzero(select([members_cap(limit)]).weights) == limit


@select
def test_a_wide_cap_changes_nothing(select):
    np.testing.assert_array_equal(select([members_cap(12)]).weights, select(()).weights)


@select
def test_groups_are_paid_once_and_together_stay_within_the_limit(select):
    rng = np.random.default_rng(1)
    for limit in (3, 5, 8):
        parameters = Cap(rng.integers(4, size=12), np.array([1.0, 2.0, 3.0, 5.0]), limit, "max_parameters")
        selection = select([parameters, members_cap(4)])
        assert cost(parameters, selection.weights) <= limit
        assert 1 <= np.count_nonzero(selection.weights) <= 4
        assert selection.weights.sum() == pytest.approx(1)


def test_a_second_view_of_the_same_weights_costs_nothing():
    singles = select_greedy(PROBS, LABELS, 1).picks[0]
    pairs = Cap(np.arange(12) // 2, np.ones(6), 1, "max_parameters")
    members = np.flatnonzero(select_greedy(PROBS, LABELS, 20, caps=[pairs]).weights)
    assert set(members) == {2 * (singles // 2), 2 * (singles // 2) + 1}


@select
def test_the_best_single_is_the_best_that_fits(select):
    best = select_greedy(PROBS, LABELS, 1).picks[0]
    costs = np.ones(12)
    costs[best] = 9
    selection = select([Cap(np.arange(12), costs, 4, "max_latency_ms")])
    others = [member for member in range(12) if member != best]
    expected = others[select_greedy([PROBS[member] for member in others], LABELS, 1).picks[0]]
    assert selection.best_single == expected
    assert selection.weights[best] == 0


def test_uniform_passes_over_what_does_not_fit():
    order = select_uniform(PROBS, LABELS, 12).picks
    costs = np.ones(12)
    costs[order[1]] = 10
    assert select_uniform(PROBS, LABELS, 3, caps=[Cap(np.arange(12), costs, 3, "cost")]).picks == (
        order[0],
        *order[2:4],
    )


def test_costs_that_sum_to_the_limit_but_for_rounding_fit():
    costs = Cap(np.arange(12), np.full(12, 0.1), 0.3, "max_latency_ms")
    assert np.count_nonzero(select_uniform(PROBS, LABELS, 8, caps=[costs]).weights) == 3


@select
def test_a_cap_under_which_nothing_fits_is_named_with_limit_and_smallest_cost(select):
    caps = [Cap(np.arange(12), np.arange(12) + 2.5, 2, "max_latency_ms"), members_cap(0)]
    with pytest.raises(StudyError) as error:
        select(caps)
    assert error.value.faults == [
        "max_latency_ms: no candidate fits under 2, the smallest costs 2.5; raise the limit",
        "max_members: no candidate fits under 0, the smallest costs 1; raise the limit",
    ]


@select
def test_caps_that_leave_nothing_only_together_are_named_together(select):
    cheap_first = Cap(np.arange(12), np.arange(12) + 1.0, 1, "a")
    cheap_last = Cap(np.arange(12), 12.0 - np.arange(12), 1, "b")
    with pytest.raises(StudyError, match=r"no candidate fits under a \(limit 1.* and b \(limit 1.* at once"):
        select([cheap_first, cheap_last])

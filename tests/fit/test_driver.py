"""The time of a fit, on a fake clock."""

import pytest
from fake_work import FakeWork

from raysearch.fit.driver import drive
from raysearch.fit.layout import FULL_PASSES, Division, Facts, Times, divide, lay_out, least_budget_s

EXPECTED = Times(image=0.016, start=4.0, finish=20.0)


def facts(minutes=60.0, images=1000, classes=10, slots=2, smallest=None):
    return Facts(images, classes, smallest or images // classes, slots, 60 * minutes)


def run(these, speed, times=EXPECTED, kind=None, **truth):
    division = divide(these, times, kind)
    work = FakeWork(these, division, speed, **truth)
    assert drive(work, these, times, division, work.spent_s, work.said.append)
    return work


@pytest.mark.parametrize("minutes", [6, 10, 60, 150, 600])
@pytest.mark.parametrize("slower", [0.1, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("images", [200, 1000, 20_000])
def test_a_fit_ends_within_its_budget_at_any_speed(minutes, slower, images):
    work = run(facts(minutes, images), lambda now: 0.016 * slower, start_s=3 * slower**0.5)
    assert work.now <= 1.02 * 60 * minutes
    assert work.sets
    assert work.sets[-1] == work.now


@pytest.mark.parametrize("kind", ["refit", "split"])
@pytest.mark.parametrize("slower", [0.3, 1.0, 3.0])
def test_the_other_ways_to_use_the_labels_end_in_time_too(kind, slower):
    work = run(facts(60), lambda now: 0.016 * slower, kind=kind)
    assert 0.7 * 3600 < work.now <= 1.02 * 3600
    assert len(work.refits) == (kind == "refit")
    if kind == "refit":
        assert work.refits[0] > 0.5 * 3600


@pytest.mark.parametrize("slower", [0.3, 1.0, 3.0])
def test_the_time_is_used(slower):
    work = run(facts(60), lambda now: 0.016 * slower)
    assert work.now >= 0.85 * 3600


def test_there_is_a_set_early():
    work = run(facts(60), lambda now: 0.016)
    assert work.sets[0] < 0.1 * 3600
    assert work.rounds[0].is_quick
    assert not any(each.is_quick for each in work.rounds[1:])


def test_a_machine_that_slows_down_tenfold_in_the_middle():
    work = run(facts(150), lambda now: 0.016 if now < 4500 else 0.16)
    assert work.now <= 1.02 * 9000
    assert len(work.sets) == len(work.rounds)
    assert any("times slower than expected: the rest of the time is laid out anew" in text for text in work.said)


def test_a_machine_as_expected_is_not_mentioned():
    assert run(facts(60), lambda now: 0.016).said == []


def test_more_time_gives_more_trials_and_longer_ones_first():
    longest = [max(run(facts(minutes), lambda now: 0.016).passes) for minutes in (20, 60, 150)]
    trials = [len(run(facts(minutes), lambda now: 0.016).passes) for minutes in (20, 60, 150, 600)]
    assert longest[0] < longest[1] <= 2 * FULL_PASSES
    assert longest[2] >= 0.9 * FULL_PASSES
    assert trials == sorted(trials)
    assert trials[-1] >= 4


def test_a_stopped_round_ends_the_fit_with_a_set_of_what_is_done():
    these = facts(150)
    division = divide(these, EXPECTED)
    work = FakeWork(these, division, lambda now: 0.016)
    rounds = work.run_round
    work.run_round = lambda each, left: rounds(each, left) if not work.done else None
    assert not drive(work, these, EXPECTED, division, work.spent_s, print)
    assert len(work.sets) == 2


def test_a_fit_that_is_stopped_before_its_first_set_exports_nothing():
    these = facts(60)
    division = divide(these, EXPECTED)
    work = FakeWork(these, division, lambda now: 0.016)
    work.run_round = lambda each, left: None
    assert not drive(work, these, EXPECTED, division, work.spent_s, print)
    assert work.sets == []


def test_trials_that_a_kill_left_without_a_set_are_exported_also_if_no_time_is_left():
    these = facts(60)
    division = divide(these, EXPECTED)
    work = FakeWork(these, division, lambda now: 0.016, spent_s=3550)
    work.passes = [100_000]
    assert drive(work, these, EXPECTED, division, work.spent_s, print)
    assert work.rounds == []
    assert len(work.sets) == 1


def test_no_trial_begins_that_would_be_much_shorter_than_the_longest():
    these = facts(60)
    division = divide(these, EXPECTED)
    assert lay_out(these, EXPECTED, division, 300, [100_000]) == []
    assert lay_out(these, EXPECTED, division, 300, [8_000])


def test_a_budget_that_is_too_small_has_no_round_and_the_least_one_has():
    these = facts(0.5)
    division = divide(these, EXPECTED)
    assert lay_out(these, EXPECTED, division, 25, []) == []
    least_s = least_budget_s(these, EXPECTED, division, 5)
    assert lay_out(facts(least_s / 60), EXPECTED, division, least_s - 5 + 0.1, [])
    assert not lay_out(facts(least_s / 60), EXPECTED, division, least_s - 7, [])


@pytest.mark.parametrize(("slots", "expected"), [(1, 6), (2, 6), (4, 8), (5, 6), (8, 8), (16, 6)])
def test_the_number_of_folds_suits_the_slots(slots, expected):
    assert divide(facts(600, slots=slots), EXPECTED) == Division(folds=expected)


@pytest.mark.parametrize(("smallest", "expected"), [(2, 2), (3, 3), (4, 4), (9, 6)])
def test_every_fold_has_every_class(smallest, expected):
    assert divide(facts(smallest=smallest), EXPECTED).folds == expected


@pytest.mark.parametrize(("minutes", "trained"), [(2, 2), (60, 2), (100, 4), (150, 6), (600, 6)])
def test_fewer_networks_are_trained_for_longer(minutes, trained):
    division = divide(facts(minutes), EXPECTED)
    assert (division.folds, division.trainings) == (6, trained)


def test_each_slot_has_a_network():
    assert divide(facts(2, slots=4), EXPECTED).trainings == 4
    assert divide(facts(2, slots=32), EXPECTED).trainings == 6


def test_many_images_have_one_held_out_part():
    division = divide(facts(images=20_000), EXPECTED)
    assert division == Division(held_out_per_class=100)
    assert division.count_train(facts(images=20_000)) == 19_000
    assert divide(facts(images=10_000, classes=5000), EXPECTED) == Division(held_out_per_class=1)


def test_many_slots_are_all_busy():
    rounds = lay_out(facts(30, images=20_000, slots=8), EXPECTED, Division(held_out_per_class=100), 1700, [])
    assert sum(each.trials for each in rounds if not each.is_quick) >= 8

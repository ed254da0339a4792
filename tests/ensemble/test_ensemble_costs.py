import pytest

from raysearch.ensemble.build import build_ensemble
from raysearch.ensemble.facts import read_facts
from raysearch.ensemble.methods import METHODS
from raysearch.ensemble.recipe import Recipe
from raysearch.errors import StudyError
from raysearch.io import write_json
from raysearch.paths import view_parts

CAPPED = [name for name, method in METHODS.items() if not method.uses_families]
VIEWS = ("student-final", "student-fused", "student-final-40px", "teacher-final-tencrop")


@pytest.fixture
def library(study, write_view):
    """Four trials of four views; networks of 10, 20, 30 and 40 parameters."""
    for number in range(4):
        for view in VIEWS:
            write_view(number, view, strength=0.6 + 0.1 * number)
        latency = {"center": 1.0 + number, "40px": 2.0 + number, "tencrop": 10.0 + number}
        result = {"state": "COMPLETE", "num_parameters": 10 * (number + 1), "latency_ms": latency}
        write_json(study.trial(number).result, result)


def built(study, **values):
    return build_ensemble(study, Recipe(repeats=1, bootstrap=10, **values))


@pytest.mark.parametrize("method", CAPPED)
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_cap_on_members_is_kept(study, library, method, limit):
    found = built(study, method=method, bags=4, rounds=10, max_members=limit)
    assert len(found.members) <= limit
    assert found.uniform.members <= limit


@pytest.mark.parametrize("method", CAPPED)
def test_parameters_are_counted_once_for_all_views_of_the_same_weights(study, library, method):
    found = built(study, method=method, bags=4, rounds=20, max_parameters=60)
    networks = {(member.trial, view_parts(member.view).role) for member in found.members}
    assert sum(10 * (trial + 1) for trial, _ in networks) <= 60
    assert built(study, rounds=20).members != found.members


def test_latency_is_counted_once_for_all_views_of_the_same_pass(study, library):
    found = built(study, method="uniform", views=["student-final", "student-fused"], max_latency_ms=3.0)
    # A pass of trial 0's student at the middle gives two views for 1 ms; its pass at 40 px costs 2 ms.
    assert {member.name for member in found.members} <= {
        f"000{n}-student-{v}" for n in (0, 1, 2) for v in ("final", "fused", "final-40px")
    }
    costs = {
        (m.trial, view_parts(m.view).side): (2.0 if view_parts(m.view).side else 1.0) + m.trial for m in found.members
    }
    assert sum(costs.values()) <= 3.0


def test_a_pass_over_the_mirror_images_is_counted_once_for_both_heads_and_apart_from_the_center(study, write_view):
    for view, strength in (("student-final", 0.5), ("student-final-mirror", 1.0), ("student-fused-mirror", 1.0)):
        write_view(0, view, strength=strength)
    write_json(study.trial(0).result, {"state": "COMPLETE", "latency_ms": {"center": 1.0, "mirror": 2.0}})
    for limit, members in ((3.0, 3), (2.5, 2), (1.5, 1)):
        assert built(study, method="uniform", max_latency_ms=limit).uniform.members == members


def test_a_trial_without_the_figure_is_left_out_and_named(study, library, write_view):
    write_json(study.trial(3).result, {"state": "COMPLETE", "num_parameters": None})
    found = built(study, rounds=10, max_parameters=1000)
    assert 3 not in {member.trial for member in found.members}
    assert found.candidates == 12
    assert found.notes == (
        "max_parameters: 0003-student-final, 0003-student-final-40px, 0003-student-fused, 0003-teacher-final-tencrop "
        "have no num_parameters and are left out",
    )


def test_where_no_trial_has_the_figure_the_cap_is_refused(study, write_view):
    write_view(0)
    with pytest.raises(
        StudyError,
        match=r"max_latency_ms: needs latency_ms, but no trial's result\.json has it; leave",
    ):
        built(study, max_latency_ms=1.0)


def test_a_cap_under_which_nothing_fits_is_refused(study, library):
    with pytest.raises(StudyError, match="max_parameters: no candidate fits under 9"):
        built(study, max_parameters=9)


def test_the_networks_of_all_folds_are_paid(study, library):
    for fold in range(3):
        study.trial(1).fold(fold).root.mkdir(parents=True)
    facts = read_facts(study.trial(1))
    assert facts.num_parameters == 60
    assert facts.latency_ms["center"] == 6.0

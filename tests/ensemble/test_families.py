from pathlib import Path

import pytest

from raysearch.ensemble.build import build_ensemble
from raysearch.ensemble.facts import config_value
from raysearch.ensemble.library import load_library
from raysearch.ensemble.recipe import Recipe, read_recipe
from raysearch.errors import StudyError
from raysearch.io import write_json, write_yaml

SHIPPED = Path(__file__).resolve().parents[2] / "ensembles"
WRN = {"name": "WRN", "backbone": "wrn_*"}
RESNET = {"name": "ResNet", "backbone": ["resnet18", "resnet10t"]}


@pytest.fixture
def write_trial(study, write_view):
    """A trial of a backbone with one view, or several."""

    def write(number, backbone, views=("student-final",), mixing="both", strength=1.0, stages=()):
        for view in views:
            write_view(number, view, strength=strength)
        write_json(study.trial(number).result, {"state": "COMPLETE", "backbone": backbone})
        trial = {"backbone": backbone, "augment": {"mixing": mixing, "hflip": 0.5}, "stages": list(stages)}
        write_yaml(study.trial(number).config, {"trial": trial})

    return write


def built(study, *families):
    return build_ensemble(study, Recipe(name="f", method="families", families=list(families), repeats=1, bootstrap=10))


def members_of(ensemble):
    return {member.name: member.weight for member in ensemble.members}


def best_view(study, number):
    library = load_library(study)
    mine = [c for c in library.candidates if c.trial_number == number]
    return max(mine, key=lambda c: (c.probs.argmax(axis=1) == library.labels).mean()).name


def test_each_family_is_filled_by_its_best_trials_with_one_view_each(study, write_trial):
    for number, strength in enumerate([0.5, 2.0, 1.0]):
        write_trial(number, "wrn_16_2", ["student-final", "teacher-final"], strength=strength)
    write_trial(3, "resnet10t", ["student-final", "teacher-final"])
    found = members_of(built(study, WRN | {"count": 2}, RESNET))
    assert found == {best_view(study, number): pytest.approx(1 / 3) for number in (1, 2, 3)}


def test_conditions_on_the_config_tell_families_of_one_backbone_apart(study, write_trial):
    write_trial(0, "wrn_16_2", mixing="ricap", strength=0.5)
    write_trial(1, "wrn_16_2", mixing="cutmix", strength=2.0)
    ricap = {"name": "RICAP", "backbone": "wrn_16_2", "where": {"augment.mixing": "ricap"}}
    others = {"name": "others", "backbone": "wrn_16_2", "where": {"augment.mixing": ["both", "cutmix"]}}
    assert set(members_of(built(study, others, ricap))) == {"0000-student-final", "0001-student-final"}


def test_no_trial_fills_two_places(study, write_trial):
    for number in range(2):
        write_trial(number, "wrn_16_2")
    ensemble = built(study, WRN, {**WRN, "name": "again"})
    assert sorted(member.trial for member in ensemble.members) == [0, 1]


def test_missing_families_are_named_with_what_would_fill_them(study, write_trial):
    write_trial(0, "wrn_16_2")
    write_trial(1, "resnet18")
    swin = {"name": "Swin", "backbone": "swin_*", "where": {"augment.mixing": "ricap"}}
    ensemble = built(study, WRN | {"count": 3}, RESNET, swin)
    assert ensemble.notes == (
        "family WRN has 1 of 3 trials; it needs finished trials with backbone: wrn_*",
        "family Swin has no trial; it needs finished trials with backbone: swin_* and augment.mixing: ricap",
    )


def test_fewer_than_two_families_are_an_error_that_lists_the_missing(study, write_trial):
    write_trial(0, "wrn_16_2")
    with pytest.raises(StudyError) as caught:
        built(study, WRN, RESNET)
    first, second = caught.value.faults
    assert "trials of at least 2 families, but found trials of 1 of 2" in first
    assert second == "family ResNet has no trial; it needs finished trials with backbone: resnet18 or resnet10t"


def test_the_last_stage_s_own_value_counts(study, write_trial):
    stages = [{"epochs": 1, "augment": {"mixing": "none"}}, {"epochs": 1, "augment": {"mixing": "ricap"}}]
    write_trial(0, "wrn_16_2", stages=stages)
    write_trial(1, "wrn_16_2", stages=[*stages, {"epochs": 1}])
    assert config_value(study.trial(0), "augment.mixing") == "ricap"
    assert config_value(study.trial(0), "augment.hflip") == 0.5
    assert config_value(study.trial(1), "augment.mixing") == "both"
    assert config_value(study.trial(0), "augment.nothing") is None


def test_the_papers_sixteen_and_six_find_the_trials_of_their_recipes(study, write_trial):
    sixteen, six = read_recipe(SHIPPED / "papers16.yaml"), read_recipe(SHIPPED / "jz6.yaml")
    assert sum(family.count for family in sixteen.families) == 16
    backbones = [
        "densenet161",
        "pyramidnet101_a360",
        "se_pyramidnet101_a360",
        "resnest101e",
        "resnest101e",
        "resnest200e",
    ]
    for number, (backbone, mixing) in enumerate(zip(backbones, ["cutmix"] * 4 + ["ricap"] * 2, strict=True)):
        write_trial(number, backbone, mixing=mixing)
    ensemble = build_ensemble(study, six)
    assert [member.trial for member in ensemble.members] == list(range(6))
    assert ensemble.notes == ()
    with pytest.raises(StudyError, match="found trials of 0 of 6"):
        build_ensemble(study, sixteen)

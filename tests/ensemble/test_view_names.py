import pytest

from raysearch.ensemble.library import load_library
from raysearch.paths import VIEWS, ViewParts, view_parts


def test_a_name_is_made_of_its_parts_and_parted_again():
    assert [str(view_parts(view)) for view in VIEWS] == list(VIEWS)
    assert len({view_parts(view) for view in VIEWS}) == len(VIEWS) == 12


@pytest.mark.parametrize(
    ("view", "parts"),
    [
        ("student-final", ViewParts("student", is_fused=False, crops="center")),
        ("teacher-fused", ViewParts("teacher", is_fused=True, crops="center")),
        ("teacher-final-mirror", ViewParts("teacher", is_fused=False, crops="mirror")),
        ("student-fused-mirror", ViewParts("student", is_fused=True, crops="mirror")),
        ("teacher-final-tencrop", ViewParts("teacher", is_fused=False, crops="tencrop")),
        ("student-fused-tencrop", ViewParts("student", is_fused=True, crops="tencrop")),
        ("student-fused-40px", ViewParts("student", is_fused=True, crops="center", side=40)),
    ],
)
def test_parts_by_hand(view, parts):
    assert view_parts(view) == parts


def test_views_of_several_crops_are_candidates_after_the_others_of_their_trial(study, write_view):
    for number, view in (
        (1, "student-final"),
        (0, "student-final-tencrop"),
        (0, "student-final-mirror"),
        (0, "teacher-fused"),
    ):
        write_view(number, view)
    assert load_library(study).names == (
        "0000-teacher-fused",
        "0000-student-final-mirror",
        "0000-student-final-tencrop",
        "0001-student-final",
    )

from pathlib import Path
from typing import get_args

import pytest

from raysearch.ensemble import Recipe, read_recipe
from raysearch.ensemble.build import METHODS
from raysearch.ensemble.recipe import View
from raysearch.errors import SpaceError, UserError
from raysearch.paths import VIEWS

SHIPPED = Path(__file__).resolve().parents[2] / "ensembles"


def test_the_shipped_greedy_recipe_is_the_default():
    assert read_recipe(SHIPPED / "greedy.yaml") == Recipe()


def test_the_shipped_uniform_recipe_differs_from_the_default_in_name_and_method_only():
    assert read_recipe(SHIPPED / "uniform.yaml") == Recipe(name="uniform", method="uniform")


def test_every_view_can_be_named_and_all_are_candidates_by_default():
    assert get_args(View) == VIEWS
    assert tuple(Recipe().views) == VIEWS


def test_every_method_a_recipe_may_name_exists():
    assert set(get_args(Recipe.model_fields["method"].annotation)) == set(METHODS)


def test_all_mistakes_of_a_recipe_are_reported_with_file_and_key(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: ../up\nmethod: greddy\nrouns: 5\nfolds: 1\nviews: [student-finale]\n")
    with pytest.raises(SpaceError) as caught:
        read_recipe(path)
    faults = "\n".join(caught.value.faults)
    assert len(caught.value.faults) == 5
    assert faults.count("mine.yaml: ") == 5
    assert "method: got 'greddy'; did you mean 'greedy'?" in faults
    assert "rouns: unknown key; did you mean 'rounds'?" in faults
    assert "views.0: got 'student-finale'; did you mean 'student-final'?" in faults
    assert "folds: input should be greater than or equal to 2, got 1" in faults
    assert "name: " in faults


@pytest.mark.parametrize("text", ["", "- a\n", "views: []\n", "name: 3\n"])
def test_a_recipe_of_the_wrong_shape_is_refused(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(SpaceError, match=r"mine\.yaml"):
        read_recipe(tmp_path / "mine.yaml")


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml: cannot be read"):
        read_recipe(tmp_path / "none.yaml")

from pathlib import Path
from typing import get_args

import pytest

from raysearch.ensemble.methods import METHODS
from raysearch.ensemble.recipe import Recipe, read_recipe
from raysearch.errors import SpaceError, UserError
from raysearch.paths import VIEWS, View
from raysearch.section import validate

SHIPPED = Path(__file__).resolve().parents[2] / "ensembles"


def test_the_shipped_greedy_recipe_is_the_default():
    assert read_recipe(SHIPPED / "greedy.yaml") == Recipe()


def test_the_shipped_uniform_recipe_differs_from_the_default_in_name_and_method_only():
    assert read_recipe(SHIPPED / "uniform.yaml") == Recipe(name="uniform", method="uniform")


def test_the_shipped_bagged_recipe_differs_from_the_default_in_name_and_method_only():
    assert read_recipe(SHIPPED / "bagged.yaml") == Recipe(name="bagged", method="bagged")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_is_named_like_its_file(path):
    assert read_recipe(path).name == path.stem


def test_every_view_can_be_named_and_all_are_candidates_by_default():
    assert get_args(View) == VIEWS
    assert tuple(Recipe().views) == VIEWS


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_label_for_the_terminal_and_the_report(method):
    label = METHODS[method].label
    assert label
    assert label == label.strip(".")


def test_an_unknown_method_lists_the_known_ones():
    with pytest.raises(SpaceError) as caught:
        validate(Recipe, {"method": "x"}, "mine.yaml")
    assert caught.value.faults == [f"mine.yaml: method: got 'x'; known: {', '.join(sorted(METHODS))}"]


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method: families\n", "families must list at least 2 families, but got 0"),
        ("method: families\nfamilies: [{name: a, backbone: x}]\n", "families must list at least 2 families, but got 1"),
        ("families: [{name: a, backbone: x}]\n", "method 'greedy' does not use families; leave families out"),
        (
            "method: families\nfamilies: [{name: a, backbone: x}, {name: a, backbone: y}]\n",
            "families must have different names, but got a, a",
        ),
        ("method: families\nfamilies: [{name: a, backbne: x}]\n", "unknown key; did you mean 'backbone'"),
        ("method: uniform\nrefine: log_loss\n", "refine must be none for method 'uniform', a plain mean"),
        ("refine: accuracy\n", "refine: got 'accuracy'; known: log_loss, none"),
        ("bag_share: 1.5\n", "bag_share: input should be less than or equal to 1, got 1.5"),
        ("bags: 0\n", "bags: input should be greater than or equal to 1, got 0"),
        ("sorted_start: -1\n", "sorted_start: input should be greater than or equal to 0, got -1"),
        ("max_members: 0\n", "max_members: "),
        ("max_parameters: 1.5\n", "max_parameters: "),
        ("max_latency_ms: 0\n", "max_latency_ms: "),
        ("resolutions: 40\n", "resolutions: input should be a valid boolean, got 40"),
    ],
)
def test_values_that_cannot_be_are_refused(tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(SpaceError) as caught:
        read_recipe(tmp_path / "mine.yaml")
    assert message in str(caught.value)
    assert str(caught.value).count("mine.yaml: ") == len(caught.value.faults)


def test_caps_do_not_go_with_named_families(tmp_path):
    families = "[{name: a, backbone: x}, {name: b, backbone: y}]"
    (tmp_path / "mine.yaml").write_text(f"method: families\nfamilies: {families}\nmax_members: 3\n")
    with pytest.raises(SpaceError, match="method 'families' does not use caps; leave max_members out"):
        read_recipe(tmp_path / "mine.yaml")

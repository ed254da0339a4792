"""The tables of an ablation: the trainings that they make, and the messages for their faults."""

from pathlib import Path

import pytest

from raysearch.config import TrialConfig
from raysearch.errors import SpaceError
from raysearch.space import load_space, load_training, space_from

SPACES = Path(__file__).resolve().parents[2] / "spaces"

PLAIN = {"views": 1, "alpha": 0, "beta": 0, "gamma": 0, "aux_weight": 0}
TERMS = {
    "title": "Terms",
    "rows": [
        {"name": "plain"},
        {"name": "+ alpha", "set": {"method": {"alpha": 0.5}}, "theirs": {"AR": 59.5}},
        {"name": "+ aux", "set": {"method": {"aux_weight": 0.4}}},
        {"name": "fused", "view": "student-fused"},
        {"name": "other mixing", "over": "plain", "set": {"augment": {"mixing": "none"}}},
    ],
}
AGAIN = {"title": "Shared", "rows": [{"name": "both at once", "set": {"method": {"aux_weight": 0.4, "alpha": 0.5}}}]}


def space_of(tables, trial=None, **ablation):
    values = {"study": "s", "ablation": {"tables": tables, **ablation}}
    return space_from({**values, "trial": {"method": PLAIN, **(trial or {})}}, "a.yaml")


def trainings(space):
    return [(training.fixed, training.rows) for training in space.ablation.trainings]


def test_a_row_changes_the_row_above_or_the_row_in_over():
    rows = {row.name: row for row in space_of({"terms": TERMS}).ablation.tables[0].rows}
    assert [row.over for row in rows.values()] == [None, "plain", "+ alpha", "+ aux", "plain"]
    aux, other = rows["+ aux"].config, rows["other mixing"].config
    assert (aux.method.alpha, aux.method.aux_weight, aux.augment.mixing) == (0.5, 0.4, "both")
    assert (other.method.alpha, other.method.aux_weight, other.augment.mixing) == (0.0, 0.0, "none")
    assert rows["plain"].config == TrialConfig.model_validate({"method": PLAIN})
    assert (rows["+ alpha"].theirs, rows["fused"].view) == ({"AR": 59.5}, "student-fused")


def test_rows_with_equal_values_share_a_training_also_across_tables():
    assert trainings(space_of({"terms": TERMS, "again": AGAIN}, seeds=1)) == [
        ({"seed": 0}, ("terms: plain",)),
        ({"method": {"alpha": 0.5}, "seed": 0}, ("terms: + alpha",)),
        (
            {"method": {"alpha": 0.5, "aux_weight": 0.4}, "seed": 0},
            ("terms: + aux", "terms: fused", "again: both at once"),
        ),
        ({"augment": {"mixing": "none"}, "seed": 0}, ("terms: other mixing",)),
    ]


def test_every_row_is_trained_with_the_same_seeds_ordered_by_seed():
    space = space_of({"terms": TERMS}, trial={"seed": 7}, seeds=3)
    assert space.ablation.seeds == (7, 8, 9)
    assert [fixed["seed"] for fixed, _ in trainings(space)] == [7] * 4 + [8] * 4 + [9] * 4
    by_seed = [[{**fixed, "seed": None} for fixed, _ in trainings(space)[at : at + 4]] for at in (0, 4, 8)]
    assert by_seed[0] == by_seed[1] == by_seed[2]


def test_the_search_of_an_ablation_runs_exactly_its_trainings():
    space = space_of({"terms": TERMS}, seeds=2)
    assert (space.search.trials, space.search.scheduler) == (8, "none")
    assert space.search.first == [fixed for fixed, _ in trainings(space)]
    configs = [space.trial.suggest(None, fixed) for fixed in space.search.first]
    rows = space.ablation.tables[0].rows
    assert configs[2] == rows[2].config
    assert configs[7] == rows[4].config.model_copy(update={"seed": 1})


def test_only_selects_the_tables_to_train():
    space = space_of({"terms": TERMS, "again": AGAIN}, only=["again"], seeds=1)
    assert trainings(space) == [({"method": {"alpha": 0.5, "aux_weight": 0.4}, "seed": 0}, ("again: both at once",))]


def test_a_stored_ablation_gives_the_same_space_and_a_search_has_none():
    space = space_of({"terms": TERMS, "again": AGAIN}, only=["terms"])
    assert space_from(space.resolved, "study.yaml") == space
    search = space_from({"study": "s"}, "a.yaml")
    assert (search.ablation, "ablation" in search.resolved) == (None, False)


def rows_of(*rows):
    return {"tables": {"t": {"title": "T", "rows": list(rows)}}}


@pytest.mark.parametrize(
    ("ablation", "fault"),
    [
        (rows_of(), "tables.t.rows: expected 1 or more entries, got []"),
        (rows_of({"nam": "a", "name": "a"}), "tables.t.rows.0.nam: unknown key; did you mean 'name'?"),
        (rows_of({"set": {}}), "tables.t.rows.0.name: must be set"),
        (
            rows_of({"name": "a"}, {"name": "a"}),
            "tables.t.rows.1.name: names in a table must be unique, got 'a' twice",
        ),
        (
            rows_of({"name": "base"}, {"name": "b", "over": "bas"}),
            "tables.t.rows.1.over: must name an earlier row of the table, got 'bas'; did you mean 'base'?",
        ),
        (
            rows_of({"name": "a", "over": "b"}, {"name": "b"}),
            "tables.t.rows.0.over: must name an earlier row of the table, got 'b'; "
            "the first row always changes `trial`",
        ),
        (
            rows_of({"name": "a", "view": "student-fsed"}),
            "tables.t.rows.0.view: got 'student-fsed'; did you mean 'student-fused'?",
        ),
        (
            rows_of({"name": "a", "view": "teacher-fused"}),
            "tables.t.rows.0.view: needs an auxiliary head (method.aux_weight > 0), got 'teacher-fused'",
        ),
        (
            rows_of({"name": "a", "set": {"seed": 3}}),
            "tables.t.rows.0.set.seed: all rows have the same seeds, from trial.seed; remove it",
        ),
        (
            rows_of({"name": "a", "set": {"method": {"gama": 1}}}),
            "tables.t.rows.0.set.method.gama: unknown key; did you mean 'gamma'?",
        ),
        (
            rows_of({"name": "a"}, {"name": "b", "set": {"method": {"beta": 1}}}),
            "tables.t.rows.1.set.method.beta: beta > 0 needs views: 2 (an image's other view is its positive); "
            "got beta 1 and views 1",
        ),
        (
            rows_of({"name": "a", "set": {"dropout": {"uniform": [0, 0.5]}}}),
            "tables.t.rows.0.set.dropout: input should be a valid number, got {'uniform': [0, 0.5]}",
        ),
        (
            rows_of({"name": "a", "theirs": {"AR": "58"}}),
            "tables.t.rows.0.theirs.AR: input should be a valid number, got '58'",
        ),
        ({**rows_of({"name": "a"}), "only": ["u"]}, "only: got 'u'; known: t"),
        ({**rows_of({"name": "a"}), "seeds": 0}, "seeds: input should be greater than or equal to 1, got 0"),
        ({"table": {}}, "table: unknown key; did you mean 'tables'?"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(ablation, fault):
    with pytest.raises(SpaceError) as raised:
        space_from({"study": "s", "ablation": ablation, "trial": {"method": PLAIN}}, "a.yaml")
    assert raised.value.faults == [f"a.yaml: ablation.{fault}"]


def test_faults_of_several_rows_and_tables_are_reported_together():
    wrong = {"title": "T", "rows": [{"name": "a", "set": {"dropout": 2}}, {"name": "b", "over": "c"}]}
    with pytest.raises(SpaceError) as raised:
        space_of({"t": wrong, "u": {"title": "U", "rows": [{"name": "a", "set": {"epochs": 0}}]}})
    assert [fault.split(": ")[1] for fault in raised.value.faults] == [
        "ablation.tables.t.rows.0.set.dropout",
        "ablation.tables.t.rows.1.over",
        "ablation.tables.u.rows.0.set.epochs",
    ]


def test_an_ablation_refuses_distributions():
    with pytest.raises(SpaceError) as raised:
        space_of({"terms": TERMS}, trial={"dropout": {"uniform": [0, 0.5]}})
    assert raised.value.faults == [
        "a.yaml: trial.dropout: an ablation trains fixed values; expected one value, got a distribution"
    ]


FILE = """
extends: base.yaml
study: s
ablation:
  seeds: 2
  tables: {t: {title: T, rows: [{name: a}, {name: b, set: {method: {gamma: 1}}}]}}
trial: {method: {gamma: 0}}
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text("search: {trials: 9, sampler: tpe, first: [{dropout: 0}], timeout_s: 60}")
    Path("a.yaml").write_text(FILE)
    return Path("a.yaml")


def test_an_ablation_ignores_search_values_of_a_file_except_the_time_limit(file):
    space = load_space(file)
    assert (space.search.trials, space.search.timeout_s) == (4, 60)
    assert all("dropout" not in fixed for fixed in space.search.first)


def test_set_reaches_every_row(file):
    space = load_space(file, ["trial.epochs=2", "trial.seed=5", "ablation.seeds=1"])
    assert [row.config.epochs for row in space.ablation.tables[0].rows] == [2, 2]
    assert space.search.first == [{"seed": 5}, {"method": {"gamma": 1.0}, "seed": 5}]


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("search.trials=3", "search.trials: has no effect on an ablation, which trains every row with every seed"),
        ("search.first=[]", "search.first: has no effect on an ablation, which trains every row with every seed"),
        ("trial.method.gamma=2", "trial.method.gamma: rows of ablation.tables.t set this value; change it there"),
        ("ablation.onyl=[t]", "ablation.onyl: unknown key; did you mean 'ablation.only'?"),
    ],
)
def test_set_is_refused_where_it_would_have_no_effect(file, given, fault):
    with pytest.raises(SpaceError) as raised:
        load_space(file, [given])
    assert raised.value.faults == [f"--set: {fault}"]


def test_one_training_of_the_file_is_its_trial(file):
    assert load_training(file).trial.method.gamma == 0


@pytest.fixture(scope="module")
def tables():
    return {table.key: table for table in load_space(SPACES / "ablation.yaml").ablation.tables}


def test_theirs_are_the_published_figures(tables):
    theirs = {key: [row.theirs.get("AR") for row in tables[key].rows] for key in ("table2", "table3")}
    assert theirs["table2"] == [58.77, 57.25, 55.21, 57.75, 57.22, 54.76]
    assert theirs["table3"] == [58.77, 59.50, 60.69, 61.46, 61.62, 61.71]
    others = [row for key in tables for row in tables[key].rows if key not in theirs]
    assert not any(row.theirs for row in others), "the paper's text names none"


def test_table_3_adds_a_term_a_row_and_ends_with_the_whole_method(tables):
    methods = [row.config.method for row in tables["table3"].rows]
    weights = [(m.views, m.alpha, m.beta, m.gamma, m.aux_weight) for m in methods]
    assert weights == [
        (1, 0, 0, 0, 0),
        (1, 0.01, 0, 0, 0),
        (2, 0.01, 0.2, 0, 0),
        (2, 0.01, 0.2, 1, 0),
        (2, 0.01, 0.2, 1, 0.4),
        (2, 0.01, 0.2, 1, 0.4),
    ]
    assert [row.view for row in tables["table3"].rows] == ["student-final"] * 5 + ["student-fused"]


@pytest.mark.parametrize("key", ["equal-passes", "drop-one"])
def test_at_equal_passes_every_row_has_two_views_and_as_many_epochs(tables, key):
    configs = [row.config for row in tables[key].rows]
    assert {config.method.views for config in configs} == {2}
    assert len({(config.epochs, config.batch_size) for config in configs}) == 1


def test_each_sweep_changes_one_value_of_the_whole_method(tables):
    full = tables["table3"].rows[-1].config
    for name in ("alpha", "beta", "gamma", "delta"):
        rows = tables[f"figure4-{name}"].rows
        assert rows[0].config == full
        values = [getattr(row.config.method, name) for row in rows]
        assert min(values) == 0, "the term off; delta 0 is InfoNCE"
        for row in rows[1:]:
            alike = {"contrast": full.method.contrast, name: getattr(full.method, name)}
            method = row.config.method.model_copy(update=alike)
            assert row.config.model_copy(update={"method": method}) == full
    assert tables["figure4-beta"].rows[-1].config.method.contrast == "features"


def test_no_training_is_made_twice():
    ablation = load_space(SPACES / "ablation.yaml").ablation
    configs = {training.rows: training.fixed for training in ablation.trainings if training.fixed["seed"] == 0}
    assert len(ablation.trainings) == 3 * 28
    assert sorted(name for rows in configs for name in rows) == sorted(
        f"{table.key}: {row.name}" for table in ablation.tables for row in table.rows
    )

"""The tables of an ablation: goldens by hand, and a made-up study of two seeds."""

import json
import math
import re

import pytest
from fake_study import study_facts

from raysearch.io import write_json, write_text, write_yaml
from raysearch.paths import StudyPaths
from raysearch.report.__main__ import command
from raysearch.report.ablation import Estimate, build_tables, count_complete, estimate, estimate_difference
from raysearch.report.page import render
from raysearch.report.reading import read_study
from raysearch.report.tables import (
    format_cells,
    format_difference,
    format_estimate,
    list_columns,
    list_notes,
    to_markdown,
)
from raysearch.space import space_from

TABLES = {
    "terms": {
        "title": "Terms",
        "rows": [
            {"name": "plain", "theirs": {"AR": 58.77, "TR": 58.09}},
            {"name": "+ aux", "set": {"method": {"aux_weight": 0.4}}, "theirs": {"AR": 61.62}},
            {"name": "fused", "view": "student-fused"},
            {"name": "a|b", "over": "plain", "set": {"dropout": 0.5}},
        ],
    },
    "one": {"title": "One", "rows": [{"name": "no dropout", "set": {"dropout": 0.0}}]},
}


def test_an_estimate_is_the_mean_and_the_sample_deviation_over_the_root_of_n():
    # Deviations -2, 0, 2: squares sum to 8, over n - 1 = 2 is 4; its root 2 over the root of 3.
    assert estimate([56.0, 58.0, 60.0]) == Estimate(58.0, pytest.approx(2 / math.sqrt(3)), 3)
    assert estimate([1.0, 2.0]) == Estimate(1.5, pytest.approx(0.5), 2)
    assert estimate([57.0]) == Estimate(57.0, None, 1)
    assert estimate([]) is None


def test_a_paired_difference_is_of_the_seeds_that_both_have():
    # Differences 1 and 3 (seeds 0 and 2): mean 2, deviation root 2, over root 2 is 1. The levels vary far more.
    assert estimate_difference({0: 51.0, 1: 99.0, 2: 73.0}, {2: 70.0, 0: 50.0, 3: 0.0}) == Estimate(
        2.0, pytest.approx(1.0), 2
    )
    assert estimate_difference({0: 51.0}, {1: 50.0}) is None


def space():
    facts = study_facts()["space"]
    trial = {"epochs": 2, "method": {"views": 1, "alpha": 0, "beta": 0, "gamma": 0, "aux_weight": 0}}
    ablation = {"seeds": 2, "tables": TABLES}
    return space_from({"study": "abl", "data": facts["data"], "ablation": ablation, "trial": trial}, "abl.yaml")


def write_training(paths, number, fixed, last, state="COMPLETE"):
    """A training whose student ended at ``last`` percent, after a better first epoch; see `test_..._golden`."""
    trial = paths.trial(number)
    config = space().trial.suggest(None, fixed)
    write_yaml(trial.config, {"data": {"source": "digits"}, "trial": config.model_dump()})
    views = {"student-final": last, "teacher-final": last + 5, "student-fused": last + 2, "teacher-fused": last + 6}
    lines = []
    for epoch, more in ((1, 10), (2, 0)):
        scores = {view: {"accuracy": (value + more) / 100, "log_loss": 1.0} for view, value in views.items()}
        lines.append({"epoch": epoch, "seconds": 1.0, "train": {"loss": 1.0}, "held_out": scores})
    write_text(trial.metrics, "".join(json.dumps(line) + "\n" for line in lines))
    best = {view: {**score, "epoch": 1} for view, score in lines[0]["held_out"].items()}
    values = {"state": state, "value": 0.5, "backbone": "wrn_16_2", "epochs": 2, "epochs_done": 2, "views": best}
    write_json(trial.result, {"trial_number": number, **values})


@pytest.fixture
def paths(tmp_path):
    """Both seeds of `plain` and `+ aux`, one of `a|b`, none of `no dropout`, in an order of their own."""
    paths = StudyPaths(tmp_path / "abl")
    write_yaml(paths.study, study_facts(study="abl", space=space().resolved))
    aux = {"method": {"aux_weight": 0.4}}
    write_training(paths, 0, {**aux, "seed": 1}, 57.0)
    write_training(paths, 1, {"seed": 0}, 50.0)
    write_training(paths, 2, {"dropout": 0.5, "seed": 1}, 55.0)
    write_training(paths, 3, {**aux, "seed": 0}, 51.0)
    write_training(paths, 4, {"seed": 1}, 54.0)
    write_training(paths, 5, {"dropout": 0.5, "seed": 0}, 90.0, state="PRUNED")
    write_training(paths, 6, {"dropout": 0.25, "seed": 0}, 99.0)  # of no row
    return paths


def test_the_table_is_the_golden_one(paths):
    terms, one = build_tables(read_study(paths.root))
    # + aux less plain: 51 - 50 = 1 and 57 - 54 = 3. Fused is two points above its own final head, in both seeds.
    assert format_cells(terms) == [
        ["plain", "2", "52.00 ± 2.00", "–", "–", "62.00 ± 2.00", "57.00 ± 2.00", "58.77 (AR), 58.09 (TR)"],
        ["+ aux", "2", "54.00 ± 3.00", "+2.00 ± 1.00", "+2.00 ± 1.00", "64.00 ± 3.00", "59.00 ± 3.00", "61.62 (AR)"],
        [
            "fused (student-fused)",
            "2",
            "56.00 ± 3.00",
            "+2.00 ± 0.00",
            "+4.00 ± 1.00",
            "66.00 ± 3.00",
            "60.00 ± 3.00",
            "–",
        ],
        ["a|b", "1 of 2", "55.00", "+1.00 over 1 (to plain)", "+1.00 over 1", "65.00", "60.00", "–"],
    ]
    assert list_columns(terms)[-1] == "Published"
    assert format_cells(one) == [["no dropout", "0 of 2", "no complete training", "–", "–", "–", "–"]]
    assert list_columns(one)[-1] == "Teacher"


def test_notes_name_missing_seeds_and_the_source_of_published_figures(paths):
    tables = build_tables(read_study(paths.root))
    how, published, missing = list_notes(tables)
    assert "no epoch was selected" in how
    assert "They are not results of this study" in published
    assert missing == "Seeds without a complete training: a|b (terms): 0; no dropout (one): 0, 1."
    assert len(list_notes(tables[1:])) == 2


def test_the_command_prints_the_tables_as_markdown_and_writes_them_on_the_page(paths, capsys):
    command(paths.root)
    printed = capsys.readouterr().out
    assert "| + aux | 2 | 54.00 ± 3.00 | +2.00 ± 1.00 |" in printed
    assert "| a\\|b | 1 of 2 |" in printed
    assert printed.rstrip().endswith(to_markdown(build_tables(read_study(paths.root))))
    page = re.search(r'<section id="ablation">.*?</section>', paths.report.read_text(encoding="utf-8"), re.S)[0]
    assert page.count("<tr>") == 1 + 4 + 1 + 1
    assert "<td>fused (student-fused)</td>" in page
    assert "Seeds without a complete training" in page


def test_the_headline_counts_the_trainings_that_rows_share_once(paths):
    study = read_study(paths.root)
    assert count_complete(build_tables(study)) == (
        5,
        8,
    )  # four rows that train, two seeds; the fused one trains nothing
    page = render(study)
    headline = re.search(r'<section id="headline">.*?</section>', page, re.S)[0]
    assert re.findall(r"<strong>(.*?)</strong>", headline) == ["5 of 8"]
    assert "Best trial so far" not in page
    assert "An ablation, 5 of 8 trainings complete. 7 trials: 6 complete, 1 pruned." in page


def test_an_ablation_that_has_just_started_has_a_headline(tmp_path):
    write_yaml(StudyPaths(tmp_path).study, study_facts(study="abl", space=space().resolved))
    assert "<strong>0 of 8</strong>" in render(read_study(tmp_path))


def test_a_search_has_no_such_section(tmp_path):
    paths = StudyPaths(tmp_path)
    write_yaml(paths.study, study_facts())
    assert build_tables(read_study(tmp_path)) == ()
    assert 'id="ablation"' not in render(read_study(tmp_path))


def test_figures_are_shown_with_their_errors():
    assert format_estimate(Estimate(57.126, 0.404, 3)) == "57.13 ± 0.40"
    assert format_estimate(Estimate(57.0, None, 1)) == "57.00"
    assert format_estimate(None) == "–"
    assert format_difference(Estimate(-1.2, 0.4, 3), 3) == "−1.20 ± 0.40"
    assert format_difference(Estimate(0.0, 0.4, 2), 3) == "+0.00 ± 0.40 over 2"

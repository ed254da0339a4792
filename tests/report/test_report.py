import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_study import (
    FAILURE,
    without_later_figures,
    write_bare_study,
    write_ensemble,
    write_fake_study,
    write_gain_study,
    write_trial,
)
from page_parts import charts_of, own_part, rows, section

from raysearch.errors import StudyError
from raysearch.io import write_json, write_text
from raysearch.report.__main__ import command
from raysearch.report.figures import plot_history
from raysearch.report.page import duration, nats, parameter, percent, render, signed_points
from raysearch.report.reading import read_study
from raysearch.report.study import short_names


def test_a_study_is_read_with_its_states_and_curves(root):
    study = read_study(root)
    assert study.count() == {"COMPLETE": 6, "PRUNED": 2, "FAIL": 1, "RUNNING": 1}
    running = study.trials[9]
    assert (running.backbone, running.epochs_done, running.epochs, len(running.curve)) == ("wrn_16_2", 14, 30, 14)
    assert running.seconds == pytest.approx(14 * 4.1)
    assert study.trials[3].curve[-1].train["loss"] is None  # was NaN
    assert study.headline.name == "greedy"


def test_the_headline_shows_the_cross_fitted_and_the_in_sample_figure(page):
    headline = section(page, "headline")
    assert re.findall(r"<strong>(.*?)</strong>", headline) == ["93.1 %", "90.4 %", "+2.7"]
    assert "in-sample 94.5 %" in headline
    assert "in-sample 91.5 %" in headline
    assert "95 % interval +0.4 to +5.1" in headline
    assert "above zero" in headline
    assert "9f3a61c07be2<" in headline
    assert "200 train, 200 held-out, 1397 test" in headline


def test_an_interval_that_includes_zero_is_said_to(page):
    assert "−1.2 to +2.9. The interval includes zero" in section(page, "ensembles")
    assert "includes zero" not in section(page, "headline")


def test_the_leaderboard_shows_the_best_trial_first_and_trials_without_a_value_last(root, page):
    table = rows(section(page, "leaderboard"))
    best = max((t for t in read_study(root).trials if t.value is not None), key=lambda t: t.value)
    assert table[0][:3] == [str(best.number), "COMPLETE", f"{100 * best.value:.1f} %"]
    values = [row[2] for row in table]
    assert values[-2:] == ["–", "–"]
    assert sorted(values[:-2], reverse=True) == values[:-2]
    assert FAILURE in next(row[1] for row in table if row[0] == "3")


def test_a_parameter_that_backbones_bring_their_own_range_of_has_one_column(root):
    study = read_study(root)
    assert study.sampled().count("optimizer.lr") == 1
    assert all("optimizer.lr" in t.params for t in study.trials if t.state != "RUNNING")
    assert study.is_logarithmic("optimizer.lr")
    assert not study.is_logarithmic("method.beta")


def test_log_loss_is_ranked_lowest_first_and_shown_without_percent(tmp_path):
    paths = write_bare_study(tmp_path, space={"data": {"source": "digits"}, "search": {"objective": "log_loss"}})
    for number, value in enumerate([0.9, 0.4, 0.7]):
        write_trial(paths, number, value=value)
    study = read_study(tmp_path)
    assert [t.number for t in study.ranked] == [1, 2, 0]
    best = next(trace for trace in plot_history(study)["data"] if trace["name"] == "best so far")
    assert best["y"] == [0.9, 0.4, 0.4]
    assert rows(section(render(study), "leaderboard"))[0][2] == "0.400"


def test_a_search_by_balanced_accuracy_is_shown_by_it(tmp_path):
    facts = {"data": {"source": "digits"}, "search": {"objective": "balanced_accuracy"}}
    paths = write_bare_study(tmp_path, space=facts)
    views = {
        "student-final": {"accuracy": 0.9, "balanced_accuracy": 0.5, "log_loss": 1.0},
        "teacher-final": {"accuracy": 0.8, "balanced_accuracy": 0.6, "log_loss": 1.0},
    }
    for number, value in enumerate([0.4, 0.6, 0.5]):
        write_trial(paths, number, value=value, objective="balanced_accuracy", views=views)
    study = read_study(tmp_path)
    assert [t.number for t in study.ranked] == [1, 2, 0]
    assert {t.best_view for t in study.trials} == {"teacher-final"}
    assert plot_history(study)["layout"]["yaxis"]["title"]["text"] == "held-out balanced accuracy (%)"
    row = rows(section(render(study), "leaderboard"))[0]
    assert row[2:5] == ["60.0 %", "teacher-final", "60.0 %"]


def test_a_search_for_gain_ranks_by_it_and_keeps_log_loss_as_the_value(tmp_path):
    study = read_study(write_gain_study(tmp_path).root)
    assert [t.number for t in study.ranked] == [2, 0, 1]
    table = rows(section(render(study), "leaderboard"))
    assert [row[:4] for row in table] == [
        ["2", "COMPLETE", "1.5000", "0.700"],
        ["0", "COMPLETE", "0.2500", "0.900"],
        ["1", "COMPLETE", "−0.0004", "0.400"],
    ]


def test_a_search_for_gain_draws_log_losses_of_which_the_lowest_is_best(tmp_path):
    chart = plot_history(read_study(write_gain_study(tmp_path).root))
    assert next(trace for trace in chart["data"] if trace["name"] == "best so far")["y"] == [0.9, 0.4, 0.4]
    assert chart["layout"]["yaxis"]["title"]["text"] == "held-out log loss (nats)"
    texts = [text for trace in chart["data"] for text in trace.get("text", ())]
    assert any("trial 2" in text and "gain 1.5000" in text for text in texts)


def test_the_headline_of_a_search_for_gain_is_the_greatest_gain(tmp_path):
    headline = section(render(read_study(write_gain_study(tmp_path).root)), "headline")
    assert re.findall(r"<strong>(.*?)</strong>", headline) == ["1.5000"]
    assert "Best trial so far: 2" in headline
    assert "log loss 0.700" in headline


def test_equal_gains_are_ranked_by_log_loss_and_unknown_gains_come_last(tmp_path):
    paths = write_gain_study(tmp_path)
    write_trial(paths, 0, value=0.5, ensemble_gain=0.0)
    write_trial(paths, 1, value=0.4, ensemble_gain=0.0)
    write_trial(paths, 2, value=0.1, ensemble_gain=None)
    write_trial(paths, 3, "FAIL")
    assert [t.number for t in read_study(tmp_path).ranked] == [1, 0, 2, 3]


def test_other_searches_have_no_gain_column(page):
    assert "<button>Gain</button>" not in page


def test_with_folds_the_value_is_that_of_the_out_of_fold_predictions(page, tmp_path):
    paths = write_bare_study(tmp_path, space={"data": {"source": "digits", "folds": 4}})
    write_trial(paths, 0)
    folded = own_part(render(read_study(tmp_path)))
    assert "out-of-fold predictions of the 4 trainings of a trial, each of another of 4 folds" in folded
    assert "200 held-out (one of 4 folds)" in folded
    assert "smoothed held-out" in page
    assert "fold" not in section(page, "leaderboard")


def test_reasons_and_notes_are_shown_with_the_state(tmp_path):
    paths = write_bare_study(tmp_path)
    note = "out of memory in epoch 3: continued with trial.batch_size 50 -> 25, trial.accumulation 1 -> 2 (no room)"
    write_trial(paths, 0, notes=["one <thing>", note])
    write_trial(paths, 1, "PRUNED", reason="stopped by the scheduler")
    write_trial(paths, 2, "RUNNING")
    write_json(paths.trial(2).info, {"precision": "float32", "notes": ["trial.method.rampup_epochs: shortened"]})
    write_text(paths.trial(2).smaller_batches, note)
    write_trial(paths, 3, "RUNNING")
    states = {row[0]: row[1] for row in rows(section(render(read_study(tmp_path)), "leaderboard"))}
    escaped = note.replace(">", "&gt;")
    assert states == {
        "0": f"COMPLETE one &lt;thing&gt; {escaped}",
        "1": "PRUNED stopped by the scheduler",
        "2": f"RUNNING trial.method.rampup_epochs: shortened {escaped}",
        "3": "RUNNING",
    }


def test_dropped_weights_are_marked_at_the_trial_and_at_its_members(tmp_path):
    paths = write_bare_study(tmp_path)
    for number in range(8):
        write_trial(paths, number)
    write_trial(paths, 1, dropped=["student"])
    write_trial(paths, 6, dropped=["student", "teacher", "student"])
    write_text(paths.trial(6).weights("teacher"), "brought back")
    write_ensemble(paths)  # of trial 1 the student, of trial 6 the teacher
    page = render(read_study(tmp_path))
    states = {row[0]: row[1] for row in rows(section(page, "leaderboard"))}
    assert states["1"] == "COMPLETE weights dropped: student"
    assert states["6"] == "COMPLETE weights dropped: student"
    assert states["0"] == "COMPLETE"
    members = {row[0]: row[1] for row in rows(section(page, "ensembles")) if len(row) == 7}
    assert members["1"] == "student-final weights dropped"
    assert members["6"] == "teacher-final"


def test_members_are_listed_with_weight_and_linked_to_their_trial(page):
    table = rows(section(page, "ensembles"))
    assert ["6", "teacher-final", "0.400"] in [row[:3] for row in table]
    assert 'href="#trial-6"' in section(page, "ensembles")
    assert 'id="trial-6"' in page


def test_each_ensemble_shows_both_figures_and_those_of_the_best_single_model(page):
    table = rows(section(page, "ensembles"))
    assert ["Accuracy, cross-fitted", "93.1 %", "90.4 %", "91.9 %"] in table  # the last: the plain mean's
    assert ["Accuracy, in-sample", "94.5 %", "91.5 %", "92.1 %"] in table
    assert ["Log loss, cross-fitted", "0.281", "0.317"] in table  # the uniform ensemble's: it is the plain mean


def test_an_ensemble_shows_its_interval_calibration_disagreement_and_what_each_member_adds(page):
    shown = " ".join(re.sub(r"<[^>]+>", " ", section(page, "ensembles")).split())
    assert "95 % interval of the ensemble's cross-fitted accuracy: 88.7 % to 95.8 %" in shown
    assert "expected error 7.1 %; with temperature 1.27 it is 2.2 % and the log loss changes by −0.009." in shown
    assert "Two members differ on 12.3 % of the images, on average." in shown
    assert "Note: trial 9 has not finished and is left out." in shown
    assert ["6", "teacher-final", "0.400", "+1.6", "85 %"] in [
        row[:3] + row[4:6] for row in rows(section(page, "ensembles")) if len(row) == 7
    ]


@pytest.mark.parametrize(
    ("recommended", "expected"),
    [
        ("single", "Recommended: the single model 0006-teacher-final, which is simpler."),
        (
            "uniform",
            "Recommended: the plain mean of the best 16, which is simpler. Its gain over the single model is +1.5 "
            "percentage points, 95 % interval +0.2 to +2.8.",
        ),
    ],
)
def test_what_is_recommended_where_the_gain_is_not_certain_is_said(tmp_path, recommended, expected):
    paths = write_bare_study(tmp_path)
    gain = {"accuracy": 0.009, "low": -0.012, "high": 0.029, "confidence": 0.95}
    write_ensemble(paths, gain=gain, recommended=recommended)
    assert expected in section(render(read_study(tmp_path)), "ensembles")


def test_a_plain_mean_that_is_certainly_better_than_a_certain_ensemble_is_recommended_with_that_gain(tmp_path):
    paths = write_bare_study(tmp_path)
    write_ensemble(paths, recommended="uniform")
    assert "Its gain over the ensemble is −1.2 percentage points" in section(render(read_study(tmp_path)), "ensembles")


def test_a_member_that_is_weak_alone_and_heavy_in_the_vote_is_explained(page):
    shown = section(page, "ensembles")
    assert ["0", "teacher-final", "0.250", "89.0 %"] in [row[:4] for row in rows(shown)]
    assert (
        "Member 0000-teacher-final: its accuracy alone is 89.0 %, the best single model&#39;s 91.5 %. Its weight is "
        "0.250, because the selection scores the vote and not its members. Without this member, the cross-fitted "
        "accuracy of the vote is 1.0 points lower."
    ) in shown
    for name in ("0006-teacher-final: ", "0001-student-final: "):  # the best single; not above 1 / members
        assert f"Member {name}" not in shown


@pytest.mark.parametrize(("temperature", "is_at_limit"), [(20.0, True), (19.0, False)])
def test_a_temperature_at_the_limit_of_its_range_is_explained(tmp_path, temperature, is_at_limit):
    paths = write_bare_study(tmp_path)
    calibration = {"temperature": temperature, "bins": 15, "ece": 0.1, "ece_scaled": 0.1, "log_loss": 1.0}
    write_ensemble(paths, calibration={**calibration, "log_loss_scaled": 0.9})
    shown = section(render(read_study(tmp_path)), "ensembles")
    assert ("The temperature is at the upper limit of its range, 20:" in shown) == is_at_limit


def test_an_ensemble_that_an_earlier_version_wrote_is_shown_with_what_it_has(tmp_path):
    paths = write_bare_study(tmp_path)
    write_trial(paths, 6)
    write_ensemble(paths)
    without_later_figures(paths.ensemble("greedy"))
    table = rows(section(render(read_study(tmp_path)), "ensembles"))
    assert ["Accuracy, cross-fitted", "93.1 %", "90.4 %"] in table
    assert ["6", "teacher-final", "0.400"] in [row[:3] for row in table if len(row) == 5]


def test_an_added_member_is_shown_by_its_file_name(tmp_path):
    paths = write_bare_study(tmp_path)
    write_ensemble(paths, members=[{"trial": None, "view": "other.parquet", "weight": 1.0, "contribution": None}])
    assert ["–", "other.parquet", "1.000", "–", "–"] in rows(section(render(read_study(tmp_path)), "ensembles"))


def test_the_page_names_no_address_outside_itself(page):
    assert not re.search(r"https?://", page)
    assert not re.search(r"<link|<iframe|<img|@import|url\(", page)


def test_no_value_is_nan(page):
    assert not re.search(r"\bnan\b(?! in epoch)|\bNaN\b|\bInfinity\b", page.replace("isNaN", ""))


def test_what_the_user_named_is_escaped(tmp_path):
    evil = "</script><script>alert(1)</script>"
    facts = {"fingerprint": "ab" * 32, "classes": [evil, "b"], "counts": {"train": 2, "held_out": 2}}
    paths = write_bare_study(tmp_path, study=evil, data=facts)
    write_trial(paths, 0, params={"backbone": "wrn_16_2", "augment.policy": evil})
    write_trial(paths, 1, backbone=evil, params={"augment.policy": "none"})
    write_trial(paths, 2, "FAIL", reason=evil)
    write_ensemble(paths, recipe={"method": evil})
    page = own_part(render(read_study(tmp_path)))
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert page.count("</script>") == 2


def test_a_study_without_trials_has_a_page_that_says_what_to_do(tmp_path):
    write_bare_study(tmp_path / "my runs")
    page = own_part(render(read_study(tmp_path / "my runs")))
    assert "No trial has finished yet" in page
    assert re.search(r"raysearch ensemble &#39;.*my runs&#39;", page)
    assert charts_of(page) == {}


def test_a_study_with_only_a_failed_and_a_running_trial_has_a_page(tmp_path):
    paths = write_bare_study(tmp_path)
    write_trial(paths, 0, "FAIL")
    write_trial(paths, 1, "RUNNING")
    paths.trial(2).root.mkdir()  # only just begun
    page = own_part(render(read_study(tmp_path)))
    assert "No trial has finished yet" in page
    assert [row[0] for row in rows(section(page, "leaderboard"))] == ["0", "1", "2"]


def test_without_an_ensemble_the_best_trial_leads_and_the_command_is_named(tmp_path):
    write_trial(write_bare_study(tmp_path), 0, value=0.8125)
    headline = section(render(read_study(tmp_path)), "headline")
    assert "81.2 %" in headline
    assert "raysearch ensemble" in headline


def test_a_line_that_is_still_being_written_is_left_out(tmp_path):
    paths = write_bare_study(tmp_path)
    write_trial(paths, 0, "RUNNING")
    with paths.trial(0).metrics.open("a") as file:
        file.write('{"epoch": 15, "sec')
    assert len(read_study(tmp_path).trials[0].curve) == 14


def test_every_malformed_file_is_named_at_once(tmp_path):
    paths = write_bare_study(tmp_path)
    for number in range(4):
        write_trial(paths, number)
    write_text(paths.trial(0).result, "{")
    write_json(paths.trial(1).result, {"state": "DONE"})
    write_text(paths.trial(2).metrics, '{"epoch": 1}\nnot json\n')
    write_json(paths.ensemble("greedy"), {"name": "greedy"})
    with pytest.raises(StudyError) as raised:
        read_study(tmp_path)
    message = str(raised.value)
    for part in ("0000/result.json", "0001/result.json", "0002/metrics.jsonl: line 2", "ensembles/greedy.json"):
        assert part in message
    assert "0003" not in message


def test_a_folder_that_is_no_study_is_refused_and_left_alone(tmp_path):
    with pytest.raises(StudyError, match="not a study"):
        command(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_the_page_and_nothing_else_without_torch_and_ray(tmp_path):
    root = write_fake_study(tmp_path / "cr").root
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    code = (
        "import sys; from raysearch.report.__main__ import command; from pathlib import Path;"
        "command(Path(sys.argv[1])); assert not {'torch', 'ray', 'optuna'} & set(sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code, root], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    after = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    assert after.pop(root / "report.html").startswith(b"<!DOCTYPE html>")
    assert after == before
    assert Path(ran.stdout.removeprefix("report: ").strip()).name == "report.html"


def test_the_verb_prints_faults_and_exits_with_2(tmp_path):
    words = [sys.executable, "-m", "raysearch.report", str(tmp_path / "nothing")]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "no such folder" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_names_are_shortened_only_where_they_stay_apart():
    assert short_names(["method.alpha", "a.lr", "b.lr"]) == {"method.alpha": "alpha", "a.lr": "a.lr", "b.lr": "b.lr"}


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (percent(0.6149), "61.5 %"),
        (percent(None), "–"),
        (nats(-0.00123), "−0.0012"),
        (nats(None), "–"),
        (signed_points(-0.012), "−1.2"),
        (signed_points(0.0), "+0.0"),
        (duration(59.6), "1 min 00 s"),
        (duration(3 * 3600 + 240), "3 h 04 min"),
        (duration(None), "–"),
        (parameter(math.pi / 1000), "0.00314"),
        (parameter(True), "True"),
        (parameter(None), "none"),
    ],
)
def test_numbers_are_shown_with_units(shown, expected):
    assert shown == expected

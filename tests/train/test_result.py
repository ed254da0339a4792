import json

import pytest

from raysearch.io import write_json
from raysearch.paths import TrialPaths
from raysearch.train.result import read_metrics, read_result, summarise, write_result


def line(epoch, student=None, teacher=None, **more):
    """A line whose held-out figures are (accuracy, log_loss) of each role's final view; the fused one is better."""
    found = {"epoch": epoch, "seconds": epoch * 10.0, "lr": 0.1, "train": {"loss": 1.0}, **more}
    if student:
        found["held_out"] = {
            f"{role}-{head}": {"accuracy": accuracy + better, "log_loss": log_loss - better}
            for role, (accuracy, log_loss) in (("student", student), ("teacher", teacher))
            for head, better in (("final", 0.0), ("fused", 0.01))
        }
    return found


LINES = [
    line(1, (0.25, 2.0), (0.125, 2.5)),
    line(2),
    line(3, (0.75, 1.0), (0.625, 1.0)),  # smoothed: student 0.5 and 1.5, teacher 0.375 and 1.75
    line(4, (0.5, 3.0), (0.75, 0.25)),  # student 0.5 and 2.0, teacher 0.5 and 1.25
    line(5, (0.125, 3.5), (0.25, 0.625), partial=True),  # student 0.458 and 2.5, teacher 0.542 and 0.625
]


@pytest.fixture
def paths(tmp_path):
    paths = TrialPaths(tmp_path / "0003")
    paths.root.mkdir()
    paths.metrics.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return paths


def test_the_summary_is_of_the_better_role_at_the_best_evaluation_of_each(paths):
    summary = summarise(paths, "accuracy")
    assert (summary["role"], summary["value"]) == ("teacher", pytest.approx((0.625 + 0.75 + 0.25) / 3))
    assert {view: figures["epoch"] for view, figures in summary["views"].items()} == {
        "student-final": 4,  # the latest of two equal smoothed values
        "student-fused": 4,
        "teacher-final": 5,
        "teacher-fused": 5,
    }
    assert summary["views"]["student-fused"] == {"accuracy": 0.51, "log_loss": 2.99, "epoch": 4}


def test_log_loss_is_minimised(paths):
    summary = summarise(paths, "log_loss")
    assert (summary["role"], summary["value"]) == ("teacher", pytest.approx((1.0 + 0.25 + 0.625) / 3))
    assert summary["views"]["student-final"]["epoch"] == 3


def test_a_partial_epoch_counts_as_time_but_not_as_done(paths):
    summary = summarise(paths, "accuracy")
    assert (summary["epochs_done"], summary["seconds"]) == (4, 50.0)


def test_an_incomplete_last_line_is_skipped(paths):
    text = paths.metrics.read_text()
    paths.metrics.write_text(text + '{"epoch": 6, "held_ou')
    assert read_metrics(paths) == LINES
    assert summarise(paths, "accuracy")["seconds"] == 50.0


def test_a_trial_without_an_evaluation_has_no_value(paths):
    paths.metrics.write_text(json.dumps(line(1)) + "\n")
    summary = summarise(paths, "accuracy")
    assert (summary["value"], summary["role"], summary["views"], summary["epochs_done"]) == (None, None, {}, 1)


def test_a_trial_that_failed_before_its_first_line_still_has_a_result(tmp_path):
    paths = TrialPaths(tmp_path / "0009")
    result = write_result(paths, 9, "FAIL", "accuracy", 30, "wrn_10_1", {"dropout": 0.1}, reason="out of memory")
    assert result == read_result(paths)
    assert (result["state"], result["reason"], result["value"]) == ("FAIL", "out of memory", None)
    assert (result["precision"], result["num_parameters"], result["epochs_done"]) == (None, None, 0)
    assert (result["seconds"], result["params"], result["trial_number"]) == (0.0, {"dropout": 0.1}, 9)


def test_a_result_has_the_facts_of_the_machine(paths):
    write_json(paths.info, {"precision": "bfloat16", "device": "cpu", "num_parameters": 7})
    result = write_result(paths, 3, "PRUNED", "accuracy", 30, "wrn_10_1", {})
    assert (result["precision"], result["num_parameters"], result["epochs"]) == ("bfloat16", 7, 30)


def test_a_trial_that_has_not_ended_has_no_result(paths):
    assert read_result(paths) is None

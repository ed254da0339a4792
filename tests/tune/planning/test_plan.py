"""What a search will take, computed on made-up costs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from raysearch.config import TrialConfig
from raysearch.space import ResourcesConfig, SearchConfig
from raysearch.train.disk import RESERVE
from raysearch.train.resource_check import WORKER_BYTES, Cost, Seconds
from raysearch.tune.planning.capacity import Capacity, Share
from raysearch.tune.planning.plan import Plan, RemainingTrials
from raysearch.tune.planning.plan_text import format_plan
from raysearch.tune.planning.units import format_bytes, format_duration

GB = 1e9
METHOD = {"views": 1, "beta": 0, "gamma": 0, "aux_weight": 0}


def trial(backbone: str = "fast", **values: Any) -> TrialConfig:
    """Ten batches an epoch, of 3 x 64 x 10 pixels passed through."""
    section = {"backbone": backbone, "image_size": 8, "epochs": 10, "eval_every": 10, "batch_size": 10}
    return TrialConfig.model_validate({**section, "method": METHOD, **values})


def cost(batch_s: float = 1.0, **values: Any) -> Cost:
    """Evaluations take no time here."""
    seconds = Seconds(step=0.0, pixel=batch_s / (3 * 64 * 10), evaluation=0.0, batch_size=10)
    numbers = {"parameters": 10**6, "num_features": 10, "weights_bytes": 10**6, "optimizer_bytes": 10**6}
    return Cost(**{**numbers, "checkpoint_bytes": 3 * 10**6, "saved_bytes": 0.0, "seconds": seconds, **values})


def plan(
    first: Sequence[TrialConfig] = (),
    drawn: Sequence[TrialConfig] = (),
    rest: int = 0,
    *,
    search: dict[str, Any] | None = None,
    resources: dict[str, Any] | None = None,
    at_once: int = 2,
    memory: float | None = 8 * GB,
    costs: dict[str, Cost] | None = None,
    **values: Any,
) -> Plan:
    numbers: dict[str, Any] = {
        "where": "toy.yaml",
        "root": Path("runs/toy"),
        "resources": ResourcesConfig.model_validate(resources or {}),
        "search": SearchConfig.model_validate({"scheduler": "none", **(search or {})}),
        "capacity": Capacity(at_once, (Share(nodes=1, workers=at_once, memory_bytes=memory),), ()),
        "trials": RemainingTrials(tuple(first), tuple(drawn), rest),
        "costs": costs or {"fast": cost(1.0), "slow": cost(3.0)},
        "classes": ("cat", "dog"),
        "images": {"train": [50, 50], "held_out": [5, 5]},
        "free_bytes": 100 * GB,
    }
    return Plan(**numbers | values)


def test_trials_to_be_drawn_cost_the_sample_s_mean_or_at_most_its_maximum() -> None:
    found = plan([trial("slow")], [trial("fast"), trial("slow")], rest=4)
    assert found.epochs == 50
    assert found.hours is not None
    # 300 s of the first; then four of 200 s, or at most of 300 s; two at once.
    assert found.hours.about * 3600 == pytest.approx((300 + 4 * 200) / 2)
    assert found.hours.most * 3600 == pytest.approx((300 + 4 * 300) / 2)
    assert found.hours.least == found.hours.about, "none is stopped early"


def test_a_search_takes_no_less_than_its_longest_trial() -> None:
    hours = plan([trial("slow"), trial("fast")], at_once=2).hours
    assert hours is not None
    assert hours.about * 3600 == pytest.approx(300)


@pytest.mark.parametrize(
    ("search", "share"),
    [
        ({"scheduler": "none"}, 1.0),
        ({"scheduler": "asha", "grace": 0.25, "reduction_factor": 2}, 0.25 + 0.25 / 2 + 0.5 / 4),
        ({"scheduler": "hyperband", "grace": 0.5, "reduction_factor": 4}, 0.5 + 0.5 / 4),
        ({"scheduler": "median", "grace": 0.2}, 0.6),
        ({"scheduler": "asha", "grace": 1.0}, 1.0),
    ],
)
def test_a_scheduler_saves_epochs(search: dict[str, Any], share: float) -> None:
    found = plan([trial()] * 4, search=search)
    assert found.least_epochs == pytest.approx(share * 40)
    assert found.hours is not None
    assert found.hours.least == pytest.approx(share * found.hours.about)


def test_a_budget_of_epochs_caps_epochs_and_hours() -> None:
    found = plan([trial()] * 4, search={"epochs": 30, "scheduler": "asha"}, epochs_done=15)
    assert (found.epochs, found.least_epochs) == (15, 15)
    assert found.hours is not None
    assert found.hours.about * 3600 == pytest.approx(150 / 2)


def test_a_time_limit_is_printed_if_it_stops_the_search() -> None:
    text = "\n".join(format_plan(plan([trial()] * 4, search={"timeout_s": 100})))
    assert "about 3.3 min; search.timeout_s stops the search after 100 s" in text
    assert "40; about 20 fit in search.timeout_s" in text
    assert "timeout_s" not in "\n".join(format_plan(plan([trial()] * 4, search={"timeout_s": 1000})))


def test_the_hours_are_unknown_without_a_gpu_to_measure_on() -> None:
    untried = {"fast": cost(seconds=None, saved_bytes=1e6)}
    found = plan([trial()], costs=untried, resources={"gpus_per_worker": 1}, missing="no GPU on this machine")
    assert found.hours is None
    text = "\n".join(format_plan(found))
    assert "time    unknown (no GPU on this machine)" in text
    assert "836 MB of GPU memory per worker" in text  # 1.3 x 640 pixels of a megabyte, and the network


def test_a_training_too_large_for_every_node_is_refused_with_a_batch_that_fits() -> None:
    heavy = {"fast": cost(saved_bytes=1e6)}
    assert plan([trial(batch_size=100)], costs=heavy, memory=5 * GB).faults() == [], "the estimate is not that sure"
    (fault,) = plan([trial(batch_size=100)], costs=heavy, memory=3 * GB).faults()
    assert fault == (
        "toy.yaml: trial.batch_size: 'fast' needs about 9.0 GB for a batch of 100, but no node has more than 3.0 GB; "
        "set trial.batch_size=27"
    )
    fits = plan([trial(batch_size=27)], costs=heavy, memory=3 * GB)
    assert fits.estimate_memory(fits.largest) < 3 * GB


def test_the_stage_that_is_too_large_is_named() -> None:
    stages = [{"epochs": 1}, {"epochs": 1, "image_size": 16, "batch_size": 90}]
    staged = trial(epochs=None, stages=stages)
    (fault,) = plan([staged], costs={"fast": cost(saved_bytes=1e6)}, memory=2 * GB).faults()
    assert fault.startswith("toy.yaml: trial.stages.1.batch_size: ")
    (fault,) = plan([trial()], costs={"fast": cost(saved_bytes=1e8)}, memory=2 * GB).faults()
    assert fault.endswith("use smaller images or backbones")


def test_nodes_of_unknown_memory_refuse_nothing() -> None:
    assert plan([trial()], costs={"fast": cost(saved_bytes=1e9)}, memory=None).faults() == []


def test_trials_that_only_together_may_be_too_large_are_noted() -> None:
    found = plan([trial()] * 2, costs={"fast": cost(saved_bytes=4e6)}, memory=6 * GB)
    assert found.faults() == []
    (note,) = found.notes()
    assert "each worker may need about 4.0 GB, 8.1 GB together, and the node has 6.0 GB" in note


def test_a_worker_s_share_of_a_gpu_is_noted_where_it_may_be_too_small() -> None:
    costs = {"fast": cost(saved_bytes=1e7)}
    gpu = {"gpu_bytes": 12 * GB, "resources": {"gpus_per_worker": 0.5}}
    (note,) = plan([trial()], costs=costs, **gpu).notes()
    assert "'fast' needs up to 8.3 GB of GPU memory in float32, and a worker has 6.0 GB" in note
    assert plan([trial()], costs=costs, gpu_bytes=12 * GB, resources={"gpus_per_worker": 1}).notes() == []


def test_checkpoints_of_running_trials_must_fit_the_disk() -> None:
    big = {"fast": cost(checkpoint_bytes=10 * 10**9, weights_bytes=10**9)}
    each = 23 * GB  # the checkpoint twice, both roles' weights and one of them twice
    found = plan([trial()] * 4, costs=big, free_bytes=3.5 * each, at_once=4)
    assert found.live_bytes == pytest.approx(4 * each, rel=1e-3)
    (fault,) = found.faults()
    assert "4 trials at once need about 92 GB for checkpoints" in fault
    assert "runs/toy has 80 GB free, 12 GB too little; set resources.concurrency=3, or give another --out" in fault
    assert plan([trial()] * 4, costs=big, free_bytes=3.5 * each, at_once=3).faults() == []
    (fault,) = plan([trial()], costs=big, free_bytes=GB).faults()
    assert fault.endswith("too little; give another --out")


def test_weights_that_will_not_fit_are_noted_with_the_budget_that_does() -> None:
    big = {"fast": cost(weights_bytes=10**9)}
    tight: dict[str, Any] = {"costs": big, "free_bytes": 12.05 * GB + RESERVE, "at_once": 1}
    found = plan([trial()] * 20, **tight)
    assert found.faults() == []
    (note,) = found.notes()
    # 20 trials leave 2 GB each; one at work takes 3 GB of the 12.
    expected = (
        "results of 20 trials need about 40 GB of disk space, 9.0 GB are free; --set search.checkpoints_gb=9 keeps"
    )
    assert expected in note
    assert plan([trial()] * 20, search={"checkpoints_gb": 9}, **tight).notes() == []


def test_predictions_count_in_addition_to_weights() -> None:
    many = {"train": [50, 50], "held_out": [50_000, 50_000]}
    few, more = (plan([trial()], images=images) for images in ({"train": [50, 50], "held_out": [5, 5]}, many))
    assert more.kept_bytes - few.kept_bytes == pytest.approx(99_990 * 2 * (4 * 2 + 40 + 4 * 10 + 40))
    views = trial(method={**METHOD, "aux_weight": 0.4}, inference={"tencrop": True})
    assert plan([views], images=many).estimate_prediction_bytes(views) == pytest.approx(100_000 * (8 * 48 + 2 * 80))


def test_classes_without_images_or_of_very_different_sizes_are_noted() -> None:
    notes = plan([trial()], images={"train": [10, 60], "held_out": [0, 5]}).notes()
    assert notes == [
        "train: classes have from 10 ('cat') to 60 ('dog') images; the large classes dominate the metrics",
        "held_out: no images of class 'cat'",
    ]
    assert plan([trial()], images={"train": [20, 60], "held_out": [5, 5]}).notes() == []


def test_the_plan_is_printed_in_a_few_lines() -> None:
    found = plan([trial("slow")], [trial("fast")], rest=2, resources={"workers": 2, "cpus_per_worker": 4})
    assert format_plan(found) == [
        "trials  3; 2 at once, 2 workers each, 4 CPUs per worker",
        "data    2 classes; train 100 (50 per class), held_out 10 (5 per class)",
        "epochs  30",
        "time    about 2.5 min",
        "memory  up to 704 MB per worker (slow), 1.4 GB of a node's 8.0 GB",
        "disk    18 MB for running trials, 6.0 MB for results; 100 GB free",
        "slow    1 M parameters, checkpoints of 3.0 MB, 15 s per epoch",
        "fast    1 M parameters, checkpoints of 3.0 MB, 5.0 s per epoch",
    ]


def test_a_finished_study_has_no_trials_left() -> None:
    found = plan(search={"timeout_s": 10})
    assert (found.faults(), found.notes(), found.epochs) == ([], [], 0)
    assert [line.split()[0] for line in format_plan(found)] == ["trials", "data"]


def test_a_time_measured_with_a_smaller_batch_is_an_upper_bound() -> None:
    slow = Seconds(step=0.0, pixel=1.0, evaluation=0.0, batch_size=2)
    assert "at most " in format_plan(plan([trial()], costs={"fast": cost(seconds=slow)}))[-1]


def test_sizes_and_durations_have_readable_units() -> None:
    assert [format_bytes(size) for size in (4e5, 2.5e8, 2.6e9, 3.2e10, 4e12)] == [
        "0.4 MB",
        "250 MB",
        "2.6 GB",
        "32 GB",
        "4.0 TB",
    ]
    assert [format_duration(hours) for hours in (0.01, 0.5, 1.9, 3, 49)] == [
        "36 s",
        "30 min",
        "114 min",
        "3.0 h",
        "2.0 days",
    ]


def test_a_worker_s_memory_includes_its_process() -> None:
    found = plan([trial()])
    assert found.estimate_memory(trial()) == WORKER_BYTES + 4e6


def test_with_folds_time_and_disk_space_cover_all_folds() -> None:
    one, three = plan([trial()] * 2), plan([trial()] * 2, folds=3)
    assert (one.epochs, three.epochs) == (20, 60)
    assert one.hours is not None
    assert three.hours is not None
    assert three.hours.about == pytest.approx(3 * one.hours.about)
    assert (three.at_once, three.live_bytes) == (one.at_once, one.live_bytes)
    assert three.kept_bytes - three.kept_predictions_bytes == 3 * (one.kept_bytes - one.kept_predictions_bytes)
    assert plan([trial()], folds=3).at_once == 2, "of a single trial"
    assert format_plan(three)[:3] == [
        "trials  2 with 3 folds each; 2 trainings at once, 1 worker each, 1 CPU per worker",
        "data    2 classes; train 100 (50 per class), held_out 10 (5 per class), in each of 3 folds",
        "epochs  60",
    ]


@pytest.mark.parametrize(("at_once", "stopped"), [(3, 3), (4, 3), (2, 1), (1, 1)])
def test_only_folds_that_run_together_are_stopped_early(at_once: int, stopped: int) -> None:
    median = {"scheduler": "median", "grace": 0.5}
    found = plan([trial()] * 4, search=median, folds=3, at_once=at_once)
    assert found.least_share == pytest.approx(1 - stopped / 3 * 0.25)
    assert any("data.folds" in note for note in found.notes()) == (at_once < 3)
    assert plan([trial()], folds=3, at_once=at_once).notes() == [], "without a scheduler"

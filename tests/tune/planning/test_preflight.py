"""What is refused before a search begins."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from raysearch.config import TrainingConfig, TrialConfig
from raysearch.data.dataset import open_dataset
from raysearch.errors import UserError
from raysearch.space import Space, space_from
from raysearch.train.resource_check import Cost
from raysearch.tune.planning import preflight
from raysearch.tune.planning.capacity import Cluster
from raysearch.tune.planning.plan import Plan
from raysearch.tune.planning.preflight import (
    check_data,
    check_trials,
    draw_examples,
    list_remaining_trials,
    make_plan,
    measure_costs,
)
from raysearch.tune.planning.probe_process import probe_all, probe_in_new_process

DATA = {"source": "digits", "train_per_class": 2, "held_out_per_class": 2}


def make_space(
    first: list[dict[str, object]] | None = None, data: object = None, resources: object = None, **trial: object
) -> Space:
    sections = {"data": data or DATA, "search": {"first": first or []}, "resources": resources or {}, "trial": trial}
    return space_from({"study": "toy", **sections}, "toy.yaml")


def check(space: Space) -> None:
    examples = draw_examples(space)
    dataset = open_dataset(space.data, 16)
    check_trials(space, examples, dataset, "toy.yaml")


def test_every_fault_of_the_trials_is_reported_with_the_file() -> None:
    space = make_space(
        first=[{"backbone": "nope"}, {"batch_size": 500}],
        backbone={"choice": ["wrn_16_44", "densenet121", "wrn_10_1"]},
        image_size=8,
        batch_size={"int": [2, 30]},
        method={"aux_weight": 0.0},
    )
    with pytest.raises(UserError) as refused:
        check(space)
    faults = refused.value.faults
    assert [fault.partition(" (")[0] for fault in faults] == [
        "toy.yaml: trial.batch_size: a step takes 30 images, but the train split has 20",
        "toy.yaml: trial.batch_size: a step takes 500 images, but the train split has 20",
        "toy.yaml: trial.backbone: got 'nope'; timm.list_models() lists the known names",
        "toy.yaml: trial.backbone: got 'wrn_16_44'; did you mean 'wrn_16_4'?",
        "toy.yaml: trial.backbone: 'densenet121' cannot be used at 8 px",
    ]


def test_an_option_that_no_backbone_of_the_space_has_is_refused() -> None:
    with pytest.raises(UserError, match="drop_path_rate"):
        check(make_space(backbone="wrn_10_1", batch_size=5, drop_path_rate=0.1))


def test_dropout_in_the_blocks_is_checked_for_every_backbone_of_the_space() -> None:
    backbones = {"choice": ["wrn_10_1", "resnet10_small"]}
    with pytest.raises(UserError) as refused:
        check(make_space(backbone=backbones, batch_size=5, block_dropout={"choice": [0.0, 0.2]}, first=[{}] * 8))
    assert [fault.partition(";")[0] for fault in refused.value.faults] == [
        "toy.yaml: trial.block_dropout: got 0.2, but 'resnet10_small' has no dropout in its blocks"
    ]


def test_every_stage_is_checked() -> None:
    stages = [{"epochs": 1}, {"epochs": 1, "image_size": 8}, {"epochs": 1, "batch_size": 60}]
    space = make_space(backbone="densenet121", batch_size=5, stages=stages, method={"aux_weight": 0.0})
    with pytest.raises(UserError) as refused:
        check(space)
    assert [fault.partition(" (")[0] for fault in refused.value.faults] == [
        "toy.yaml: trial.stages.2.batch_size: a step takes 60 images, but the train split has 20",
        "toy.yaml: trial.backbone: 'densenet121' cannot be used at 8 px",
    ]


def test_invalid_draws_are_skipped() -> None:
    space = make_space(backbone={"choice": ["wrn_10_1", "wrn_16_1"]}, method={"views": {"choice": [1, 2]}, "beta": 0.0})
    assert [example.backbone for example in draw_examples(space)] == ["wrn_10_1", "wrn_16_1"]


def test_faults_of_the_test_split_do_not_stop_a_search(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for index, name in enumerate(("cat", "dog")):
            (tmp_path / split / name).mkdir(parents=True)
            shade = 20 * index + 50 * ("train", "val", "test").index(split)
            Image.new("RGB", (8, 8), (shade, 0, 0)).save(tmp_path / split / name / "a.png")
    (tmp_path / "test" / "dog" / "broken.png").write_bytes(b"no image")
    space = make_space(data={"source": str(tmp_path)}, backbone="wrn_10_1", image_size=8, augment={"crop_padding": 1})
    _, counts, notes = check_data(space, draw_examples(space))
    assert counts == {"train": 2, "held_out": 2, "test": None}
    assert "broken.png" in notes[0]


def test_the_largest_accumulation_counts() -> None:
    with pytest.raises(UserError, match="a step takes 40 images, but the train split has 20"):
        check(make_space(backbone="wrn_10_1", batch_size=5, accumulation={"choice": [1, 8]}))


def test_the_images_of_all_workers_make_a_step() -> None:
    space = make_space(resources={"workers": 4}, backbone="wrn_10_1", batch_size={"choice": [5, 6]})
    with pytest.raises(UserError) as refused:
        check(space)
    assert refused.value.faults == ["toy.yaml: trial.batch_size: a step takes 24 images, but the train split has 20"]


@pytest.mark.parametrize("path", ["relative.arrow", "/nowhere/student-final.arrow"])
def test_predictions_that_name_stubborn_classes_must_exist(path: str) -> None:
    stubborn = {"probability": 0.5, "predictions": path}
    with pytest.raises(UserError, match=path):
        check(make_space(backbone="wrn_10_1", batch_size=5, augment={"stubborn": stubborn}))


TWO_CORES = Cluster(({"CPU": 2.0, "memory": 6e9, "object_store_memory": 2e9},))
SMALL = {"backbone": {"choice": ["wrn_10_1", "resnet10_small"]}, "image_size": 16, "batch_size": 5, "epochs": 4}


def plan_of(space: Space, root: Path, cluster: Cluster = TWO_CORES, **options: Any) -> Plan:
    examples = draw_examples(space)
    dataset, _, _ = check_data(space, examples)
    return make_plan(space, examples, dataset, cluster, "toy.yaml", root, **options)


def test_a_plan_is_made_before_anything_is_written(tmp_path: Path) -> None:
    plan = plan_of(make_space([{"backbone": "wrn_10_1"}], **SMALL), tmp_path / "runs" / "toy")
    assert (plan.at_once, plan.trials.count, plan.epochs) == (2, 8, 32)
    assert set(plan.costs) == {"wrn_10_1", "resnet10_small"}
    assert plan.hours is not None
    assert 0 < plan.hours.least < plan.hours.about <= plan.hours.most
    assert plan.images == {"train": [2] * 10, "held_out": [2] * 10}
    assert plan.notes() == []
    assert list(tmp_path.iterdir()) == []


def test_ended_trials_are_not_planned_again(tmp_path: Path) -> None:
    states = ("COMPLETE", "PRUNED", "FAIL")
    earlier = [{"state": state, "epochs_done": 3} for state in states]
    plan = plan_of(make_space([{"backbone": "wrn_10_1"}], **SMALL), tmp_path, earlier=earlier)
    assert (plan.trials.count, plan.trials.first, plan.epochs_done) == (6, (), 6)
    finished = plan_of(make_space(**SMALL), tmp_path, earlier=earlier[:2] * 4)
    assert (finished.trials.count, finished.costs) == (0, {}), "nothing is tried for no trial"


def test_missing_gpus_are_refused_before_any_backbone_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "measure_costs", lambda *arguments: pytest.fail("a backbone was tried"))
    with pytest.raises(UserError, match=r"toy.yaml: resources.gpus_per_worker: got 1, but 0 GPUs are available"):
        plan_of(make_space(resources={"gpus_per_worker": 1}, **SMALL), tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="of a machine without GPUs")
def test_trials_on_gpus_that_this_machine_lacks_are_planned_without_hours(tmp_path: Path) -> None:
    gpus = Cluster(({"CPU": 8.0, "GPU": 1.0},))
    plan = plan_of(make_space(resources={"gpus_per_worker": 0.5}, **SMALL), tmp_path, gpus)
    assert plan.at_once == 2
    assert plan.hours is None
    assert plan.missing == "no GPU on this machine"


def test_a_disk_that_is_too_small_for_the_trials_at_once_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "free_bytes", lambda folder: 1e6)
    with pytest.raises(UserError, match=r"2 trials at once need about .* give another --out"):
        plan_of(make_space(**SMALL), tmp_path)


def test_each_backbone_is_measured_once_with_its_most_work_per_image(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[TrialConfig] = []

    def fake(trainings: Any, limit_s: float, threads: int, device: str | None) -> list[Cost]:
        asked.extend(training.trial for training in trainings)
        assert (limit_s, threads, device) == (7.0, 3, "cpu")
        return [Cost(1, 1, 1, 1, 1, 1.0, None)] * len(trainings)

    monkeypatch.setattr(preflight, "probe_all", fake)
    plain = {"method": {"views": 1, "beta": 0, "gamma": 0}}
    space = make_space([{"backbone": "wrn_10_1", **plain}], resources={"cpus_per_worker": 3}, **SMALL)
    assert set(measure_costs(space, draw_examples(space), 7.0)) == {"wrn_10_1", "resnet10_small"}
    assert [(trial.backbone, trial.method.views) for trial in asked] == [("wrn_10_1", 2), ("resnet10_small", 2)]


@pytest.mark.slow
def test_backbones_can_be_measured_in_a_separate_process() -> None:
    space = make_space(**SMALL)
    trainings = [TrainingConfig(data=space.data, trial=example) for example in draw_examples(space)]
    elsewhere = probe_in_new_process(trainings, 0.1, 1, "cpu")
    here = probe_all(trainings, 0.1, 1, None)
    assert [replace(cost, seconds=None) for cost in elsewhere] == here
    assert all(cost.seconds for cost in elsewhere)


def test_a_failure_in_that_process_is_told_with_its_reason() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)the backbones cannot be measured: .*Invalid device string"):
        probe_in_new_process([TrainingConfig()], 0.1, 1, "no such device")


def test_every_backbone_is_equally_frequent_in_the_sample() -> None:
    trials = list_remaining_trials(make_space([{"backbone": "wrn_10_1"}], **SMALL), ended=0)
    assert (len(trials.first), trials.rest) == (1, 7)
    drawn = [trial.backbone for trial in trials.drawn]
    assert drawn.count("wrn_10_1") == drawn.count("resnet10_small") == 12


def test_an_ablation_s_trainings_are_all_known() -> None:
    tables = {
        "a": {"title": "A", "rows": [{"name": "one", "set": {"epochs": 3}}, {"name": "two", "set": {"epochs": 5}}]}
    }
    trial = {"backbone": "wrn_10_1", "image_size": 16, "batch_size": 5}
    space = space_from(
        {"study": "toy", "data": DATA, "trial": trial, "ablation": {"seeds": 2, "tables": tables}}, "toy.yaml"
    )
    trials = list_remaining_trials(space, ended=1)
    assert (len(trials.first), trials.rest, trials.drawn) == (3, 0, ())
    assert trials.estimate_sum(lambda trial: trial.total_epochs) == 5 + 3 + 5

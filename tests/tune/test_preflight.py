"""What is refused before a search begins."""

from pathlib import Path

import pytest
from PIL import Image

from raysearch.data import open_dataset
from raysearch.errors import UserError
from raysearch.space import ResourcesConfig, Space, space_from
from raysearch.tune.preflight import check_data, check_resources, check_trials, example_trials

DATA = {"source": "digits", "train_per_class": 2, "held_out_per_class": 2}


def make_space(first: list[dict[str, object]] | None = None, data: object = None, **trial: object) -> Space:
    sections = {"data": data or DATA, "search": {"first": first or []}, "trial": trial}
    return space_from({"study": "toy", **sections}, "toy.yaml")


def check(space: Space) -> None:
    examples = example_trials(space)
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
        "toy.yaml: trial.backbone: got 'nope'; timm.list_models() has the known names",
        "toy.yaml: trial.backbone: got 'wrn_16_44'; did you mean 'wrn_16_4'?",
        "toy.yaml: trial.backbone: 'densenet121' cannot be used at 8 px",
    ]


def test_an_option_that_no_backbone_of_the_space_has_is_refused() -> None:
    with pytest.raises(UserError, match="drop_path_rate"):
        check(make_space(backbone="wrn_10_1", batch_size=5, drop_path_rate=0.1))


def test_every_stage_is_checked() -> None:
    stages = [{"epochs": 1}, {"epochs": 1, "image_size": 8}, {"epochs": 1, "batch_size": 60}]
    space = make_space(backbone="densenet121", batch_size=5, stages=stages, method={"aux_weight": 0.0})
    with pytest.raises(UserError) as refused:
        check(space)
    assert [fault.partition(" (")[0] for fault in refused.value.faults] == [
        "toy.yaml: trial.stages.2.batch_size: a step takes 60 images, but the train split has 20",
        "toy.yaml: trial.backbone: 'densenet121' cannot be used at 8 px",
    ]


def test_draws_that_do_not_go_together_are_passed_over() -> None:
    space = make_space(backbone={"choice": ["wrn_10_1", "wrn_16_1"]}, method={"views": {"choice": [1, 2]}, "beta": 0.0})
    assert [example.backbone for example in example_trials(space)] == ["wrn_10_1", "wrn_16_1"]


def test_faults_of_the_test_split_do_not_hold_up_a_search(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for index, name in enumerate(("cat", "dog")):
            (tmp_path / split / name).mkdir(parents=True)
            shade = 20 * index + 50 * ("train", "val", "test").index(split)
            Image.new("RGB", (8, 8), (shade, 0, 0)).save(tmp_path / split / name / "a.png")
    (tmp_path / "test" / "dog" / "broken.png").write_bytes(b"no image")
    space = make_space(data={"source": str(tmp_path)}, backbone="wrn_10_1", image_size=8, augment={"crop_padding": 1})
    _, counts, notes = check_data(space, example_trials(space))
    assert counts == {"train": 2, "held_out": 2, "test": None}
    assert "broken.png" in notes[0]


def test_the_largest_accumulation_counts() -> None:
    with pytest.raises(UserError, match="a step takes 40 images, but the train split has 20"):
        check(make_space(backbone="wrn_10_1", batch_size=5, accumulation={"choice": [1, 8]}))


def test_several_workers_are_refused_before_anything_is_read() -> None:
    with pytest.raises(UserError, match=r"toy.yaml: resources.workers: got 8, .* set it to 1"):
        check_resources(ResourcesConfig(workers=8), "toy.yaml")


@pytest.mark.parametrize("path", ["relative.arrow", "/nowhere/student-final.arrow"])
def test_predictions_that_are_to_name_stubborn_classes_must_be_there(path: str) -> None:
    stubborn = {"probability": 0.5, "predictions": path}
    with pytest.raises(UserError, match=path):
        check(make_space(backbone="wrn_10_1", batch_size=5, augment={"stubborn": stubborn}))

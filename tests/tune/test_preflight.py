"""What is refused before a search begins."""

from pathlib import Path

import pytest
from PIL import Image

from raysearch.config import DataConfig
from raysearch.errors import UserError
from raysearch.space import Space, space_from
from raysearch.tune.preflight import check_data, check_trials

DATA = DataConfig(source="digits", train_per_class=2, held_out_per_class=2)


def make_space(first: list[dict[str, object]] | None = None, **trial: object) -> Space:
    return space_from({"study": "toy", "search": {"first": first or []}, "trial": trial}, "toy.yaml")


def test_every_fault_of_the_trials_is_reported_with_the_file() -> None:
    dataset, _ = check_data(DATA, (16,))
    space = make_space(
        first=[{"backbone": "nope"}, {"batch_size": 500}],
        backbone={"choice": ["wrn_16_44", "densenet121", "wrn_10_1"]},
        image_size=8,
        batch_size={"int": [2, 30]},
        method={"aux_weight": 0.0},
    )
    with pytest.raises(UserError) as refused:
        check_trials(space, dataset, "toy.yaml")
    faults = refused.value.faults
    assert [fault.partition(" (")[0] for fault in faults] == [
        "toy.yaml: trial.batch_size: got 30, but the train split has 20 images",
        "toy.yaml: trial.batch_size: got 500, but the train split has 20 images",
        "toy.yaml: trial.backbone: got 'wrn_16_44'; did you mean 'wrn_16_4'?",
        "toy.yaml: trial.backbone: 'densenet121' cannot be used at 8 px",
        "toy.yaml: trial.backbone: got 'nope'; timm.list_models() has the known names",
    ]


def test_an_option_that_no_backbone_of_the_space_has_is_refused() -> None:
    dataset, _ = check_data(DATA, (16,))
    with pytest.raises(UserError, match="drop_path_rate"):
        check_trials(make_space(backbone="wrn_10_1", batch_size=5, drop_path_rate=0.1), dataset, "toy.yaml")


def test_faults_of_the_test_split_do_not_hold_up_a_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "val", "test"):
        for index, name in enumerate(("cat", "dog")):
            (tmp_path / split / name).mkdir(parents=True)
            shade = 20 * index + 50 * ("train", "val", "test").index(split)
            Image.new("RGB", (8, 8), (shade, 0, 0)).save(tmp_path / split / name / "a.png")
    (tmp_path / "test" / "dog" / "broken.png").write_bytes(b"no image")
    _, counts = check_data(DataConfig(source=str(tmp_path)), (8,))
    assert counts == {"train": 2, "held_out": 2, "test": None}
    assert "broken.png" in capsys.readouterr().out

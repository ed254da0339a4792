import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from raysearch.config import TrainingConfig
from raysearch.export.members import Weights, write_model
from raysearch.models import build_classifier

CLASSES = ("ant", "bee", "cat")


@pytest.mark.parametrize(
    ("backbone", "image_size", "has_aux_head", "block_dropout"),
    [
        ("wrn_10_1", 16, True, 0.0),
        ("wrn_10_1", 16, False, 0.2),
        ("resnet10_small", 32, True, 0.0),
        ("efficientnet_b0_small", 32, False, 0.0),
        ("resnet10t", 32, True, 0.0),
        ("deit_tiny_patch16_224", 32, False, 0.0),
    ],
)
def test_plain_timm_gives_the_logits_of_the_trained_classifier(
    tmp_path: Path, backbone: str, image_size: int, has_aux_head: bool, block_dropout: float
) -> None:
    torch.manual_seed(0)
    classifier = build_classifier(
        backbone, len(CLASSES), image_size, has_aux_head=has_aux_head, block_dropout=block_dropout
    ).eval()
    for value in classifier.state_dict().values():
        if value.is_floating_point():
            value.add_(0.05 * torch.rand_like(value))  # a tensor that is not loaded then differs
    save_file(classifier.state_dict(), tmp_path / "student.safetensors")
    method = {"aux_weight": 0.4 if has_aux_head else 0.0}
    config = TrainingConfig.model_validate(
        {"trial": {"backbone": backbone, "image_size": image_size, "method": method, "block_dropout": block_dropout}}
    )
    folder = tmp_path / "it's a #member"
    weights = Weights("0000-student", tmp_path / "student.safetensors", config, image_size, has_aux_head)
    write_model(folder, weights, CLASSES)

    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    images = torch.randn(2, 3, image_size, image_size)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), classifier(images).logits)
    assert (folder / "aux_head.safetensors").exists() == has_aux_head


def test_the_config_tells_timm_the_preprocessing(small_set: Path) -> None:
    model = timm.create_model(f"local-dir:{small_set / 'members/0001-student'}", pretrained=True)
    config = timm.data.resolve_data_config(model=model)
    assert tuple(config["input_size"]) == (3, 32, 32)
    assert (list(config["mean"]), list(config["std"])) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert (config["interpolation"], config["crop_pct"], config["crop_mode"]) == ("bicubic", 1.0, "center")
    assert model.num_classes == 10


def test_a_member_folder_claims_nothing_of_timms_own_weights(small_set: Path) -> None:
    config = json.loads((small_set / "members/0001-student/config.json").read_text())
    assert config["architecture"] == "resnet10t"
    assert config["label_names"] == list("0123456789")
    assert not {"license", "tag", "url", "hf_hub_id"} & set(config["pretrained_cfg"])


def test_member_weights_are_those_of_the_checkpoint(small_set: Path) -> None:
    folder = small_set / "members/0000-teacher"
    backbone, head = (load_file(folder / name) for name in ("model.safetensors", "aux_head.safetensors"))
    assert set(head) == {"fc.weight", "fc.bias"}
    assert not [name for name in backbone if name.startswith(("backbone.", "aux_head."))]

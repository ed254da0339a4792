import json

import pytest
import timm
import torch
from safetensors.torch import save_file

from raysearch.errors import UserError
from raysearch.models import OURS, build_classifier, check_backbone
from raysearch.models.build import backbone_args, with_head

LIGHT = ("wrn_10_1", "wrn_28_2", "resnet10_small", "efficientnet_b0_small")
"""One of every family"""


def create(name, **kwargs):
    torch.manual_seed(0)
    return timm.create_model(name, **kwargs).eval()


def images(size=32):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", OURS)
@torch.no_grad()
def test_each_of_our_backbones_is_what_its_feature_info_says(name):
    model = create(name, num_classes=7)
    final, stages = model.forward_intermediates(images(), indices=list(range(len(model.feature_info))))
    for stage, info in zip(stages, model.feature_info, strict=True):
        assert stage.shape == (2, info["num_chs"], 32 // info["reduction"], 32 // info["reduction"])
    logits = model(images())
    assert logits.shape == (2, 7)
    torch.testing.assert_close(model.forward_head(final), logits)
    assert model.forward_head(final, pre_logits=True).shape == (2, model.num_features)


@pytest.mark.parametrize("name", LIGHT)
@torch.no_grad()
def test_the_stem_keeps_the_images_resolution(name):
    model = create(name)
    _, stages = model.forward_intermediates(images(), indices=[0])
    assert stages[0].shape[-2:] == (32, 32)


def wide_resnet_parameters(depth, width, num_classes=10):
    """Zagoruyko and Komodakis 2016, Table 1: convolutions, batch norms before them, 1x1 shortcuts, linear layer."""
    total, inputs = 3 * 16 * 9, 16
    for stage, outputs in enumerate((16 * width, 32 * width, 64 * width)):
        for block in range((depth - 4) // 6):
            total += 9 * inputs * outputs + 9 * outputs * outputs + 2 * inputs + 2 * outputs
            if block == 0 and (stage > 0 or inputs != outputs):
                total += inputs * outputs
            inputs = outputs
    return total + 2 * inputs + inputs * num_classes + num_classes


@pytest.mark.parametrize(
    ("name", "depth", "width", "golden"),
    [
        ("wrn_10_1", 10, 1, 77_850),
        ("wrn_16_1", 16, 1, 175_066),
        ("wrn_16_4", 16, 4, 2_748_890),
        ("wrn_28_2", 28, 2, 1_467_610),
    ],
)
def test_wide_resnets_have_the_papers_number_of_parameters(name, depth, width, golden):
    found = sum(parameter.numel() for parameter in create(name, num_classes=10).parameters())
    assert found == golden == wide_resnet_parameters(depth, width)


@pytest.mark.parametrize("name", LIGHT)
@torch.no_grad()
def test_timm_loads_a_checkpoint_of_ours_and_predicts_the_same(name, tmp_path):
    model = create(name, num_classes=7)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": name, "num_classes": 7}))
    torch.manual_seed(1)
    loaded = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    assert torch.equal(loaded(images()), model(images()))


@pytest.mark.parametrize("name", OURS)
def test_timm_knows_our_names_and_input_sizes(name):
    cfg = timm.models.get_pretrained_cfg(name)
    assert (cfg.architecture, cfg.input_size) == (name, (3, 32, 32))


@pytest.mark.parametrize("name", LIGHT)
def test_a_built_backbone_carries_its_own_config(name):
    cfg = create(name).pretrained_cfg
    assert (cfg["architecture"], cfg["input_size"]) == (name, (3, 32, 32))


@pytest.mark.parametrize("name", LIGHT)
def test_the_classifier_can_be_reset(name):
    model = create(name)
    model.reset_classifier(3)
    assert model(images()).shape == (2, 3)


def test_an_unknown_backbone_is_refused_with_a_near_name():
    with pytest.raises(UserError, match=r"trial.backbone: got 'resnet18_smal'; did you mean 'resnet18_small'\?"):
        build_classifier("resnet18_smal", 10, 32, has_aux_head=False)


def test_an_image_too_small_for_the_backbone_is_refused_with_the_reason():
    with pytest.raises(UserError, match=r"'densenet121' cannot be used at 8 px .*Output size is too small"):
        check_backbone("densenet121", 10, 8, has_aux_head=False)


@pytest.mark.parametrize("refuse", [build_classifier, check_backbone])
def test_an_option_that_the_backbone_lacks_is_refused(refuse):
    with pytest.raises(UserError, match=r"'wrn_10_1'.*drop_path_rate"):
        refuse("wrn_10_1", 10, 32, has_aux_head=False, drop_path_rate=0.1)


def test_a_backbone_without_stages_is_refused_an_auxiliary_head():
    with pytest.raises(UserError, match=r"no stages for an auxiliary head; set method.aux_weight to 0"):
        with_head(torch.nn.Linear(3, 10), 10, has_aux_head=True)


def test_a_backbone_of_fixed_input_is_built_for_the_image_size():
    assert backbone_args("swin_tiny_patch4_window7_224", 10, 64)["img_size"] == 64
    assert "img_size" not in backbone_args("wrn_10_1", 10, 64)
    check_backbone("swin_tiny_patch4_window7_224", 10, 32, has_aux_head=True)

import json

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from raysearch.errors import UserError
from raysearch.models import OWN_BACKBONES, build_classifier, check_backbone, small, wide_resnet
from raysearch.models.build import backbone_args, with_head

SMALL = (*wide_resnet.NAMES, *small.NAMES, "pyramidnet110_a48", "se_pyramidnet110_a48")
"""For 32 px"""
LIGHT = ("wrn_10_1", "wrn_28_2", "resnet10_small", "seresnet18_small", "efficientnet_b0_small", "pyramidnet110_a48")
"""One of every family"""


def create(name, **kwargs):
    torch.manual_seed(0)
    return timm.create_model(name, **kwargs).eval()


def images(size=32):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", SMALL)
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


@pytest.mark.parametrize("name", OWN_BACKBONES)
def test_timm_knows_our_names_and_input_sizes(name):
    cfg = timm.models.get_pretrained_cfg(name)
    size = 32 if name in SMALL else 224
    assert (cfg.architecture, cfg.input_size) == (name, (3, size, size))
    assert timm.model_entrypoint(name).__module__.startswith("raysearch.models.")


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


def test_a_map_without_pixels_is_refused_where_it_raises_no_error(monkeypatch):
    class NoPixels(Fake):
        def forward_features(self, x):
            return super().forward_features(x)[:, :, :0]

    with pytest.raises(UserError, match=r"'fake' cannot be used at 8 px \(its logits are not finite: .* no pixels"):
        check_fake(monkeypatch, NoPixels())


def test_what_goes_wrong_in_training_only_is_refused(monkeypatch):
    class InstanceNormed(Fake):
        def forward_head(self, x, pre_logits=False):
            return super().forward_head(nn.InstanceNorm2d(4, track_running_stats=True).train(self.training)(x))

    with pytest.raises(UserError, match=r"'fake' cannot be used at 8 px .*more than 1 spatial element when training"):
        check_fake(monkeypatch, InstanceNormed())


@torch.no_grad()
def test_batch_norm_over_a_single_pixel_and_two_images_is_taken():
    """The smallest batch that a config may have; its statistics are those of two values."""
    classifier = build_classifier("resnet10t", 10, 8, has_aux_head=True).train()
    maps = classifier.backbone.forward_intermediates(images(8), indices=[4])[1]
    assert maps[0].shape[-2:] == (1, 1)
    check_backbone("resnet10t", 10, 8, has_aux_head=True)


def test_the_check_leaves_the_random_state_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    check_backbone("resnet10t", 10, 8, has_aux_head=False)
    assert torch.equal(torch.get_rng_state(), before)


class Fake(nn.Module):
    """As small as a backbone can be, with maps of a single pixel."""

    feature_info = ()

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 10)

    def get_classifier(self):
        return self.fc

    def forward_features(self, x):
        return x.mean((2, 3), keepdim=True).repeat(1, 2, 1, 1)[:, :4]

    def forward_head(self, x, pre_logits=False):
        x = x.mean((2, 3))
        return x if pre_logits else self.fc(x)

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


def check_fake(monkeypatch, backbone):
    monkeypatch.setattr("raysearch.models.build.backbone_args", lambda *_, **__: {})
    monkeypatch.setattr("timm.create_model", lambda *_, **__: backbone)
    check_backbone("fake", 10, 8, has_aux_head=False)


def test_a_head_of_more_than_one_layer_is_refused(monkeypatch):
    class Normed(Fake):
        def forward_head(self, x, pre_logits=False):
            x = x.mean((2, 3))
            return x if pre_logits else self.fc(3 * x)

    check_fake(monkeypatch, Fake())
    with pytest.raises(UserError, match=r"'fake' .*not the output of timm's classifier layer"):
        check_fake(monkeypatch, Normed())


def test_a_head_whose_features_miss_its_dropout_is_refused_with_dropout_only():
    check_backbone("lcnetv2_base", 10, 32, has_aux_head=True)
    with pytest.raises(UserError, match=r"'lcnetv2_base' .*set trial.dropout to 0"):
        check_backbone("lcnetv2_base", 10, 32, has_aux_head=True, dropout=0.5)


@pytest.mark.parametrize(
    ("name", "kind"), [("deit_tiny_distilled_patch16_224", "tuple"), ("resnetv2_18", "Conv2d"), ("dla46_c", "Conv2d")]
)
def test_a_classifier_that_is_no_linear_layer_is_refused(name, kind):
    with pytest.raises(UserError, match=rf"'{name}' cannot be used: its classifier must .*returns a {kind}"):
        build_classifier(name, 10, 32, has_aux_head=False)


@pytest.mark.parametrize("refuse", [build_classifier, check_backbone])
def test_an_option_that_the_backbone_lacks_is_refused(refuse):
    with pytest.raises(UserError, match=r"'wrn_10_1'.*drop_path_rate"):
        refuse("wrn_10_1", 10, 32, has_aux_head=False, drop_path_rate=0.1)


def test_a_backbone_without_stages_is_refused_an_auxiliary_head():
    with pytest.raises(UserError, match=r"no stages for an auxiliary head; set method.aux_weight to 0"):
        with_head(torch.nn.Linear(3, 10), 10, has_aux_head=True)


@pytest.mark.parametrize("asked", [3, -4, 99])
def test_a_stage_that_does_not_exist_is_refused_with_the_known_ones(asked):
    known = r"0 \(16 channels\), 1 \(32 channels\), 2 \(64 channels\); -3 to -1 count from the end"
    with pytest.raises(
        UserError, match=rf"trial.method.aux_stage: got {asked}, but the stages of 'wrn_10_1' are {known}"
    ):
        check_backbone("wrn_10_1", 10, 32, has_aux_head=True, aux_stage=asked)


def test_without_an_auxiliary_head_its_stage_does_not_matter():
    assert build_classifier("wrn_10_1", 10, 32, has_aux_head=False, aux_stage=99).aux_head is None


@pytest.mark.parametrize("name", ["wrn_10_1", "resnet10_small", "efficientnet_b0_small", "test_vit", "test_nfnet"])
def test_the_auxiliary_head_takes_any_stage(name):
    """Gradient reaches the stages up to its own, and no later one."""
    reached = []
    for stage in range(3):
        classifier = build_classifier(name, 5, 32, has_aux_head=True, aux_stage=stage).train()
        classifier(images()).aux_logits.sum().backward()
        without = [weights for weights in classifier.backbone.parameters() if weights.grad is None]
        reached.append(len(list(classifier.backbone.parameters())) - len(without))
        assert classifier.aux_head.fc.in_features == classifier.backbone.feature_info[stage]["num_chs"]
    assert 0 < reached[0] < reached[1] < reached[2]


def test_a_negative_stage_counts_from_the_end():
    channels = [build_classifier("wrn_10_1", 5, 32, has_aux_head=True, aux_stage=k).aux_stage for k in (-1, -2, -3)]
    assert channels == [2, 1, 0]


@pytest.mark.parametrize("name", ["wrn_10_1", "resnet10t", "test_nfnet", "swin_tiny_patch4_window7_224"])
@torch.no_grad()
def test_the_backbone_runs_once_a_pass(name):
    classifier = build_classifier(name, 5, 32, has_aux_head=True).eval()
    calls = []
    for module in classifier.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda module, *_: calls.append(module))
    classifier(images())
    assert len(calls) == len(set(calls)) > 5


@pytest.mark.parametrize("size", [28, 32, 48, 64])
def test_a_backbone_of_fixed_input_is_built_for_the_image_size(size):
    assert backbone_args("swin_tiny_patch4_window7_224", 10, size)["img_size"] == size
    assert "img_size" not in backbone_args("wrn_10_1", 10, size)
    check_backbone("swin_tiny_patch4_window7_224", 10, size, has_aux_head=True)


def test_a_fixed_input_that_patches_do_not_fit_is_refused():
    with pytest.raises(UserError, match=r"'test_vit' cannot be used at 40 px .*divisible by patch size"):
        check_backbone("test_vit", 10, 40, has_aux_head=True)

"""The contract of every backbone that the method names (method sheet, section 3), at the smallest common image size."""

import zlib
from dataclasses import dataclass

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.full_backbones import BACKBONES
from raysearch.models import Classifier, build_classifier
from raysearch.models.build import backbone_args

IMAGE_SIZE = 32
CLASSES = 5

LARGE = (
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "resnet152",
    "resnest200e",
    "nfnet_f6",
    "pyramidnet200_a300",
    "se_pyramidnet200_a300",
)
"""Of the same code as a smaller one, which is tested with every change"""
METHOD = [pytest.param(name, marks=pytest.mark.extra) if name in LARGE else name for name in (*BACKBONES, "nfnet_f0")]


@dataclass(frozen=True)
class Trained:
    """A classifier after one step, now in eval mode, and what the step left."""

    name: str
    classifier: Classifier
    fingerprints: dict[str, int]
    """Of the backbone's tensors before the step"""
    without_gradient: tuple[str, ...]
    aux_gradient: float
    moved: frozenset[str]
    """The backbone's parameters that the step changed"""


def fingerprints(module: torch.nn.Module) -> dict[str, int]:
    return {name: zlib.crc32(tensor.contiguous().numpy()) for name, tensor in module.state_dict().items()}


def images(batch: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(batch, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=METHOD)
def trained(request):
    torch.manual_seed(0)
    classifier = build_classifier(request.param, CLASSES, IMAGE_SIZE, has_aux_head=True)
    before = fingerprints(classifier.backbone)
    outputs, labels = classifier.train()(images(4)), torch.arange(4)
    loss = cross_entropy(outputs.logits, labels) + 0.4 * cross_entropy(outputs.aux_logits, labels)
    loss.backward()
    without = tuple(name for name, weights in classifier.named_parameters() if weights.grad is None)
    aux_gradient = float(classifier.aux_head.fc.weight.grad.abs().max())
    # Batch norm over four values a channel, in the last stage, makes gradients of a thousand and more.
    torch.nn.utils.clip_grad_norm_(classifier.parameters(), 1.0, error_if_nonfinite=True)
    torch.optim.SGD(classifier.parameters(), lr=0.01).step()
    classifier.zero_grad(set_to_none=True)
    after = fingerprints(classifier.backbone)
    moved = frozenset(name for name, _ in classifier.backbone.named_parameters() if after[name] != before[name])
    return Trained(request.param, classifier.eval(), before, without, aux_gradient, moved)


def test_a_training_step_reaches_every_parameter(trained):
    assert trained.aux_gradient > 0
    if getattr(trained.classifier.backbone, "has_unused_parameters", False):
        assert all(".branches." in name for name in trained.without_gradient)
    else:
        assert trained.without_gradient == ()
    names = [name for name, _ in trained.classifier.backbone.named_parameters()]
    assert {names[0], names[-1]} <= trained.moved  # the stem and the last layer


@torch.no_grad()
def test_it_predicts_what_its_plain_backbone_predicts(trained):
    outputs = trained.classifier(images(seed=1))
    assert outputs.logits.shape == outputs.aux_logits.shape == (2, CLASSES)
    assert outputs.aux_logits.isfinite().all()
    assert outputs.logits.isfinite().all()
    assert outputs.features.shape == (2, trained.classifier.num_features)
    assert torch.equal(outputs.logits, trained.classifier.backbone(images(seed=1)))


@torch.no_grad()
def test_the_feature_info_is_true_to_the_stages_maps(trained):
    backbone = trained.classifier.backbone
    stages = list(range(len(backbone.feature_info)))
    _, maps = backbone.forward_intermediates(images(), indices=stages, output_fmt="NCHW")
    for feature_map, info in zip(maps, backbone.feature_info, strict=True):
        side = -(-IMAGE_SIZE // info["reduction"])
        assert feature_map.shape == (2, info["num_chs"], side, side)


@torch.no_grad()
def test_later_layers_leave_the_auxiliary_heads_map_alone(trained):
    backbone, stage = trained.classifier.backbone, trained.classifier.aux_stage
    assert stage == len(backbone.feature_info) - 2
    _, (whole,) = backbone.forward_intermediates(images(), indices=[stage], output_fmt="NCHW")
    _, (stopped,) = backbone.forward_intermediates(images(), indices=[stage], stop_early=True, output_fmt="NCHW")
    assert torch.equal(whole, stopped)


@torch.no_grad()
def test_plain_timm_draws_the_same_weights_and_loads_the_checkpoint(trained, tmp_path):
    backbone, file = trained.classifier.backbone, tmp_path / "model.safetensors"
    torch.manual_seed(0)
    plain = timm.create_model(trained.name, **backbone_args(trained.name, CLASSES, IMAGE_SIZE)).eval()
    assert fingerprints(plain) == trained.fingerprints
    if trained.name == "nfnet_f6":  # a file of 1.8 GB
        plain.load_state_dict(backbone.state_dict())
    else:
        save_file(backbone.state_dict(), file)
        timm.models.load_checkpoint(plain, str(file))
        file.unlink()
    assert torch.equal(plain(images(seed=1)), backbone(images(seed=1)))


@pytest.mark.parametrize("name", METHOD)
def test_names_lead_to_timms_own_functions_or_to_ours(name):
    """Nothing under one of timm's names is replaced."""
    ours = name.startswith(("pyramidnet", "se_pyramidnet", "dsk_"))
    assert timm.model_entrypoint(name).__module__.startswith("raysearch.models." if ours else "timm.models.")

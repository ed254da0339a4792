"""Dropout between the two convolutions of a block (Zagoruyko and Komodakis 2016, section 2.4)."""

import pytest
import torch
import torch.nn.functional as F

from raysearch.config import TrialConfig
from raysearch.errors import UserError
from raysearch.models import build_classifier, check_backbone, wide_resnet
from raysearch.models.wide_resnet import WideBlock
from raysearch.train.distributed import World
from raysearch.train.resource_check import check_fit
from raysearch.train.task import Task


def build(block_dropout):
    torch.manual_seed(0)
    return build_classifier("wrn_10_1", 5, 16, has_aux_head=True, block_dropout=block_dropout)


def images():
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("outputs", "stride"), [(4, 1), (6, 2)])
def test_a_block_drops_units_before_its_second_convolution(outputs, stride):
    torch.manual_seed(0)
    block, x = WideBlock(4, outputs, stride, dropout=0.4), torch.randn(3, 4, 8, 8)
    torch.manual_seed(1)
    found = block(x)
    torch.manual_seed(1)
    active = F.relu(block.norm1(x))
    shortcut = block.shortcut(active) if block.shortcut else x
    between = F.dropout(F.relu(block.norm2(block.conv1(active))), 0.4)
    torch.testing.assert_close(found, block.conv2(between) + shortcut)
    assert not torch.equal(found, block(x))


def test_inference_ignores_it_and_the_weights_have_the_same_names_and_values():
    plain, dropping = build(0.0), build(0.4)
    for (name, one), (other_name, other) in zip(plain.state_dict().items(), dropping.state_dict().items(), strict=True):
        assert name == other_name
        assert torch.equal(one, other)
    assert torch.equal(plain.eval()(images()).logits, dropping.eval()(images()).logits)
    assert not torch.allclose(plain.train()(images()).logits, dropping.train()(images()).logits)


def test_at_zero_it_draws_no_random_numbers():
    classifier = build(0.0).train()
    before = torch.get_rng_state()
    classifier.backbone.forward_features(images())
    assert torch.equal(torch.get_rng_state(), before)


def test_every_block_of_every_wide_residual_network_has_it():
    for name in wide_resnet.NAMES:
        classifier = build_classifier(name, 5, 16, has_aux_head=False, dropout=0.1, block_dropout=0.2)
        blocks = [block for stage in classifier.backbone.stages for block in stage]
        assert {block.dropout.p for block in blocks} == {0.2}
        assert classifier.backbone.head.drop.p == 0.1
    check_backbone("wrn_10_1", 5, 16, has_aux_head=True, dropout=0.3, block_dropout=0.4)


def test_a_training_uses_it_in_student_and_teacher():
    trial = TrialConfig(backbone="wrn_10_1", image_size=16, precision="float32", block_dropout=0.4)
    task = Task(trial, 5, World(0, 1, torch.device("cpu")))
    for classifier in (task.student.classifier, task.teacher.model):
        assert {block.dropout.p for stage in classifier.backbone.stages for block in stage} == {0.4}


@pytest.mark.parametrize("name", ["resnet10_small", "pyramidnet110_a48", "wide_resnet50_2"])
def test_a_backbone_without_it_is_refused_once_for_all_sizes(name):
    trial = TrialConfig.model_validate({"backbone": name, "block_dropout": 0.2, "inference": {"also_at": [40, 48]}})
    with pytest.raises(UserError) as refused:
        check_fit(trial, 5)
    (fault,) = refused.value.faults
    assert fault.startswith(f"trial.block_dropout: got 0.2, but {name!r} has no dropout in its blocks; set it to 0, or")
    assert "wrn_16_2" in fault
    build_classifier("resnet10_small", 5, 32, has_aux_head=False, block_dropout=0.0)

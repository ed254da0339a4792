import math

import pytest
import timm
import torch
from torch import nn

from raysearch.models import build_classifier
from raysearch.models.pyramidnet import PyramidBlock, PyramidNet


def count(name, **kwargs):
    with torch.device("meta"):
        return sum(weights.numel() for weights in timm.create_model(name, **kwargs).parameters())


def closed_form(blocks, alpha, start, expansion, stem_kernel, classes, rounding=round):
    """Parameters: convolutions without bias, batch norms with two a channel, one linear layer."""
    total, inputs = 3 * start * stem_kernel**2 + 2 * start, start
    for index in range(1, sum(blocks) + 1):
        width = rounding(start + alpha * index / sum(blocks))
        if expansion == 1:
            total += 2 * inputs + 9 * inputs * width + 2 * width + 9 * width * width + 2 * width
        else:
            total += 2 * inputs + inputs * width + 2 * width + 9 * width * width + 2 * width + 4 * width * width
            total += 2 * 4 * width
        inputs = expansion * width
    return total + 2 * inputs + inputs * classes + classes


@pytest.mark.parametrize(
    ("name", "published", "form"),
    [
        ("pyramidnet101_a360", 42.5e6, ((3, 4, 23, 3), 360, 64, 4, 7)),
        ("pyramidnet200_a300", 62.1e6, ((3, 24, 36, 3), 300, 64, 4, 7)),
    ],
)
def test_imagenets_forms_have_the_published_number_of_parameters(name, published, form):
    found = count(name)
    assert found == closed_form(*form, 1000)
    assert found == pytest.approx(published, rel=0.01)


def test_cifars_form_has_the_number_of_parameters_of_other_implementations():
    """The paper's table says 1.7 M: cut, not rounded. Even widths rounded down all along give 1.74 M."""
    form = ((18, 18, 18), 48, 16, 1, 3, 10)
    assert count("pyramidnet110_a48", num_classes=10) == closed_form(*form) == 1_772_706
    assert closed_form(*form, rounding=math.floor) > 1.73e6
    assert count("pyramidnet101_a360") == 42_455_070


@pytest.mark.parametrize("name", ["pyramidnet101_a360", "pyramidnet110_a48"])
def test_squeeze_excitation_adds_its_two_layers_to_every_block(name):
    with torch.device("meta"):
        blocks = [module for module in timm.create_model(f"se_{name}").modules() if isinstance(module, PyramidBlock)]
    squeezed = [max(math.floor(block.outputs / 16 / 8 + 0.5), 1) * 8 for block in blocks]  # the nearest multiple of 8
    added = sum(2 * block.outputs * s + s + block.outputs for block, s in zip(blocks, squeezed, strict=True))
    assert count(f"se_{name}") - count(name) == added


def test_widths_rise_by_the_same_step_from_block_to_block():
    model = PyramidNet((2, 2, 2), alpha=12)
    widths = [block.outputs for block in model.modules() if isinstance(block, PyramidBlock)]
    assert widths == [18, 20, 22, 24, 26, 28]
    assert [info["num_chs"] for info in model.feature_info] == [20, 24, 28]


def still(block):
    """Without its residual function: the last batch norm gives zeros."""
    nn.init.zeros_(block.residual[-1].weight)
    return block.eval()


@pytest.mark.parametrize("has_se", [False, True])
@pytest.mark.parametrize("is_bottleneck", [False, True])
@torch.no_grad()
def test_the_shortcut_is_the_identity_and_zero_channels(is_bottleneck, has_se):
    block = still(PyramidBlock(6, 8, 1, is_bottleneck, has_se, 0.0))
    x = torch.randn(2, 6, 5, 5)
    y = block(x)
    assert y.shape == (2, 32 if is_bottleneck else 8, 5, 5)
    assert torch.equal(y[:, :6], x)
    assert not y[:, 6:].any()


@torch.no_grad()
def test_where_the_map_gets_smaller_the_shortcut_is_the_average():
    block = still(PyramidBlock(1, 2, 2, False, False, 0.0))
    x = torch.arange(9.0).view(1, 1, 3, 3)
    # Means of 0 1 3 4, of 2 5, of 6 7 and of 8: an odd side's last row and column have windows of their own.
    assert block(x)[0, 0].tolist() == [[2.0, 3.5], [6.5, 8.0]]


@torch.no_grad()
def test_no_relu_stands_before_the_first_convolution_or_behind_the_sum():
    block = PyramidBlock(1, 1, 1, False, False, 0.0).eval()
    first, second = block.residual[1], block.residual[4]
    for conv in (first, second):
        nn.init.dirac_(conv.weight)
    first.weight.neg_()
    x = torch.tensor([-2.0, 3.0]).view(1, 1, 1, 2)
    # (x, negated, then ReLU) + x: the first pixel is 2 - 2, the second 0 + 3, but for batch norm's epsilon.
    torch.testing.assert_close(block(x).flatten(), torch.tensor([0.0, 3.0]), atol=1e-4, rtol=0)
    nn.init.zeros_(second.weight)
    assert torch.equal(block(x), x)


@torch.no_grad()
def test_squeeze_excitation_weights_the_residual_and_not_the_shortcut():
    torch.manual_seed(0)
    block, x = PyramidBlock(4, 6, 1, False, True, 0.0).eval(), torch.randn(2, 4, 3, 3)
    residual = block.residual(x)
    gate = torch.sigmoid(block.se.fc2(torch.relu(block.se.fc1(residual.mean((2, 3), keepdim=True)))))
    expected = gate * residual + torch.cat([x, torch.zeros(2, 2, 3, 3)], 1)
    torch.testing.assert_close(block(x), expected)


def test_drop_path_rises_linearly_with_depth_and_drops_residuals():
    model = PyramidNet((1, 1, 1), alpha=6, drop_path_rate=0.4)
    blocks = [module for module in model.modules() if isinstance(module, PyramidBlock)]
    assert [block.drop_path.drop_prob for block in blocks] == pytest.approx([0.0, 0.2, 0.4])
    block, x = blocks[-1].train(), torch.randn(40, blocks[-1].residual[0].num_features, 4, 4)
    shortcut_only = (block(x)[:, -1] == 0).all(dim=(1, 2))  # the added channel
    assert 0.2 < shortcut_only.float().mean() < 0.6


def test_drop_path_can_be_given_by_name():
    classifier = build_classifier("pyramidnet110_a48", 5, 32, has_aux_head=True, drop_path_rate=0.2, dropout=0.3)
    assert classifier.backbone.stages[-1][-1].drop_path.drop_prob == pytest.approx(0.2)
    assert classifier.backbone.head.drop.p == 0.3


def test_it_compiles_in_one_graph():
    torch.manual_seed(0)
    model = PyramidNet((1, 1, 1), alpha=6, has_se=True, drop_path_rate=0.2)
    x = torch.randn(2, 3, 8, 8)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled.eval()(x), model.eval()(x))
    assert compiled.train()(x).requires_grad

import pytest
import timm
import torch

import raysearch.models  # noqa: F401  registers our backbones
from raysearch.train import precision


@pytest.fixture
def native(monkeypatch):
    monkeypatch.setattr(precision, "has_native_bfloat16", lambda device: True)


def choose(asked, backbone, device="cpu"):
    return precision.choose_precision(asked, timm.create_model(backbone), torch.device(device))


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize(
    ("backbone", "device", "expected"),
    [
        ("wrn_10_1", "cpu", "bfloat16"),
        ("resnet10_small", "cpu", "bfloat16"),
        ("efficientnet_b0_small", "cpu", "float32"),
        ("efficientnet_b0_small", "cuda", "bfloat16"),
    ],
)
def test_auto_is_bfloat16_except_for_depthwise_convolutions_on_a_cpu(backbone, device, expected):
    assert choose("auto", backbone, device) == expected


def test_auto_is_float32_where_bfloat16_is_emulated(monkeypatch):
    monkeypatch.setattr(precision, "has_native_bfloat16", lambda device: False)
    assert choose("auto", "wrn_10_1") == "float32"


@pytest.mark.parametrize("is_native", [True, False])
@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_a_configured_precision_is_used(asked, is_native, monkeypatch):
    monkeypatch.setattr(precision, "has_native_bfloat16", lambda device: is_native)
    assert choose(asked, "efficientnet_b0_small") == asked

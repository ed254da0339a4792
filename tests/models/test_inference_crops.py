import numpy as np
import pytest
import torch
from torch import Tensor, nn

from raysearch.config import IMAGE_MEAN, IMAGE_STD
from raysearch.models import Outputs, build_classifier, infer, infer_crops, infer_mirrored, infer_tencrop, tencrop_side

CLASSES, SIZE = 3, 8


class Template(nn.Module):
    """Logits are scalar products of the image with a random pattern of its own for each class."""

    def __init__(self, size: int, has_aux_head: bool = True) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.patterns = nn.Parameter(torch.randn(2, CLASSES, 3, size, size, generator=generator) / size)
        self.has_aux_head = has_aux_head

    def forward(self, images: Tensor) -> Outputs:
        final, aux = (torch.einsum("nchw,kchw->nk", images, pattern) for pattern in self.patterns)
        return Outputs(final, aux if self.has_aux_head else None, images.flatten(1)[:, ::20])


def pixels(side: int, samples: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (samples, side, side, 3), dtype=np.uint8)


def crops_by_hand(images: np.ndarray, size: int) -> list[np.ndarray]:
    """Normalised float64 [samples, 3, size, size]: corners and centre of the images and of their mirror images."""
    values = (images / 255 - IMAGE_MEAN) / IMAGE_STD
    far, middle = images.shape[1] - size, round((images.shape[1] - size) / 2)
    at = [(0, 0), (0, far), (far, 0), (far, far), (middle, middle)]
    crops = [of[:, top : top + size, left : left + size] for of in (values, values[:, :, ::-1]) for top, left in at]
    return [crop.transpose(0, 3, 1, 2) for crop in crops]


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def check_means(inference, classifier, crops):
    """Compares with the means over ``crops``, each float64 [samples, 3, size, size]."""
    for pattern, probs in zip(
        classifier.patterns.detach().double().numpy(), (inference.final, inference.aux), strict=True
    ):
        expected = np.mean([softmax(np.einsum("nchw,kchw->nk", crop, pattern)) for crop in crops], axis=0)
        np.testing.assert_allclose(probs, expected, atol=1e-6)
        assert probs.dtype == np.float32
    features = np.mean([crop.reshape(len(crop), -1)[:, ::20] for crop in crops], axis=0)
    np.testing.assert_allclose(inference.features, features, atol=1e-6)


def test_mirrored_is_the_mean_of_the_probabilities_of_the_image_and_its_mirror_image():
    classifier, images = Template(SIZE), pixels(SIZE)
    inference = infer_mirrored(classifier, images, batch_size=2)
    values = ((images / 255 - IMAGE_MEAN) / IMAGE_STD).transpose(0, 3, 1, 2)
    check_means(inference, classifier, [values, np.flip(values, 3)])
    assert np.abs(infer(classifier, images).final - inference.final).max() > 0.01


@pytest.mark.parametrize("side", [8, 9, 11, 12])
def test_tencrop_is_the_mean_of_the_probabilities_of_ten_crops(side):
    classifier, images = Template(SIZE), pixels(side)
    inference = infer_tencrop(classifier, images, SIZE, batch_size=2)
    crops = crops_by_hand(images, SIZE)
    assert len(crops) == 10
    check_means(inference, classifier, crops)


@pytest.mark.parametrize(("crops", "side"), [("mirror", SIZE), ("tencrop", 11)])
def test_a_mirror_image_has_the_probabilities_of_the_image(crops, side):
    classifier, images = Template(SIZE), pixels(side)
    one, mirrored = (infer_crops(classifier, i, crops, SIZE) for i in (images, images[:, :, ::-1]))
    np.testing.assert_allclose(one.final, mirrored.final, atol=1e-6)
    assert np.abs(infer(classifier, images[:, :SIZE, :SIZE]).final - one.final).max() > 0.01


@pytest.mark.parametrize(("crops", "side"), [("center", SIZE), ("mirror", SIZE), ("tencrop", 12)])
def test_without_an_auxiliary_head_there_are_no_auxiliary_probabilities(crops, side):
    assert infer_crops(Template(SIZE, has_aux_head=False), pixels(side), crops, SIZE).aux is None


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize(("crops", "side"), [("mirror", 16), ("tencrop", 20)])
def test_it_runs_in_eval_mode_and_leaves_the_classifier_as_it_was(crops, side, is_training):
    torch.manual_seed(0)
    classifier = build_classifier("wrn_10_1", CLASSES, 16, has_aux_head=True).train(is_training)
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    flat = np.full((2, side, side, 3), 100, np.uint8)  # all crops of it are the same
    several, whole = infer_crops(classifier, flat, crops, 16), infer(classifier, flat[:, :16, :16])
    np.testing.assert_allclose(several.final, whole.final, atol=1e-6)
    np.testing.assert_allclose(several.aux, whole.aux, atol=1e-6)
    assert {module.training for module in classifier.modules()} == {is_training}
    assert all(torch.equal(tensor, before[name]) for name, tensor in classifier.state_dict().items())


@pytest.mark.parametrize(
    ("image_size", "share", "side"),
    [(224, 0.875, 256), (448, 0.875, 512), (32, 0.875, 37), (8, 0.99, 8), (16, 0.5, 32)],
)
def test_the_side_before_cropping_by_hand(image_size, share, side):
    assert tencrop_side(image_size, share) == side

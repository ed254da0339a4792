import numpy as np
import pytest
import torch

from raysearch.models import Inference, build_classifier, infer, normalise


def build(backbone="wrn_10_1", has_aux_head=True, **options):
    torch.manual_seed(0)
    classifier = build_classifier(backbone, 5, 32, has_aux_head=has_aux_head, **options)
    for name, buffer in classifier.named_buffers():  # so that batch norm does something
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + (0.5 if name.endswith("var") else 0))
    return classifier


def pixels(samples=7, size=32):
    return np.random.default_rng(0).integers(0, 256, (samples, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("has_aux_head", [True, False])
@pytest.mark.parametrize("backbone", ["wrn_10_1", "resnet10_small", "efficientnet_b0_small", "resnet10t"])
@torch.no_grad()
def test_logits_are_those_of_the_plain_backbone(backbone, has_aux_head):
    classifier = build(backbone, has_aux_head).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    outputs = classifier(images)
    torch.testing.assert_close(outputs.logits, classifier.backbone(images))
    assert outputs.features.shape == (2, classifier.backbone.num_features)
    assert (outputs.aux_logits is not None) == has_aux_head
    if has_aux_head:
        assert outputs.aux_logits.shape == (2, 5)


def test_the_auxiliary_head_sits_on_the_last_stage_but_one():
    classifier = build()
    classifier(torch.randn(2, 3, 32, 32)).aux_logits.sum().backward()
    stages = classifier.backbone.stages
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in stages[1].parameters())
    assert all(p.grad is None for p in stages[2].parameters())
    assert classifier.aux_head.fc.in_features == 32


def test_dropout_acts_before_the_last_layer_in_training_only():
    classifier = build("resnet10_small", dropout=0.5)
    images = torch.randn(4, 3, 32, 32)
    assert 0.4 < (classifier.train()(images).features == 0).float().mean() < 0.6
    assert torch.equal(classifier.eval()(images).features, classifier(images).features)


def test_one_seed_builds_the_same_weights():
    for one, other in zip(build().state_dict().values(), build().state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_normalise_by_hand():
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    expected = [[-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]]
    torch.testing.assert_close(normalise(images)[:, :, 0, 0], torch.tensor(expected))


@torch.no_grad()
def test_infer_is_a_plain_forward_pass_in_eval_mode():
    classifier, images = build(), pixels()
    inference = infer(classifier, images, batch_size=3)
    outputs = classifier.eval()(normalise(torch.from_numpy(images).permute(0, 3, 1, 2)))
    np.testing.assert_allclose(inference.final, outputs.logits.softmax(1), atol=1e-6)
    np.testing.assert_allclose(inference.aux, outputs.aux_logits.softmax(1), atol=1e-6)
    np.testing.assert_allclose(inference.features, outputs.features, atol=1e-5)
    assert {a.dtype for a in (inference.final, inference.aux, inference.features)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("is_training", [True, False])
def test_infer_leaves_the_classifier_as_it_was(is_training):
    classifier = build().train(is_training)
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    infer(classifier, pixels())
    assert {module.training for module in classifier.modules()} == {is_training}
    assert all(torch.equal(tensor, before[name]) for name, tensor in classifier.state_dict().items())


def test_infer_is_the_same_whatever_the_batch_size():
    classifier, images = build(), pixels()
    one, whole = infer(classifier, images, batch_size=1), infer(classifier, images, batch_size=100)
    np.testing.assert_allclose(one.final, whole.final, atol=1e-6)
    np.testing.assert_allclose(one.aux, whole.aux, atol=1e-6)


def test_without_an_auxiliary_head_there_is_nothing_to_fuse():
    inference = infer(build(has_aux_head=False), pixels(2))
    assert inference.aux is None
    with pytest.raises(AssertionError, match="fusion needs an auxiliary head"):
        inference.fused(0.3)


def test_fused_is_the_convex_combination():
    final, aux = np.array([[0.8, 0.2]], np.float32), np.array([[0.4, 0.6]], np.float32)
    inference = Inference(final, aux, np.zeros((1, 2), np.float32))
    np.testing.assert_allclose(inference.fused(0.25), [[0.7, 0.3]], rtol=1e-6)
    np.testing.assert_array_equal(inference.fused(0.0), final)
    np.testing.assert_array_equal(inference.fused(1.0), aux)
    assert inference.fused(0.25).dtype == np.float32

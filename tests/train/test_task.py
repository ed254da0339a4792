import pytest
import torch

from raysearch.config import AugmentConfig, MethodConfig, OptimizerConfig, TrialConfig
from raysearch.models import normalise
from raysearch.train.batches import draw_batch
from raysearch.train.distributed import World
from raysearch.train.optimizer import build_optimizer
from raysearch.train.task import Task

BATCH, CLASSES = 12, 4
PLAIN = {"crop": "none", "hflip": 0.0, "policy": "none", "erasing": 0.0, "mixing": "none"}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


IMAGES = torch.randint(0, 256, (BATCH, 3, 16, 16), generator=seeded(1), dtype=torch.uint8)
LABELS = torch.arange(BATCH) % CLASSES


def build(augment=None, method=None, **trial):
    torch.manual_seed(0)
    config = TrialConfig(
        backbone="wrn_10_1",
        image_size=16,
        precision="float32",
        dropout=0.0,
        augment=AugmentConfig(**(augment or {})),
        method=MethodConfig(**(method or {})),
    )
    return Task(config.model_copy(update=trial), CLASSES, World(0, 1, torch.device("cpu")))


def batch_of(task, images=IMAGES, generator=None):
    return draw_batch(images, LABELS, task.stage, generator or seeded())


def inputs_of(task, images=IMAGES):
    return task.inputs(batch_of(task, images))


def loss_of(task, epochs_done=1.0, generator=None):
    return task.loss(batch_of(task, generator=generator), epochs_done)


def test_without_augmentation_each_view_is_the_normalised_batch_in_order():
    inputs, targets = inputs_of(build(PLAIN))
    torch.testing.assert_close(inputs, normalise(IMAGES).repeat(2, 1, 1, 1))
    torch.testing.assert_close(targets.dense(0.0), torch.eye(CLASSES)[LABELS])


@pytest.mark.parametrize("mixing", ["mixup", "cutmix"])
def test_both_views_are_mixed_alike(mixing):
    inputs, _ = inputs_of(build(PLAIN | {"mixing": mixing}))
    assert torch.equal(inputs[:BATCH], inputs[BATCH:])
    assert not torch.equal(inputs[:BATCH], normalise(IMAGES))


def test_targets_are_those_of_the_pixels():
    """Cutmix of images that show only their class: the shares of pixels are the masses of the labels."""
    blank = (LABELS.to(torch.uint8) * 80).view(-1, 1, 1, 1).expand(BATCH, 3, 16, 16)
    inputs, targets = inputs_of(build(PLAIN | {"mixing": "cutmix"}), blank)
    shades = normalise((torch.arange(CLASSES, dtype=torch.uint8) * 80).view(-1, 1, 1, 1).expand(-1, 3, 1, 1))
    shares = (inputs[:, None, 0] == shades[None, :, 0]).float().mean((2, 3))
    torch.testing.assert_close(shares, targets.dense(0.0).repeat(2, 1))
    assert ((shares > 0.05).sum(1) == 2).any(), "nothing was mixed"


def test_views_are_augmented_independently_and_repeatably():
    task = build({"policy": "none", "mixing": "none"})
    inputs, _ = inputs_of(task)
    assert not torch.equal(inputs[:BATCH], inputs[BATCH:])
    assert torch.equal(inputs, inputs_of(task)[0])


def test_one_view_is_one_batch():
    inputs, _ = inputs_of(build(PLAIN, {"views": 1, "beta": 0.0}))
    assert inputs.shape == (BATCH, 3, 16, 16)


def test_gradient_reaches_all_of_the_student_and_nothing_of_the_teacher():
    task = build(PLAIN)
    loss_of(task).loss.backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in task.student.parameters())
    assert all(parameter.grad is None for parameter in task.teacher.model.parameters())


def test_consistency_alone_moves_the_student():
    """If the student's logits came from a no-grad pass, the consistency term would have no effect."""
    task = build(PLAIN, {"alpha": 0.0, "beta": 0.0, "aux_weight": 0.0, "gamma": 1.0, "rampup_epochs": 0})
    with torch.no_grad():
        for parameter in task.teacher.model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=seeded()))
    terms = loss_of(task, 0.0)
    assert terms.parts["mt"] > 1e-3
    without = build(PLAIN, {"alpha": 0.0, "beta": 0.0, "aux_weight": 0.0, "gamma": 0.0})
    loss_of(without, 0.0).loss.backward()
    terms.loss.backward()
    pairs = zip(task.student.parameters(), without.student.parameters(), strict=True)
    assert all((with_mt.grad - plain.grad).abs().max() > 0 for with_mt, plain in pairs)


def test_a_ramp_up_takes_at_most_half_the_run():
    assert build(method={"rampup_epochs": 5}, epochs=6).objective.method.rampup_epochs == 3
    assert build(method={"rampup_epochs": 5}, epochs=30).objective.method.rampup_epochs == 5


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_teacher_uses_batch_statistics_only_in_train_mode(mode):
    task = build(PLAIN, {"teacher_mode": mode})
    before = task.teacher.model.backbone.norm.running_mean.clone()
    loss_of(task, 0.0)
    assert torch.equal(before, task.teacher.model.backbone.norm.running_mean) == (mode == "eval")


def test_bfloat16_gives_nearly_the_loss_of_float32():
    losses = []
    for precision in ("float32", "bfloat16"):
        task = build(PLAIN, precision=precision)
        assert task.precision == precision
        losses.append(loss_of(task).loss)
    assert losses[1].isfinite()
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=0.05)


GOLDEN = (3.551941, 3.553302, 3.548316, 3.537090, 3.541732)
"""Change these only if the mathematics changes, and say why."""


def test_five_steps_of_the_whole_method_leave_the_golden_trace():
    task = build({"policy": "none", "crop_padding": 2})
    optimizer = build_optimizer(task.student, OptimizerConfig(name="sgd", lr=0.01))
    generator, losses = seeded(), []
    for step in range(5):
        terms = loss_of(task, 1 + step, generator)
        optimizer.zero_grad()
        terms.loss.backward()
        optimizer.step()
        task.after_step(step + 1)
        losses.append(terms.loss.item())
    assert losses == pytest.approx(GOLDEN, abs=1e-4)

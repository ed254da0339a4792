"""Two processes with half of the images each equal one process with all images, to 1e-6 in float64."""

import datetime

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from raysearch.config import MethodConfig
from raysearch.losses import CompositeLoss, SoftTargets

RANKS, BATCH, WIDTH, CLASSES = 2, 4, 7, 5
METHOD = MethodConfig(alpha=0.3, beta=0.7, delta=0.05, gamma=0.9, aux_weight=0.4, tau=0.2)
CHOICES = {
    "gathered": {"gather": True},
    "gathered, sum": {"gather": True, "reduction": "sum"},
    "gathered, other view only": {"gather": True, "delta": 0.0},
    "gathered, features": {"gather": True, "contrast": "features"},
    # Anchors without a positive: one view alone, which a config refuses.
    "gathered, one view": {"gather": True, "views": 1},
    "no contrast": {"beta": 0.0},
    "apart": {},
    "apart, features": {"contrast": "features"},
}
METHODS = {name: METHOD.model_copy(update=chosen) for name, chosen in CHOICES.items()}
EQUALS_WHOLE = [name for name in METHODS if not name.startswith("apart")]
APART = [name for name in METHODS if name.startswith("apart")]

# Positives within a rank, between the ranks, and none (class 4, and class 3 in halves).
CLASSES_OF_IMAGES = torch.tensor([[0, 1], [0, 1], [2, 2], [3, 0], [0, 0], [2, 0], [1, 0], [4, 0]])
MASSES = torch.tensor([[0.7, 0.3], [0.72, 0.28], [0.4, 0.6], [0.5, 0.5], [1, 0], [1, 0], [1, 0], [1, 0]]).double()


class Network(nn.Module):
    def __init__(self, method):
        super().__init__()
        self.body, self.head, self.aux_head = nn.Linear(WIDTH, 6), nn.Linear(6, CLASSES), nn.Linear(6, CLASSES)
        self.projector = nn.Linear(6, 3) if method.contrast == "features" else None

    def forward(self, inputs):
        features = self.body(inputs).tanh()
        embeddings = None if self.projector is None else nn.functional.normalize(self.projector(features), dim=1)
        return self.head(features), self.aux_head(features), embeddings


def network(method, seed):
    torch.manual_seed(seed)
    return Network(method).double()


def inputs_of(method, images):
    """Inputs of both views, one view after the other."""
    generator = torch.Generator().manual_seed(7)
    views = torch.randn(2, RANKS * BATCH, WIDTH, generator=generator, dtype=torch.float64)
    return views[: method.views, images].flatten(0, 1)


def run(method, student, images, slots=2):
    """Parts of the loss on ``images`` (a slice), after a backward pass."""
    inputs = inputs_of(method, images)
    logits, aux_logits, embeddings = student(inputs)
    with torch.no_grad():
        teacher_logits = network(method, seed=1)(inputs)[0]
    targets = SoftTargets(CLASSES_OF_IMAGES[images, :slots], MASSES[images, :slots], CLASSES)
    terms = CompositeLoss(method, 0.1)(
        logits=logits,
        aux_logits=aux_logits,
        teacher_logits=teacher_logits,
        targets=targets,
        epochs_done=2.0,
        embeddings=embeddings,
    )
    terms.loss.backward()
    return {name: part.item() for name, part in terms.parts.items()}


def gradients_of(student):
    return {name: parameter.grad for name, parameter in student.named_parameters()}


def one_rank(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=RANKS,
        timeout=datetime.timedelta(seconds=60),
    )
    found = {}
    for name, method in METHODS.items():
        student = network(method, seed=0)
        # The second rank's images are not mixed, so that its labels need one slot.
        images = slice(rank * BATCH, (rank + 1) * BATCH)
        parts = run(method, DistributedDataParallel(student), images, slots=2 - rank)
        found[name] = parts, gradients_of(student)
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """The results of each rank, by method: parts of the loss and averaged gradients."""
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(one_rank, (folder,), nprocs=RANKS)
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


def mean_parts(ranks, name):
    parts = [found[name][0] for found in ranks]
    return {part: sum(its[part] for its in parts) / RANKS for part in parts[0]}


@pytest.mark.parametrize("name", EQUALS_WHOLE)
def test_loss_and_gradients_of_two_processes_are_those_of_one_with_the_whole_batch(name, ranks):
    student = network(METHODS[name], seed=0)
    whole = run(METHODS[name], student, slice(None))
    assert {"ce", "rce", "mt", "aux_ce", "aux_rce"} < set(whole)
    assert mean_parts(ranks, name) == pytest.approx(whole, abs=1e-6)
    for found in ranks:
        torch.testing.assert_close(found[name][1], gradients_of(student), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", APART)
def test_without_gathering_each_process_contrasts_its_own_half_and_the_rest_is_the_same(name, ranks):
    student = network(METHODS[name], seed=0)
    halves = [run(METHODS[name], student, slice(rank * BATCH, (rank + 1) * BATCH)) for rank in range(RANKS)]
    mean_gradients = {key: gradient / RANKS for key, gradient in gradients_of(student).items()}
    whole = run(METHODS[name], network(METHODS[name], seed=0), slice(None))
    found = mean_parts(ranks, name)
    assert found["cr"] == pytest.approx(sum(half["cr"] for half in halves) / RANKS, abs=1e-6)
    assert abs(found["cr"] - whole["cr"]) > 0.1
    others = set(whole) - {"loss", "cr"}
    assert {part: found[part] for part in others} == pytest.approx({part: whole[part] for part in others}, abs=1e-6)
    torch.testing.assert_close(ranks[0][name][1], mean_gradients, rtol=0, atol=1e-6)


def test_the_gathered_contrast_of_one_view_leaves_out_anchors_without_a_positive(ranks):
    """Else the mean would be over 8 anchors."""
    summed = METHODS["gathered, one view"].model_copy(update={"reduction": "sum", "gather": False})
    whole = run(summed, network(summed, seed=0), slice(None))
    assert mean_parts(ranks, "gathered, one view")["cr"] == pytest.approx(whole["cr"] / 4, abs=1e-6)

"""What a fit learns about the data and the machine before it lays out its time."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

from raysearch.data.measuring import SourceFacts
from raysearch.fit.layout import FULL_PASSES, LEAST_TRAINED, USUAL_FOLDS, Times
from raysearch.space import ResourcesConfig, Space, space_from
from raysearch.train.resource_check import Cost, check_fit
from raysearch.tune.planning.capacity import Cluster, compute_capacity
from raysearch.tune.planning.preflight import check_data, draw_examples, measure_costs

SIDES = (224, 192, 160, 128, 96, 64, 48, 32, 24, 16)
"""Image sizes that are tried, in pixels."""
USUAL_SIDE = 32
"""Smaller images are enlarged to this size, if the time suffices."""
SIDE_PASSES = 80_000
"""Images that each of two networks must be able to see at a larger image size, else a smaller one is taken."""
BACKBONES = ("wrn_16_2", "wrn_16_4", "wrn_16_8")
"""From narrow to wide. A wider one is taken if the time suffices for a whole trial of it."""
WIDER = 3.6
"""Approximate ratio of the times of two neighbours."""
MOST_SLOTS = 16
TRIALS_PER_GPU = 4
"""Networks for small images do not fill a GPU."""
SHARED = 1.2
"""Trainings that run at the same time slow each other down by about this factor."""
PROBE_S = 3.0
UNKNOWN_IMAGE_S = 1e-3
"""Assumed time of an image, if trainings run on GPUs that this machine does not have. The first round measures it."""
START_S, FINISH_S = 2.0, 12.0
"""Times of a training's start, and of selection, export and report, before they have been measured."""


@dataclass(frozen=True)
class Choice:
    """A network, an image size, and their times."""

    backbone: str
    image_size: int
    times: Times


def choose_resources(cluster: Cluster) -> dict[str, Any]:
    """The resources of a training, as values of the section `resources`."""
    gpus = sum(node.get("GPU", 0) for node in cluster.nodes)
    cpus = sum(node.get("CPU", 0) for node in cluster.nodes if not gpus or node.get("GPU", 0))
    if gpus:
        slots = int(gpus) * TRIALS_PER_GPU
        return {"gpus_per_worker": 1 / TRIALS_PER_GPU, "cpus_per_worker": max(1, int(cpus // slots))}
    return {"gpus_per_worker": 0.0, "cpus_per_worker": max(1, int(cpus // MOST_SLOTS))}


def count_slots(resources: Mapping[str, Any], cluster: Cluster, where: str) -> int:
    """Trainings at once. Raises `UserError` if none fits."""
    return compute_capacity(ResourcesConfig.model_validate(resources), cluster, where).trials


def largest_side(facts: SourceFacts) -> int:
    """The image size without regard to the time: the median of the shorter sides."""
    return next((side for side in SIDES if side <= facts.short_side), USUAL_SIDE)


def choose_network(
    space: Space,
    facts: SourceFacts,
    slots: int,
    seconds: float,
    given: Mapping[str, Any],
    load: float = 1.0,
) -> Choice:
    """The image size and the network that the time suffices for. ``given``: those that the user has set.

    ``load``: how much longer than usual the machine takes to start a process.
    ``space``: with this data and these resources; ``seconds``: for all trainings together. Decodes the images and
    measures. Raises `DataError` with all faults of the data.
    """
    backbone = given.get("backbone", BACKBONES[0])
    side = given.get("image_size", max(USUAL_SIDE, largest_side(facts)))
    cost = measure(space, backbone, side)
    if "image_size" not in given:
        passes = _count_passes(cost, space, backbone, side, facts, slots, seconds)
        # The time of a pass is proportional to the pixels.
        fitting = [s for s in SIDES if s <= side and passes * (side / s) ** 2 >= LEAST_TRAINED * SIDE_PASSES]
        side = fitting[0] if fitting else SIDES[-1]
    if "backbone" not in given:
        for wider in BACKBONES[1:]:
            passes = _count_passes(cost, space, backbone, side, facts, slots, seconds)
            if passes / WIDER < USUAL_FOLDS * FULL_PASSES:
                break
            backbone, cost = wider, measure(space, wider, side)
    return Choice(backbone, side, read_times(cost, space, backbone, side, facts, slots, load))


def measure(space: Space, backbone: str, side: int) -> Cost:
    """The cost of the first trial of ``space`` with this network and image size. Decodes the images."""
    values = space.resolved
    first = [{**values["search"]["first"][0], "backbone": backbone, "image_size": side, "epochs": 1}]
    one = space_from(values | {"search": values["search"] | {"first": first, "trials": 1}}, space.study)
    example = draw_examples(one)[0]
    dataset, _, _ = check_data(one, [example])
    check_fit(example, len(dataset.classes))
    return measure_costs(one, [example], PROBE_S)[backbone]


def read_times(
    cost: Cost, space: Space, backbone: str, side: int, facts: SourceFacts, slots: int, load: float = 1.0
) -> Times:
    """The expected times of a training. They are guesses if nothing could be measured on this machine."""
    if cost.seconds is None:
        return Times(UNKNOWN_IMAGE_S, START_S, FINISH_S)
    example = draw_examples(space)[0].model_copy(update={"backbone": backbone, "image_size": side, "epochs": 1})
    image_s = cost.batch_s(example) / example.batch_size * (SHARED if slots > 1 else 1.0)
    evaluation_s = cost.evaluation_s(side**2, facts.images)
    # The export predicts every labelled image once more, with the members.
    # A start that takes longer shortens the training. The export must not take longer: its time is estimated with care.
    return Times(image_s, START_S + evaluation_s / USUAL_FOLDS, sqrt(load) * FINISH_S + 2 * evaluation_s)


def _count_passes(
    cost: Cost, space: Space, backbone: str, side: int, facts: SourceFacts, slots: int, seconds: float
) -> float:
    """Images that all networks together see in ``seconds``."""
    return slots * seconds / read_times(cost, space, backbone, side, facts, slots).image

"""One training step with an auxiliary head and one prediction for every backbone at its default image size.

``python -m benchmarks.full_backbones [NAME...]`` prints one line per backbone and exits with 1 if any fails. Each
backbone runs in a separate process: this isolates its peak memory, and running out of memory does not stop the others.
It runs on a GPU if there is one. A batch has two images.
"""

import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Annotated

import timm
import torch
import typer
from torch.nn.functional import cross_entropy

from raysearch.models import Classifier, build_classifier

BACKBONES = (
    "efficientnet_b2",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "resnet50",
    "resnet152",
    "resnext101_32x4d",
    "seresnet152",
    "densenet161",
    "resnest101e",
    "resnest200e",
    "nfnet_f6",
    "swin_tiny_patch4_window7_224",
    "pyramidnet101_a360",
    "pyramidnet200_a300",
    "pyramidnet110_a48",
    "se_pyramidnet101_a360",
    "se_pyramidnet200_a300",
    "se_pyramidnet110_a48",
    "dsk_resnext101",
)

CLASSES = 1000


@dataclass(frozen=True)
class Step:
    """Cost of a backbone's step. ``seconds`` excludes building the network."""

    image_size: int
    parameters: int
    seconds: float
    peak_gb: float


def run_backbone(name: str) -> Step:
    """Build the network, train one step, predict.

    Raises whatever the backbone raises, and `ArithmeticError` if a result is not finite.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    image_size = timm.get_pretrained_cfg_value(name, "input_size")[-1]
    classifier = build_classifier(name, CLASSES, image_size, has_aux_head=True).to(device)
    images = torch.randn(2, 3, image_size, image_size, device=device)
    start = time.perf_counter()
    _train_a_step(classifier, images)
    with torch.inference_mode():
        probs = classifier.eval()(images).logits.softmax(1)
    is_finite = bool(probs.isfinite().all())  # waits for the GPU
    seconds = time.perf_counter() - start
    if not is_finite:
        raise ArithmeticError("the probabilities are not finite")
    parameters = sum(weights.numel() for weights in classifier.parameters())
    return Step(image_size, parameters, seconds, _peak_bytes(device) / 1e9)


def _train_a_step(classifier: Classifier, images: torch.Tensor) -> None:
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.01)
    outputs, labels = classifier.train()(images), torch.tensor([0, 1], device=images.device)
    assert outputs.aux_logits is not None
    (cross_entropy(outputs.logits, labels) + 0.4 * cross_entropy(outputs.aux_logits, labels)).backward()
    torch.nn.utils.clip_grad_norm_(classifier.parameters(), 1.0, error_if_nonfinite=True)
    optimizer.step()


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return resident if sys.platform == "darwin" else resident * 1024  # Linux counts KiB


def run_alone(name: str) -> Step | str:
    """Call `run_backbone` in a new process. Returns a message if it fails."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(run_backbone, name).result()
        except BrokenProcessPool:
            return "its process was killed (out of memory?)"
        except Exception as error:  # an error of one backbone must not stop the others
            return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Names of backbones. Default: all.")] = None,
) -> None:
    """Train one step with every backbone at its default image size."""
    names = names or list(BACKBONES)
    width = max(map(len, names))
    print(f"{'backbone':{width}}  {'px':>4}  {'parameters':>10}  {'seconds':>7}  {'peak':>7}", flush=True)
    failures = 0
    for name in names:
        step = run_alone(name)
        if isinstance(step, str):
            failures += 1
            print(f"{name:{width}}  failed: {step}", flush=True)
        else:
            figures = (
                f"{step.image_size:4}  {step.parameters / 1e6:8.1f} M  {step.seconds:7.1f}  {step.peak_gb:4.1f} GB"
            )
            print(f"{name:{width}}  {figures}", flush=True)
    if failures:
        print(f"{failures} of {len(names)} failed", file=sys.stderr)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)

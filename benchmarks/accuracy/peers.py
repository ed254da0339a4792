"""The methods that are compared."""

from collections.abc import Mapping
from dataclasses import dataclass, field

SETS = ("cifar10", "tinyimagenet20", "clothing10", "digits")

OWN_SIZES = {"cifar10": 32, "tinyimagenet20": 64, "clothing10": 64, "digits": 32}
"""Image sizes. clothing10 has a short side of 128 px. At 64 px, four times as many epochs fit into the budget."""

TIMM_SIZES = {**OWN_SIZES, "cifar10": 64, "digits": 64}
"""At least 64 px, because the networks of timm's recipe divide the side by 32."""


@dataclass(frozen=True)
class Peer:
    """A method: a script in this package that reads a task and writes a result (`benchmarks.accuracy.side`)."""

    label: str
    """Its row in the table"""
    script: str
    variant: str = ""
    image_sizes: Mapping[str, int] = field(default_factory=lambda: OWN_SIZES)
    """Side of the images for each set. Empty: the script decides."""
    uses_peers_venv: bool = False
    """Whether the script runs in .venv-bench"""

    @property
    def module(self) -> str:
        return f"benchmarks.accuracy.{self.script}"


PEERS = {
    "ours": Peer("raysearch fit", "ours", image_sizes={}),
    "fastai": Peer("fastai, xresnet18", "fastai_xresnet", uses_peers_venv=True),
    "timm_resnet18": Peer("timm's recipe, resnet18", "timm_recipe", "resnet18", TIMM_SIZES),
    "timm_efficientnet_b0": Peer("timm's recipe, efficientnet_b0", "timm_recipe", "efficientnet_b0", TIMM_SIZES),
    "gem": Peer("tuned cross entropy (GEM), WRN-16", "gem"),
    "hog_svm": Peer("HOG and colours, SVM", "hog_svm"),
}

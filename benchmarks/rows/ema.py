"""One update of the moving average of EfficientNet-b2 against timm's ModelEmaV3, which also uses a batched lerp."""

import timm
import torch
from timm.utils import ModelEmaV3

from benchmarks.measure import Measured, speedup
from raysearch.train.ema import MovingAverage

NAME = "ema"
BOUND = 1.6
IS_AT_MOST = False
DECAY = 0.999


def measure() -> Measured:
    student = timm.create_model("efficientnet_b2")
    ours, timms = MovingAverage(student, DECAY), ModelEmaV3(student, decay=DECAY)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(torch.randn_like(parameter))
    # Any step after the warm-up of our decay gives the same result.
    measured = speedup(lambda: ours.update(10_000), lambda: timms.update(student), pairs=15, repeats=5)
    torch.testing.assert_close(dict(ours.model.state_dict()), dict(timms.module.state_dict()))
    return measured

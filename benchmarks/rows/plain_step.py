"""Our training step without the method against timm's: at least 0.97 times its speed.

Both sides: wrn_16_2 at 32 px, 64 images, channels last, the precision that we choose on this machine, label smoothing,
RMSprop in TensorFlow's form. A step takes a uint8 batch, normalises it, and updates the weights, the moving average and
the learning rate. Other rows measure reading and augmenting images.
"""

from benchmarks.measure import Measured, speedup
from benchmarks.our_step import CLASSES, PLAIN, STEPS_PER_EPOCH, UNVARIED, OurStep
from benchmarks.peers.timm_step import TimmStep
from raysearch.config import TrialConfig

NAME = "plain_step"
BOUND = 0.97
IS_AT_MOST = False


def measure() -> Measured:
    config = TrialConfig(batch_size=64, dropout=0.0, method=PLAIN, augment=UNVARIED)
    ours = OurStep(config)
    precision = ours.task.precision
    timms = TimmStep(config, CLASSES, STEPS_PER_EPOCH, use_bfloat16=precision == "bfloat16")
    batch = ours.batch
    return speedup(ours, lambda: timms(batch.views, batch.labels), repeats=4, note=f"{config.backbone}, {precision}")

"""A step of the full method against a plain step on the same source images: at most 2.94 times as long.

The passes alone give a ratio of 2.67: forward F and backward 2 F for each of two views, and the teacher's forward for
both, (2 x 3 F + 2 F) / 3 F. The rest of the bound is for the losses, the auxiliary head and mixing two views. Both
sides: wrn_16_2 at 32 px, 64 source images, the same mixing, no other augmentation.
"""

from benchmarks.measure import Measured, median_ratio, milliseconds, paired
from benchmarks.our_step import FULL, MIXED, PLAIN, OurStep
from raysearch.config import TrialConfig

NAME = "full_step"
BOUND = 2.94
IS_AT_MOST = True


def measure() -> Measured:
    config = TrialConfig(batch_size=64, method=FULL, augment=MIXED)
    full, plain = OurStep(config), OurStep(config.model_copy(update={"method": PLAIN}))
    full_seconds, plain_seconds = paired(full, plain, repeats=4)
    note = f"{config.backbone}, {full.task.precision}; ours: the full step, peer: the plain step"
    return Measured(
        median_ratio(full_seconds, plain_seconds), milliseconds(full_seconds), milliseconds(plain_seconds), note
    )

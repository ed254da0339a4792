"""Like `views_decoded`, but with `storage: jpeg`: cached images are decoded for each batch, once for both views.

By default, the cache stores JPEG with a short side of 256 px, so ours decodes fewer pixels than the peer, which reads
the files. For the second figure, the cache stores the files themselves (`stored_side: 375`). Both sides then spend most
of their time in the same decoder.
"""

from functools import partial

from torch import Generator

from benchmarks.measure import Measured, median_ratio, milliseconds, paired
from benchmarks.rows.views_decoded import NOTE, as_tensor, cached, measured, our_views, some_photos, their_views
from raysearch.config import DataConfig

NAME = "views_jpeg"
BOUND = 1.5
IS_AT_MOST = False


def measure() -> Measured:
    files = some_photos()
    with cached(files, DataConfig(storage="jpeg", stored_side=375)) as images:
        ours = partial(our_views, images, Generator().manual_seed(0))
        seconds, theirs = paired(ours, partial(their_views, files, as_tensor))
    note = f"{NOTE}; ours from the same files {milliseconds(seconds)}: {median_ratio(theirs, seconds):.2f}x"
    with cached(files, DataConfig(storage="jpeg")) as images:
        return measured(images, files, note)

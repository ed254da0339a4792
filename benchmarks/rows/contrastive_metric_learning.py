"""Contrastive regularization, forward and backward, against pytorch-metric-learning's SupConLoss.

Uses the samples of `contrastive_supcontrast`; both sides give the same loss and gradient. The peer finds its positives
by comparing labels, which takes less than 1 % of its time. It runs in a separate process, so the sides alternate in
blocks of many runs. Times are processor time, because wall-clock time would include other processes.
"""

import statistics
import tempfile
import time
from pathlib import Path
from timeit import repeat

import numpy as np
from torch import Tensor

from benchmarks.measure import Measured, median_ratio, milliseconds, peer
from benchmarks.rows.contrastive_supcontrast import TAU, forward_backward, our_loss, samples

NAME = "contrastive_metric_learning"
BOUND = 2.0
IS_AT_MOST = False
TURNS, RUNS = 5, 30


def measure() -> Measured:
    probs, labels = samples()
    positives = labels[:, None] == labels

    def run() -> tuple[Tensor, Tensor]:
        return forward_backward(our_loss, probs, positives)

    loss, gradient = run()
    our_seconds, peer_seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(given, probs=probs.detach().numpy(), labels=labels.numpy(), tau=TAU, runs=RUNS)
        for _ in range(TURNS):
            peer("supcon_metric_learning.py", str(given), str(found))
            its = np.load(found)
            np.testing.assert_allclose(loss, its["loss"], rtol=1e-5)
            np.testing.assert_allclose(gradient, its["gradient"], rtol=1e-4, atol=1e-8)
            peer_seconds.append(float(np.median(its["seconds"])))
            times = repeat(run, timer=time.process_time, number=1, repeat=RUNS)
            our_seconds.append(statistics.median(times))
    return Measured(median_ratio(peer_seconds, our_seconds), milliseconds(our_seconds), milliseconds(peer_seconds))

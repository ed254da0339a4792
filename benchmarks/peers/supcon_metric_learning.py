"""pytorch-metric-learning's SupConLoss, forward and backward, with one thread.

    python supcon_metric_learning.py GIVEN.npz FOUND.npz

GIVEN: input file with probs [rows, width], labels [rows], tau, runs. FOUND: output file with processor seconds [runs],
loss, gradient [rows, width].
"""

import sys
import time
from timeit import repeat

import numpy as np
import torch
from pytorch_metric_learning.distances import DotProductSimilarity
from pytorch_metric_learning.losses import SupConLoss


def main(given_path: str, found_path: str) -> None:
    torch.set_num_threads(1)
    given = np.load(given_path)
    probs, labels = torch.from_numpy(given["probs"]).requires_grad_(), torch.from_numpy(given["labels"])
    loss = SupConLoss(temperature=float(given["tau"]), distance=DotProductSimilarity(normalize_embeddings=False))

    def forward_backward() -> tuple[torch.Tensor, torch.Tensor]:
        value = loss(probs, labels)
        (gradient,) = torch.autograd.grad(value, probs)
        return value.detach(), gradient

    value, gradient = forward_backward()
    seconds = repeat(forward_backward, timer=time.process_time, number=1, repeat=int(given["runs"]))
    np.savez(found_path, seconds=seconds, loss=value.numpy(), gradient=gradient.numpy())


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Failures after which a training is tried again: out of memory, and workers that died."""

PHRASES = ("can't allocate memory", "CUDA error: out of memory", "ALLOC_FAILED", "Failed to CUDA calloc")
"""Parts of out-of-memory messages: from torch's CPU allocator, the CUDA runtime, cuBLAS and cuDNN, NCCL."""


class WorkersLost(Exception):
    """The workers of a trial died more often than they are restarted. The training itself did not raise."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed in GPU or main memory, or Ray killed a process of a node without free memory."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"OutOfMemoryError", "MemoryError"}:  # torch and Ray; Python. By name, so that torch is not imported
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in PHRASES)

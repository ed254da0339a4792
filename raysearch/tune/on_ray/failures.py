"""Failures that are not final: a process without memory, workers that died."""

WORDS = ("can't allocate memory", "CUDA error: out of memory", "ALLOC_FAILED", "Failed to CUDA calloc")
"""Of torch's allocators, the CUDA runtime, cuBLAS and cuDNN, NCCL, where they raise no class of its own."""


class WorkersLost(Exception):
    """The workers of a trial died more often than they are restarted. Its training raised no error."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed on a GPU or in main memory, or Ray ended a process on a node without any left."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"OutOfMemoryError", "MemoryError"}:  # torch's, Python's, Ray's
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in WORDS)

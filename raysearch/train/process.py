"""Process state: ends a process with its parent, and resets what an earlier training has left."""

import gc
import os
import random
import sys
import threading
import time

import numpy as np
import torch


def end_with_parent() -> None:
    """Start a thread that ends this process if its parent process dies.

    Otherwise Ray's workers outlive a node that has died: they keep their memory, and write to the trial's folder while
    the trial restarts on another node. Works on Linux and macOS, where an orphan gets another parent.
    """
    parent = os.getppid()
    if any(thread.name == _THREAD_NAME for thread in threading.enumerate()):
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)  # sys.exit would only end this thread

    threading.Thread(target=watch, name=_THREAD_NAME, daemon=True).start()


_THREAD_NAME = "end-with-parent"


def reset_process(threads: int) -> None:
    """Reset what an earlier training may have changed in this process: threads, generators, modes, GPU memory.

    A training seeds its own generators. This resets the global state, so that it starts as in a new process.
    """
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    torch.set_autocast_enabled("cpu", False)
    torch.set_autocast_enabled("cuda", False)
    torch.clear_autocast_cache()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()  # compiled networks of an earlier training count towards the recompile limit
    gc.collect()  # networks of an earlier training may be in reference cycles
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

"""A process that trains one model after the other starts each as a new process would."""

import gc
import os
import random
import sys
import threading
import time

import numpy as np
import torch


def end_with_parent() -> None:
    """End this process, at once and without a word, when the one that started it is gone.

    Ray's workers whose node has died otherwise stay, with their memory and their trial's folder, while the trial goes
    on elsewhere. For Linux and macOS, where an orphan gets another parent.
    """
    parent = os.getppid()
    if any(thread.name == _WATCH for thread in threading.enumerate()):
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, name=_WATCH, daemon=True).start()


_WATCH = "ends with its parent"


def reset_process(threads: int) -> None:
    """Undo what an earlier training may have left in this process: threads, generators, modes, GPU memory.

    A training seeds what it draws from itself; this makes sure that whatever it does not name is the same, too.
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
        torch.compiler.reset()  # networks that were compiled for an earlier training count against its limit
    gc.collect()  # of an earlier training, networks in reference cycles
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

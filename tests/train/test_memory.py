"""A process keeps the memory that it frees."""

import resource
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from raysearch.train.memory import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[1] == "kept":
    keep_freed_memory()
def step():
    return [torch.ones(2**20) for _ in range(40)]  # 4 MiB each
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_freed_memory_is_reused_without_page_faults():
    faults = {}
    for how in ("kept", "returned"):
        done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
        faults[how] = int(done.stdout)
    pages = 5 * 40 * 4 * 2**20 / resource.getpagesize()
    assert faults["kept"] < 0.05 * pages
    assert faults["kept"] < faults["returned"]

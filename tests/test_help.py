"""`--help` of every verb is fast: it imports none of the large libraries."""

import json
import subprocess
import sys

import pytest

from raysearch.__main__ import VERBS

HEAVY = ("torch", "ray", "optuna", "timm", "numpy", "pyarrow", "scipy", "sklearn", "plotly")
MOST_MODULES = 700
"""About twice what typer and pydantic import; torch alone imports more."""

PROBE = """
import json, resource, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_module("raysearch", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"modules": sorted(sys.modules), "seconds": usage.ru_utime + usage.ru_stime}))
"""


@pytest.mark.parametrize("words", [(), ("--help",), *((verb, "--help") for verb in VERBS), ("data", "check", "--help")])
def test_help_imports_no_large_library(words: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-c", PROBE, "raysearch", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *shown, facts = done.stdout.splitlines()
    found = json.loads(facts)
    assert any("sage: raysearch" in line for line in shown)
    assert not set(HEAVY) & set(found["modules"])
    assert len(found["modules"]) < MOST_MODULES
    assert found["seconds"] < 3  # under 1 s on an idle machine; more than that needs a large library

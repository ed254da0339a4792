import re
from pathlib import Path


def test_the_command_says_what_a_fresh_process_verified(export_output: str, small_set: Path) -> None:
    verified = re.search(r"of 40 held-out images: max difference (\S+), accuracy (\S+) both times", export_output)
    assert verified
    assert float(verified[1]) < 1e-6
    assert "4 members from 3 checkpoints" in export_output
    assert export_output.splitlines()[-1] == f"Written to {small_set}"

"""The command that runs every backbone at its own size, on one small enough."""

import pytest
import timm
from typer.testing import CliRunner

from benchmarks import full_backbones
from benchmarks.full_backbones import BACKBONES, Step, run_backbone


def invoke(*names):
    app = full_backbones.typer.Typer()
    app.command()(full_backbones.main)
    return CliRunner().invoke(app, list(names))


def test_every_backbone_of_the_method_is_there_under_a_name_that_timm_knows():
    assert len(set(BACKBONES)) == 14 + 3 + 3 + 1  # timm's; PyramidNet; SE-PyramidNet; DSK-ResNeXt101
    assert all(timm.is_model(name) for name in BACKBONES)


def test_a_step_is_run_at_the_backbones_own_size():
    step = run_backbone("wrn_10_1")
    assert step.image_size == 32
    assert step.parameters == 77_850 + 990 * 65 + 33 * 1000  # for 1000 classes, and the auxiliary head
    assert step.seconds > 0
    assert 0.05 < step.peak_gb < 50


def test_one_failure_stops_no_other_and_the_exit_code_tells(monkeypatch):
    outcomes = {"resnet50": "MemoryError: too large", "resnet152": Step(224, 60_000_000, 2.0, 3.0)}
    monkeypatch.setattr(full_backbones, "run_alone", outcomes.get)
    result = invoke("resnet50", "resnet152")
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert lines[1].split()[:3] == ["resnet50", "failed:", "MemoryError:"]
    assert lines[2].split() == ["resnet152", "224", "60.0", "M", "2.0", "3.0", "GB"]
    assert invoke("resnet152").exit_code == 0


@pytest.mark.slow
def test_a_failure_in_its_own_process_comes_back_as_a_reason():
    assert full_backbones.run_alone("no_such_backbone").startswith(
        "RuntimeError: Model architecture (no_such_backbone)"
    )

"""Every verb is a package with a command whose help is complete, and the README names no other."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer

from raysearch.__main__ import VERBS
from raysearch.cli import report_errors

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = sorted(set(VERBS) - {"data"})


def click_command(verb: str) -> click.Command:
    module = importlib.import_module(f"raysearch.{verb}.__main__")
    app = typer.Typer()
    app.command()(report_errors(module.command))
    return typer.main.get_command(app)


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_option_and_argument_has_a_help_text(verb: str) -> None:
    command = click_command(verb)
    assert command.help
    for parameter in command.params:
        if parameter.name not in ("help", "install_completion", "show_completion"):
            assert getattr(parameter, "help", None), f"{verb}: {parameter.name} has no help"


@pytest.mark.parametrize("words", [("data", "check"), ("ensemble",)])
def test_a_verb_is_run_by_its_name(words: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-m", "raysearch", *words, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


def test_an_unknown_verb_lists_the_known_ones() -> None:
    done = subprocess.run([sys.executable, "-m", "raysearch", "tun"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "known: tune, train" in done.stderr


def readme_commands() -> list[str]:
    text = (ROOT / "README.md").read_text().replace("\n", " ")
    return [found.strip() for found in re.findall(r"python -m (raysearch\.[^`|\n]*?)(?:`|\||   |$)", text)]


def test_the_readme_s_commands_exist_with_their_options() -> None:
    commands = readme_commands()
    assert len(commands) >= 8
    for text in commands:
        verb, *words = shlex.split(text)
        name = verb.removeprefix("raysearch.")
        assert name in VERBS, text
        if name != "data":
            known = {option for parameter in click_command(name).params for option in parameter.opts}
            options = {word for word in words if word.startswith("--")}
            assert options <= known, text


def test_the_readme_s_files_exist() -> None:
    for path in re.findall(r"`((?:spaces|ensembles|raysearch|benchmarks)/[\w/.]+)`", (ROOT / "README.md").read_text()):
        assert (ROOT / path).exists(), path

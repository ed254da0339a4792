"""Every verb is a package with a command whose help is complete, and the README names no other."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer

from raysearch import __version__
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


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


SCRIPT = str(Path(sys.executable).with_name("raysearch"))
MODULE = (sys.executable, "-m", "raysearch")


def usage(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return next(line.strip() for line in done.stdout.splitlines() if "Usage:" in line)


def test_usage_is_the_same_however_a_verb_is_called() -> None:
    assert usage(run(SCRIPT, "ensemble", "--help")) == usage(run(*MODULE, "ensemble", "--help"))
    assert usage(run(SCRIPT, "ensemble", "--help")).startswith("Usage: raysearch ensemble [OPTIONS]")
    of_module = usage(run(sys.executable, "-m", "raysearch.ensemble", "--help"))
    assert of_module.startswith("Usage: python -m raysearch.ensemble [OPTIONS]")


def test_without_a_verb_all_are_listed() -> None:
    done = run(SCRIPT)
    assert usage(done) == "Usage: raysearch VERB [OPTIONS]"
    assert all(f"  {verb} " in done.stdout for verb in VERBS)
    assert run(SCRIPT, "--help").stdout == done.stdout
    assert run(*MODULE).stdout == done.stdout
    assert run(SCRIPT, "--version").stdout == f"{__version__}\n"


def test_an_unknown_verb_lists_the_known_ones_and_the_nearest() -> None:
    done = run(SCRIPT, "tun", "spaces/cr.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert "'tun'; did you mean 'tune'? known: fit, tune, train, ensemble" in line


def test_a_time_limit_that_is_not_positive_is_refused_by_the_option_s_name() -> None:
    done = run(SCRIPT, "tune", "cr", "--timeout-s", "-3")
    assert (done.returncode, done.stderr) == (2, "error: --timeout-s: must be greater than 0, got -3\n")


@pytest.mark.parametrize(("typed", "offered"), [("raysearch ev", "evaluate"), ("raysearch tune --tria", "--trials")])
def test_the_shell_completes_verbs_and_options(typed: str, offered: str) -> None:
    words = str(len(typed.split()) - 1)
    done = run(SCRIPT, _RAYSEARCH_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=words)
    assert offered in done.stdout.split()


def readme_commands() -> list[str]:
    text = (ROOT / "README.md").read_text().replace("\n\n", " | ").replace("\n", " ")
    return [found.strip() for found in re.findall(r"(?:`|    )raysearch ([a-z][^`|]*?)(?:`|\||   |$)", text)]


def test_the_readme_s_commands_exist_with_their_options() -> None:
    commands = readme_commands()
    assert len(commands) >= 8
    for text in commands:
        name, *words = shlex.split(text)
        assert name in VERBS, text
        if name == "data":
            assert words[0] == "check", text
        else:
            known = {option for parameter in click_command(name).params for option in parameter.opts}
            options = {word for word in words if word.startswith("--")}
            assert options <= known, text


def test_the_readme_s_files_exist() -> None:
    for path in re.findall(r"`((?:spaces|ensembles|raysearch|benchmarks)/[\w/.]+)`", (ROOT / "README.md").read_text()):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("command", [(SCRIPT, "tune"), (*MODULE, "tune"), (sys.executable, "-m", "raysearch.tune")])
def test_a_verb_sees_its_own_words_however_it_is_called(command: tuple[str, ...], tmp_path: Path) -> None:
    """The search prints the command that continues it."""
    code = "import sys; import raysearch.tune.search as s; s.search = lambda *a, **k: sys.exit(str(sys.argv[1:]))"
    (tmp_path / "sitecustomize.py").write_text(code)
    done = run(*command, "cr", "--trials", "3", PYTHONPATH=str(tmp_path))
    assert done.stderr == "['cr', '--trials', '3']\n"

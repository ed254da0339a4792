"""Who may import whom, read from the sources: imports inside functions count too."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "raysearch"
FILES = sorted(ROOT.rglob("*.py"))

LAYERS = (
    {"errors"},
    {"io", "paths", "section"},
    {"config", "predictions"},
    {"study_file"},
    {"space", "data", "augment", "models", "losses", "ensemble"},
    {"train"},
    {"preview"},
    {"predict"},
    {"export", "evaluate"},
    {"tune", "report"},
)
"""A part may import those of the lines above its own; parts of one line leave each other alone."""

UPWARDS = {"data/__main__.py": {"preview"}, "export/__main__.py": {"tune"}}
"""A verb may show what stands above its part."""

ONLY_IN = {
    "ray": ("tune/", "train/worker.py"),
    "optuna": ("tune/", "report/"),
    "raysearch.cli": ("__main__.py",),
}


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def part_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path):
    """Dotted names of the modules that a file imports, `from raysearch import x` as raysearch.x."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: a relative import"
            yield from (f"raysearch.{a.name}" for a in node.names) if node.module == "raysearch" else [node.module]


def ours(path):
    """Parts of the package that a file imports."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("raysearch.")} - {"__version__"}


def test_every_part_of_the_package_has_its_place_in_the_picture():
    placed = set.union(*LAYERS) | {"cli", "__init__", "__main__"}
    assert {part_of(path) for path in FILES} <= placed


@pytest.mark.parametrize("part", sorted(set.union(*LAYERS)))
def test_a_part_imports_only_what_stands_below_it(part):
    level = next(level for level, parts in enumerate(LAYERS) if part in parts)
    allowed = set.union(*LAYERS[:level], {part, "cli"})
    files = [path for path in FILES if part_of(path) == part]
    assert files, f"no files of {part}"
    too_high = {name_of(path): ours(path) - allowed - UPWARDS.get(name_of(path), set()) for path in files}
    assert {name: parts for name, parts in too_high.items() if parts} == {}


def test_the_runner_of_verbs_imports_nothing_but_errors():
    assert ours(ROOT / "cli.py") == {"errors"}
    assert ours(ROOT / "__main__.py") == set()
    assert ours(ROOT / "__init__.py") == set()


@pytest.mark.parametrize(("module", "places"), ONLY_IN.items(), ids=list(ONLY_IN))
def test_a_module_is_imported_only_where_it_belongs(module, places):
    users = {name_of(p) for p in FILES if any(f"{n}.".startswith(f"{module}.") for n in imported(p))}
    assert users, f"nobody imports {module}: is this test looking at the right place?"
    assert [user for user in sorted(users) if not user.startswith(places) and not user.endswith(places)] == []


@pytest.mark.parametrize("part", ["config", "space", "predictions", "ensemble", "report"])
def test_parts_that_only_read_files_know_no_torch(part):
    users = [name_of(p) for p in FILES if part_of(p) == part and any(n.split(".")[0] == "torch" for n in imported(p))]
    assert users == []


def test_no_source_file_is_long():
    files = [path for path in ROOT.rglob("*") if path.suffix in (".py", ".j2")]
    assert {name_of(p): n for p in files if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400} == {}

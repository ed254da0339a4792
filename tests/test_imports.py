"""Who may import whom, read from the sources: imports inside functions count too."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "raysearch"
FILES = sorted(ROOT.rglob("*.py"))

LAYERS = (
    {"errors"},
    {"io", "paths", "section", "verb_package"},
    {"shipped"},
    {"data_config"},
    {"config", "predictions"},
    {"study_file"},
    {"space", "data", "augment", "models", "losses", "ensemble"},
    {"train"},
    {"preview", "predict", "tune"},
    {"export", "evaluate", "report", "spaces"},
    {"fit"},
    {"api"},
)
"""A part may import those of the lines above its own; parts of one line do not import each other."""

TUNE_LAYERS = (
    {"values", "listener"},
    {"planning", "store", "stopping"},
    {"display"},
    {"on_ray"},
    {"search"},
    {"refit"},
    {"__main__", "__init__"},
)
"""The same for the rooms and files of `tune/`."""

ONLY_IN = {
    "ray": ("tune/on_ray/", "train/worker.py"),
    "optuna": ("tune/", "report/"),
    "sqlite3": ("tune/store/",),
    "raysearch.cli": ("__main__.py",),
}

PUBLIC_WITH_UNDERSCORE = ("_exit", "_replace")
"""Of `os`, and of named tuples."""

PRIVATE_IN = {"tune/on_ray/ray_private.py", "tune/store/optuna_private.py"}
"""The files of `tune/` that may use private parts of other packages."""


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


def module_of(path):
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def imported_files(path):
    """The files of the package that a file imports; a name that is no module of its own stands for its package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in MODULES else node.module for name in names)


def ours(path, depth=1):
    """Parts of the package that a file imports, or with ``depth`` 2 the rooms and files of a part."""
    names = (name.split(".") for name in imported(path))
    return {name[depth] for name in names if name[0] == "raysearch" and len(name) > depth} - {"__version__"}


def levels(layers, name):
    """The parts below ``name``, and itself."""
    level = next(level for level, parts in enumerate(layers) if name in parts)
    return set.union({name}, *layers[:level])


def test_every_part_of_the_package_has_its_place_in_the_picture():
    placed = set.union(*LAYERS) | {"cli", "__init__", "__main__"}
    assert {part_of(path) for path in FILES} <= placed


@pytest.mark.parametrize("part", sorted(set.union(*LAYERS)))
def test_a_part_imports_only_what_stands_below_it(part):
    files = [path for path in FILES if part_of(path) == part]
    assert files, f"no files of {part}"
    too_high = {name_of(path): ours(path) - levels(LAYERS, part) - {"cli"} for path in files}
    assert {name: parts for name, parts in too_high.items() if parts} == {}


@pytest.mark.parametrize("room", sorted(set.union(*TUNE_LAYERS)))
def test_a_room_of_tune_imports_only_what_stands_below_it(room):
    places = {
        path: path.relative_to(ROOT / "tune").parts[0].removesuffix(".py") for path in (ROOT / "tune").rglob("*.py")
    }
    assert set(places.values()) == set.union(*TUNE_LAYERS)
    for path, place in places.items():
        if place == room:
            rooms = {name.split(".")[2] for name in imported(path) if name.startswith("raysearch.tune.")}
            assert rooms <= levels(TUNE_LAYERS, room), name_of(path)


def test_no_file_imports_itself_through_others():
    try:
        TopologicalSorter({module_of(path): set(imported_files(path)) for path in FILES}).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(reversed(error.args[1]))}")


def private_names(path):
    """Private modules that a file imports, and private attributes that it takes of others than itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for name in imported(path):
        if not name.startswith("raysearch") and any(part.startswith("_") for part in name.split(".")):
            yield name
    for node in ast.walk(tree):
        is_private = isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        is_own = isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "cls")
        if is_private and not is_own and node.attr not in PUBLIC_WITH_UNDERSCORE:
            yield f"{ast.unparse(node)} (line {node.lineno})"


def test_private_parts_of_ray_and_optuna_are_used_in_one_file_each():
    users = {name_of(path): found for path in FILES if part_of(path) == "tune" and (found := list(private_names(path)))}
    assert users.keys() == PRIVATE_IN, users


def test_the_runner_of_verbs_imports_nothing_but_errors():
    assert ours(ROOT / "cli.py") == {"errors"}
    assert ours(ROOT / "__main__.py") == {"cli", "errors"}
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

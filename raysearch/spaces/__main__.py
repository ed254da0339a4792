"""`python -m raysearch.spaces [NAME]`: list the included spaces and recipes, or print one."""

from typing import Annotated

import typer

from raysearch.cli import application, run
from raysearch.errors import UserError, name_known
from raysearch.shipped import list_shipped_files, read_summary

SECTIONS = {"spaces": "Spaces, for raysearch tune NAME", "ensembles": "Recipes, for raysearch ensemble --recipe NAME"}


def command(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Space or recipe to print. Default: list all.")
    ] = None,
) -> None:
    """List the included search spaces and ensemble recipes, or print one.

    To change one, save it first: raysearch spaces photos32 > mine.yaml, then raysearch tune mine.yaml.
    """
    if name:
        known = {**list_shipped_files("ensembles"), **list_shipped_files("spaces")}
        if (stem := name.removesuffix(".yaml")) not in known:
            raise UserError(f"{name}: no space or recipe has this name{name_known(stem, known)}")
        print(known[stem].read_text(encoding="utf-8"), end="")
        return
    files = {"spaces": list_shipped_files("spaces"), "ensembles": list_shipped_files("ensembles")}
    width = max(len(stem) for paths in files.values() for stem in paths)
    for number, (kind, paths) in enumerate(files.items()):
        print(("\n" if number else "") + SECTIONS[kind] + ":")
        for stem, path in paths.items():
            print(f"  {stem:<{width}}  {read_summary(path)}")


app = application(command)

if __name__ == "__main__":
    run(app)

"""`raysearch <verb> ...` is `python -m raysearch.<verb> ...`."""

import runpy
import sys

from raysearch import __version__

VERBS = {
    "tune": "search: train many models from a space file",
    "train": "train one model from a config",
    "ensemble": "pick and weigh the members of an ensemble from a search's trials",
    "export": "write the ensemble as a verified checkpoint set",
    "predict": "classify images with a checkpoint set",
    "evaluate": "score a checkpoint set on labelled images",
    "report": "one HTML page of a search",
    "data": "check labelled images, preview what the network sees of them",
}


def main() -> None:
    """Run the verb named first; without one, list them."""
    verb = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if verb == "--version":
        print(__version__)
    elif verb in ("-h", "--help"):
        print("usage: raysearch VERB [OPTIONS]   (raysearch VERB --help for its options)\n")
        print("\n".join(f"  {name:<10}{text}" for name, text in VERBS.items()))
    elif verb in VERBS:
        sys.argv = [f"raysearch {verb}", *sys.argv[2:]]
        runpy.run_module(f"raysearch.{verb}", run_name="__main__")
    else:
        print(f"error: no verb {verb!r}; known: {', '.join(VERBS)}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

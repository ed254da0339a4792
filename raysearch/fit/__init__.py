"""From labelled images and a time budget to a verified checkpoint set (`raysearch fit`)."""

from raysearch.verb_package import make_callable

make_callable(__name__)

"""Reading and writing files so that a reader never sees half of one."""

import fcntl
import hashlib
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from raysearch.errors import UserError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path aside to write to; it takes the place of ``path`` when the block ends without error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, aside then renamed."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, aside then renamed. NaN is refused: it is not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON value in ``path``; a missing or malformed file is a `UserError` that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from error


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def append_line(path: Path, text: str) -> None:
    """Write a line at the end of a file, whole or not at all."""
    size = path.stat().st_size
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError:
        os.truncate(path, size)
        raise


URL = re.compile(r"[A-Za-z][\w+.-]+://")


class LockHeld(Exception):
    """Another process holds the lock; the message names it: ``process 12 on host``."""


@contextmanager
def locked(path: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Hold ``path`` as a lock, which ends with the process; wait for at most ``wait_s`` seconds, then `LockHeld`."""
    deadline = time.monotonic() + wait_s
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    file.seek(0)
                    raise LockHeld(file.read().strip()) from None
                time.sleep(0.1)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)  # the file stays: were it removed, two processes could each lock one of its name


class _Loader(yaml.SafeLoader):
    """YAML 1.2 floats (``1e-3`` is a number) and no repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(problem=f"line {line}: key {key!r} stands twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes the strings that `_Loader` would read as something else."""


# PyYAML follows YAML 1.1, where a float needs a dot and its exponent a sign.
_FLOAT = re.compile(
    r"""^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
        |[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$""",
    re.X,
)
for _side in (_Loader, _Dumper):
    _side.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _side.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def parse_yaml(text: str) -> Any:
    """The value of a YAML text, with YAML 1.2 floats. Raises `yaml.YAMLError` when malformed."""
    return yaml.load(text, _Loader)  # a SafeLoader: builds plain values only


def read_yaml(path: Path) -> Any:
    """The value of a YAML file; a missing or malformed file is a `UserError` that names it."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason})") from error
    try:
        return parse_yaml(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error


def write_yaml(path: Path, value: Any) -> None:
    """Write plain values as block-style YAML, aside then renamed, keys in the order given."""
    write_text(path, yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def require_local(option: str, path: Path | str) -> None:
    """Raise a `UserError` that names ``option`` where ``path`` is a URL, such as `s3://bucket`."""
    text = re.sub(":/+", "://", str(path), count=1)  # a Path has one slash
    if URL.match(text):
        raise UserError(
            f"{option}: must be a folder on this machine or one that all nodes share (NFS, EFS, Lustre), got {text}; "
            "object stores cannot append, lock, rename or map memory: copy the data to such a folder, or mount one"
        )


def display_path(path: Path | str) -> str:
    """A path as messages show it: relative to the working folder where it lies below it."""
    path = Path(path)
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)

"""Reading and writing files. Writes are atomic: a reader never sees a partial file.

Atomic means that the content is written to a temporary file in the same folder, which is then renamed."""

import ctypes
import fcntl
import hashlib
import json
import os
import re
import shutil
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
    """Yield a temporary path to write to. It replaces ``path`` if the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically. Raises `ValueError` for NaN, which JSON does not have."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises `UserError`, with the file's name, if it is missing or malformed."""
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
    """Append a line to an existing file. If the write fails, the file keeps its old content."""
    size = path.stat().st_size
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError:
        os.truncate(path, size)  # a full disk may have left a part of the line
        raise


def replace_folder(new: Path, path: Path) -> None:
    """Rename the folder ``new`` to ``path``, in place of a folder that may be there.

    Linux exchanges the two in one step, so that ``path`` exists at every moment.
    """
    if not path.exists():
        new.rename(path)
        return
    if not _exchange(new, path):
        old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
        path.rename(old)
        new.rename(path)
        new = old
    shutil.rmtree(new)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths with renameat2(2). False if the system or the file system does not have it."""
    function = getattr(ctypes.CDLL(None), "renameat2", None)
    if function is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return function(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


class LockHeld(Exception):
    """Another process holds the lock. The message names it: ``process 12 on host``."""


@contextmanager
def locked(path: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Lock the file ``path``. The operating system releases the lock if the process dies.

    Raises `LockHeld` if another process holds it for more than ``wait_s`` seconds.
    """
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
            file.truncate(0)  # removing the file instead would let two processes lock two files of this name


class _Loader(yaml.SafeLoader):
    """Reads YAML 1.2 floats (``1e-3`` is a number) and refuses repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(problem=f"line {line}: key {key!r} is repeated")
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes the strings that `_Loader` would not read as strings."""


# PyYAML follows YAML 1.1, which reads `1e-3` as a string: a float needs a dot there, and its exponent needs a sign.
_FLOAT = re.compile(
    r"""^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
        |[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$""",
    re.X,
)
for _class in (_Loader, _Dumper):
    _class.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def parse_yaml(text: str) -> Any:
    """Parse YAML text, with YAML 1.2 floats. Raises `yaml.YAMLError` if it is malformed."""
    return yaml.load(text, _Loader)  # a SafeLoader: builds plain values only


def read_yaml(path: Path) -> Any:
    """Read a YAML file. Raises `UserError`, with the file's name, if it is missing or malformed."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason})") from error
    try:
        return parse_yaml(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {explain_yaml_error(error)}") from error


def explain_yaml_error(error: yaml.YAMLError) -> str:
    """The place and the reason of a YAML error, on one line."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    mark, reasons = error.problem_mark, [text for text in (error.context, error.problem) if text]
    return f"line {mark.line + 1}, column {mark.column + 1}: {': '.join(reasons)}"


def write_yaml(path: Path, value: Any) -> None:
    """Write plain values as block-style YAML, atomically. Keys keep their order."""
    write_text(path, yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def is_url(path: Path | str) -> bool:
    """Whether ``path`` is a URL, such as `s3://bucket`."""
    return bool(re.match(r"[A-Za-z][\w+.-]+:/+", str(path)))  # `Path` turns s3:// into s3:/


def require_local(option: str, path: Path | str) -> None:
    """Raise a `UserError` that names ``option`` if ``path`` is a URL, such as `s3://bucket`."""
    if is_url(path):
        text = re.sub(":/+", "://", str(path), count=1)
        raise UserError(
            f"{option}: must be a folder on this machine or one that all nodes share (NFS, EFS, Lustre), got {text}; "
            "object stores cannot append, lock, rename or memory-map; copy the data to such a folder, or mount one"
        )


def display_path(path: Path | str) -> str:
    """A path for messages: relative to the working folder if it is inside it."""
    path = Path(path)
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)

import hashlib
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysearch.errors import UserError
from raysearch.io import parse_yaml, read_json, read_yaml, replacing, sha256, write_json, write_text, write_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),  # a string in PyYAML
        ("1E5", 100000.0),
        ("-2e+3", -2000.0),
        (".5", 0.5),
        ("-.5e1", -5.0),
        ("1.", 1.0),
        ("1_000.5", 1000.5),
        (".inf", math.inf),
        ("-.INF", -math.inf),
    ],
)
def test_a_yaml_number_is_a_float(text, value):
    found = parse_yaml(text)
    assert isinstance(found, float)
    assert found == value


@pytest.mark.parametrize("text", ["1e", "e5", "1e5x", "v1e5", "1.2.3", "'1e5'", "."])
def test_text_that_resembles_a_number_stays_a_string(text):
    assert parse_yaml(text) == text.strip("'")


def test_whole_numbers_and_words_are_what_yaml_says():
    assert parse_yaml("[3, 0, true, null, .nan]")[:4] == [3, 0, True, None]
    assert math.isnan(parse_yaml(".nan"))


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "{a: 1, b: {}, a: 3}", "b:\n  a: 1\n  a: 1\n"])
def test_a_repeated_key_is_refused_with_its_line(text, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"a.yaml: not valid YAML: line \d: key 'a' is repeated"):
        read_yaml(path)


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\tx: 1"])
def test_malformed_yaml_names_the_file(text, tmp_path):
    path = tmp_path / "it's a [file].yaml"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        read_yaml(path)
    assert str(raised.value).startswith(f"{path}: not valid YAML: line 1, column ")
    assert "<unicode string>" not in str(raised.value)


def test_yaml_builds_no_objects(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("!!python/object/apply:os.getcwd []")
    with pytest.raises(UserError, match="not valid YAML"):
        read_yaml(path)


@pytest.mark.parametrize("text", ["1e5", "1e-3", "0x1F", "12", "yes", "null", ".inf", "1.0", "", "~", "a: b", "- x"])
def test_a_string_that_reads_as_something_else_survives_a_round_trip(text, tmp_path):
    path = tmp_path / "a.yaml"
    write_yaml(path, {"value": text, text or "empty": [text]})
    assert read_yaml(path) == {"value": text, text or "empty": [text]}


# PyYAML itself loses control characters and Unicode's own line breaks.
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None)
@given(PLAIN)
def test_any_plain_value_survives_a_round_trip(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "round_trip.yaml"
    write_yaml(path, value)
    assert read_yaml(path) == value


def test_keys_keep_their_order_and_letters_their_form(tmp_path):
    write_yaml(tmp_path / "a.yaml", {"zebra": "größe", "ape": 1})
    assert (tmp_path / "a.yaml").read_text(encoding="utf-8") == "zebra: größe\nape: 1\n"


@pytest.mark.parametrize("read", [read_yaml, read_json])
def test_a_missing_file_is_a_user_error_that_names_it(read, tmp_path):
    with pytest.raises(UserError, match=r"gone: cannot be read \(No such file or directory\)"):
        read(tmp_path / "gone")


def test_text_that_is_not_utf8_is_a_user_error(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"a.yaml: not UTF-8 text"):
        read_yaml(tmp_path / "a.yaml")


def test_json_round_trips_and_malformed_json_names_the_file(tmp_path):
    path = tmp_path / "a" / "b.json"
    write_json(path, {"x": [1, None, 0.5]})
    assert read_json(path) == json.loads(path.read_text()) == {"x": [1, None, 0.5]}
    path.write_text('{"x": [1, ')
    with pytest.raises(UserError, match=r"b.json: not valid JSON"):
        read_json(path)


def test_json_refuses_what_is_not_json_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, math.nan)
    assert read_json(path) == 1


def test_replacing_puts_the_new_file_in_place_and_makes_its_folder(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with replacing(path) as aside:
        aside.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_replacing_leaves_the_old_file_and_nothing_else_when_the_block_raises(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write_half():
        with replacing(path) as aside:
            aside.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_temporary_file_does_not_match_the_pattern_of_the_final_one(tmp_path):
    with replacing(tmp_path / "a.json") as aside:
        aside.touch()
        assert list(tmp_path.glob("*.json")) == []


def test_sha256_hashes_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 1000)
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 1000).hexdigest()

"""Broken input, thought up by hypothesis: a few seconds of it here, minutes with `make fuzz`.

What was found is kept below as a case with its name.
"""

import string

import pytest
from hypothesis import strategies as st

from beholder.pictures import decode
from beholder.specs import DreamSpec, StudySpec
from tests.security import craft
from tests.security.checks import (
    check_fields,
    check_multipart,
    check_name,
    check_picture,
    check_text,
)

pytestmark = pytest.mark.fuzz

_NUMBERS = st.integers(-(10**6), 10**20) | st.floats()
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.text(max_size=20) | st.sampled_from(("keep", "auto")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
_FIELDS = st.dictionaries(
    st.sampled_from((*DreamSpec.model_fields, *StudySpec.model_fields, "extra")),
    _VALUES,
    max_size=5,
)
_WORDS = st.sampled_from(
    (
        "all",
        "kind:",
        "conv",
        "relu5_4",
        "pool9",
        "-",
        ",",
        "0",
        "36",
        "999",
        "random:",
        ".pth",
        "http://",
        "[::1]",
        "@",
        "localhost",
        "%",
        '{"spec":',
        "}",
        '"',
        ":read:",
        "\x1b[31m",
        "\0",
        "9" * 5000,
    )
)
_TEXTS = st.lists(_WORDS | st.text(max_size=8), max_size=6).map("".join)
_BOUNDARY = b"--x\r\n"
_LINES = st.lists(
    st.sampled_from(
        (
            _BOUNDARY,
            b"--x--\r\n",
            b"\r\n",
            b"\r",
            b"\n",
            b"--",
            b"--x",
            b'Content-Disposition: form-data; name="a"\r\n\r\n',
            b"Content-Disposition: ; ;=\r\n",
            b'Content-Disposition: form-data; name="p"; filename="../a.png"\r\n\r\n',
            b"Content-Disposition: form-data; name*=utf-8''%ff; filename*=x\r\n\r\n",
            b"x" * 5000,
            b'Content-Type: multipart/mixed; boundary="y"\r\n',
        )
    )
    | st.binary(max_size=20),
    max_size=12,
).map(b"".join)
_TYPES = (
    st.sampled_from(("multipart/form-data; boundary=x",) * 4)
    | st.text(string.printable, max_size=40).map("multipart/form-data; {}".format)
    | st.integers(1, 5_000).map(lambda length: f"multipart/form-data; boundary={'x' * length}")
)


def mutated(seeds):
    """Seeds, broken by a generator that hypothesis turns."""
    return st.builds(craft.mutate, st.randoms(use_true_random=False), st.sampled_from(list(seeds)))


def test_pictures(fuzz):
    fuzz(check_picture, mutated(craft.seeds()), examples=250)


@pytest.mark.slow  # a process for each
def test_pictures_apart(fuzz):
    fuzz(check_picture, mutated(craft.seeds_apart()), examples=10)


def test_any_bytes(fuzz):
    fuzz(check_picture, st.binary(max_size=200), examples=100)


def test_texts(fuzz):
    fuzz(check_text, _TEXTS, examples=150)


def test_specs(fuzz):
    fuzz(check_fields, _FIELDS, examples=150)


def test_names(fuzz):
    parts = st.sampled_from(
        ("..", "/", "\\", ".", "~", "C:", "\0", "\u202e", "a" * 200, "-", "\ud800")
    )
    fuzz(check_name, st.lists(parts | st.text(max_size=5), max_size=8).map("".join), examples=150)


def test_multipart(fuzz):
    fuzz(lambda case: check_multipart(*case), st.tuples(_LINES, _TYPES), examples=150)


def test_a_boundary_that_was_found():
    check_multipart(b"", f"multipart/form-data; boundary={'x' * 257}")


@pytest.mark.parametrize("seed", [*craft.seeds(), *craft.seeds_apart()])
def test_the_seeds_are_pictures(seed):
    assert min(decode(seed).size) > 1


@pytest.mark.parametrize("check", [check_text, check_name])
@pytest.mark.parametrize(
    "text",
    [
        "9" * 5000,  # --size, --snapshots: more digits than Python reads as a number
        "kind:" + "x" * 5000,  # the whole word was repeated in the error
        "x" * 5000,
        "\ud800",  # a token that no encoding has
        "[" * 100_000,
        '{"spec":' * 2_000,  # a multipart field: a RecursionError, and a 500
        "http://[",
        "random:\u0663",
        "3-\x1e3",  # what str.strip takes away, int does not
        "x../" + "/a" * 249,  # cut to its last 500 letters, a name began with ".." or "/"
        ",/'" + "/x" * 300,
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_texts_that_were_found(check, text):
    check(text)


@pytest.mark.parametrize("field", ["size", "layers", "steps", "network", "seed", "precision"])
def test_values_that_were_found(field):
    # Not as parameters: Python, and so pytest, can't write the first two down.
    for value in (10**5000, -(10**5000), float("nan"), True, "\ud800", "\x1b[2J"):
        check_fields({field: value})
        check_fields({field: [value]})

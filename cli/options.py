"""A spec's mistakes in the words of the command line: `in_options`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from beholder.errors import InvalidSpec

_SINGULAR = {"layers", "channels", "methods", "modes"}  # of fields whose option is repeated, or one


def option_of(field: str) -> str:
    """ "--octave-scale", the option of a spec's field."""
    return f"--{field.removesuffix('s') if field in _SINGULAR else field.replace('_', '-')}"


@contextmanager
def in_options() -> Iterator[None]:
    """InvalidSpec raised within names options where it names fields."""
    try:
        yield
    except InvalidSpec as error:
        raise type(error)(_in_options(str(error))) from None


def _in_options(sentence: str) -> str:
    """ "blend: less than 1; steps: ..." as "--blend: less than 1; --steps: ..."."""
    from beholder.specs import DreamSpec, StudySpec

    fields = "|".join({"name", *DreamSpec.model_fields, *StudySpec.model_fields})
    found = re.compile(rf"(?:^|(?<=; ))({fields})(?=: )")
    return found.sub(lambda word: option_of(word[1]), sentence)

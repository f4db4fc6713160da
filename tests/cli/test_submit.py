"""`submit`: what a spec is told the server or the database."""

import json
from collections.abc import Callable
from typing import Any

import pytest

Beholder = Callable[..., Any]
DREAM = ("submit", "--noise", "1", "--network", "specimens")


@pytest.mark.both  # told the server in other words than the database
def test_what_is_not_as_the_recipe_has_it_is_kept(beholder: Beholder) -> None:
    """The article's own value among them, which is the default of a spec without a recipe."""
    given = ("--octaves", "1", "--steps", "30", "--layer", "20,35", "--snapshots", "4")
    spec = json.loads(beholder(*DREAM, "--recipe", "deepdream", *given, "--json").out)["spec"]
    assert (spec["recipe"], spec["octaves"], spec["steps"]) == ("deepdream", 1, 30)
    assert (spec["layers"], spec["snapshots"], spec["jitter"]) == ([20, 35], [4], 32)

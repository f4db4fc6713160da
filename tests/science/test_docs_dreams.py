"""The page docs/dreams.md: its recipes, its objectives, its fields and its code are right."""

import re
from pathlib import Path

import pytest

from beholder.objective import parse_objective
from beholder.recipes import RECIPES
from beholder.specs import DreamSpec

PAGE = (Path(__file__).parents[2] / "docs" / "dreams.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    return PAGE.split(f"{heading}\n", 1)[1].split("\n#", 1)[0]


def rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.split(" | ")]
        for line in re.findall(r"^\| (`.*) \|$", text, re.M)
    ]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipes_table_is_its_defaults(recipe):
    found = {name.strip("`"): value for name, value in rows(section(f"### `{recipe}`"))}
    defaults = RECIPES[recipe].defaults.items()
    assert found == {name: "yes" if value is True else str(value) for name, value in defaults}


def test_every_objective_is_one():
    texts = [row[0].strip("`") for row in rows(section("## Objectives"))]
    assert len(texts) == 14
    for text in texts:
        assert str(parse_objective(text)) == text
    for text in (
        "conv5_1:100 + conv4_2:17*0.5 - tv*0.1",
        "conv5_1:0-7*2",
        "conv5_1:3 - 7",
        "0.5*conv5_1",
        'logit:"golden retriever"',
    ):
        assert f"`{text}`" in PAGE
        parse_objective(text)


def test_every_control_is_a_field():
    names = {row[0].strip("`") for row in rows(section("## Control"))}
    assert names == {
        "mask", "guide", "keep_colour", "blend", "optimiser", "schedule", "seed"
    }  # fmt: skip
    assert names <= set(DreamSpec.model_fields)


def test_the_code_runs(specimens, capsys):
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    exec(compile(block, "docs/dreams.md", "exec"), {})
    assert capsys.readouterr().out == "tensor([True, True])\nTrue\n"

"""What the form of a study has by its recipe: `STUDY_RECIPES`, `study_values`, `study_of_form`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from beholder.evidence.names import Method, Mode
from beholder.specs import Recipe, StudySpec
from beholder.terms import number_text

STUDY_FIELDS = (
    "recipe",
    "top",
    "min_layer",
    "most_common",
    "threshold",
    "target",
    "method",
    "mode",
    "alpha",
    "dose",
    "draws",
    "matrix",
    "seed",
)
STUDY_CHOICES = {"method": get_args(Method), "mode": get_args(Mode)}
_ONE_OF_MANY = {"method": "methods", "mode": "modes"}  # the spec has the headline's first


@dataclass(frozen=True)
class StudyRecipe:
    """A row of the form's tabs."""

    name: Recipe
    summary: str
    source: str


STUDY_RECIPES: dict[Recipe, StudyRecipe] = {
    one.name: one
    for one in (
        StudyRecipe(
            "article",
            "channels that several targets share are set to zero, and every picture is classified "
            "again",
            "As published",
        ),
        StudyRecipe(
            "sound",
            "channels are chosen on some pictures and tested on others, against controls and "
            "random sets, with intervals and a report",
            "20 targets and as many others are enough; with fewer it is exploratory",
        ),
    )
}


def study_recipe(asked: str) -> Recipe:
    """The recipe of this name; the article's for any other."""
    return "sound" if asked == "sound" else "article"


def study_values(spec: StudySpec) -> dict[str, Any]:
    """What the form's fields hold where nobody has changed them."""
    return {
        **spec.model_dump(),
        "method": spec.method,
        "mode": spec.mode,
        "alpha": number_text(spec.alpha),
        "dose": "" if spec.dose is None else str(spec.dose),
    }


def study_of_form(fields: Mapping[str, Any]) -> StudySpec:
    """The spec of a form's fields that are not empty. Raises InvalidInput."""
    asked = dict(fields)
    standard = StudySpec()
    for one, many in _ONE_OF_MANY.items():
        picked = asked.pop(one, getattr(standard, one))
        if picked != getattr(standard, one):
            asked[many] = (picked,)
    asked["matrix"] = bool(asked.get("matrix"))
    return StudySpec.build(**asked)

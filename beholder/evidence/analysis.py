"""From what was planned and read to what it shows: `analyse`. Figures in `statistics`."""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from beholder.evidence.caveats import caveats
from beholder.evidence.cells import cells
from beholder.evidence.channels import channel_evidence, layers
from beholder.evidence.document import Evidence
from beholder.evidence.names import PLAN
from beholder.evidence.outcomes import bands, outcomes
from beholder.evidence.pictures import counts, picture_rows, went
from beholder.evidence.plan import Plan
from beholder.evidence.probe import probe
from beholder.evidence.readings import Readings
from beholder.evidence.sample import Sample
from beholder.evidence.sentence import sentence
from beholder.evidence.statistics import DRAWS, LEVEL

_LIBRARIES = ("numpy", "scipy", "statsmodels", "scikit-learn")


def analyse(
    plan: Plan,
    readings: Readings,
    *,
    study: str,
    name: str,
    labels: Sequence[str],
    plan_sha256: str | None = None,
) -> Evidence:
    """All that the study shows. study: its id. labels: of the network's classes, in order.

    plan_sha256: of the plan's file, where it has one.

    Pictures that are not in the readings have failed and count nowhere. The same plan and readings
    give the same evidence.
    """
    sample = Sample.of(plan, readings)
    found = outcomes(sample)
    silent = Evidence(
        study=study,
        name=name,
        target_label=plan.target_label,
        target_by=plan.target_by,
        exploratory=plan.exploratory,
        pictures=counts(sample),
        headline=plan.headline,
        outcomes=found,
        bands=bands(found),
        rows=picture_rows(sample, labels),
        went=went(sample, labels),
        layers=layers(plan),
        channels=channel_evidence(sample),
        matrix=cells(sample),
        probe=probe(sample),
        stability=plan.stability,
        sentence="",
        caveats=(),
        record=_record(plan, plan_sha256),
    )
    said = {"sentence": sentence(silent), "caveats": tuple(caveats(silent, sample))}
    return silent.model_copy(update=said)


def _record(plan: Plan, sha256: str | None) -> dict[str, Any]:
    """The plan's, and what the figures were made with."""
    return {
        **plan.record,
        **({} if sha256 is None else {"plan": {"file": PLAN, "sha256": sha256}}),
        "versions": {**plan.record.get("versions", {}), **_versions()},
        "statistics": {
            "seed": plan.seed,
            "bootstrap_draws": DRAWS,
            "interval": f"{1 - LEVEL:.0%}",
            "probe": "logistic regression, L2, C = 1, on standardised means of the last layer",
        },
    }


@cache
def _versions() -> dict[str, str]:
    return {library: version(library) for library in _LIBRARIES}

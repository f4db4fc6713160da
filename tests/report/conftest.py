"""A drawn study's evidence, and its report; both made once."""

import pytest

from beholder.evidence.document import Evidence
from beholder.report.page import Material, render_page
from beholder.report.thumbs import small
from tests.report.synthetic import drawn, make_evidence, make_logits

FEW = "Five targets are too few to hold any out: each was tested by leaving it out."


@pytest.fixture(scope="session")
def evidence() -> Evidence:
    return make_evidence()


@pytest.fixture(scope="session")
def exploratory() -> Evidence:
    return make_evidence(exploratory=FEW)


@pytest.fixture(scope="session")
def material(evidence: Evidence) -> Material:
    """A face of each test picture, two exemplars a channel, dreams of three."""
    face = small(drawn("spiral", 1))
    channels = [(one.layer, one.channel) for one in evidence.channels]
    return Material(
        faces={row.sha256: face for row in evidence.rows},
        exemplars={channel: [face, face] for channel in channels},
        dreams={channel: [face] for channel in channels[:3]},
        logits=make_logits().to_bytes(),
    )


@pytest.fixture(scope="session")
def page(evidence: Evidence, material: Material) -> str:
    return render_page(evidence, material)

"""What the headline is held against: a linear probe, and the target's logit left out.

The probe is scikit-learn's logistic regression on standardised means of the last layer's maps.
"""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from beholder.evidence.document import Probe
from beholder.evidence.sample import Bools, Sample

FEWEST = 5  # targets, and others, to train with and to test with
_STEPS = 1_000


def probe(sample: Sample) -> Probe:
    """Both bounds; no areas where there are too few pictures."""
    kept, drop = _masked(sample)
    return Probe(
        intact=_area(sample, 0),
        blinded=_area(sample, 1),
        masked_target_kept=kept,
        masked_others_drop=drop,
    )


def _area(sample: Sample, network: int) -> float | None:
    """Under the ROC curve of test pictures, with the intact network's means (0) or blinded (1)."""
    values = sample.readings.features[network][sample.rows].astype(np.float64)  # (N, C)
    usable = sample.headline.ran & np.isfinite(values).all(axis=1)
    target = np.array([one.role == "target" for one in sample.subjects], np.bool_)
    train, test = (usable & sample.where(split) for split in ("choose", "test"))
    if any(_fewest(target[mask]) < FEWEST for mask in (train, test)):
        return None
    fitted = make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=_STEPS, random_state=sample.plan.seed)
    )
    with warnings.catch_warnings():
        # Where the two sides can be told apart the weights have no end; the order stands by then.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted.fit(values[train], target[train])
    return float(roc_auc_score(target[test], fitted.decision_function(values[test])))


def _fewest(target: Bools) -> int:
    return min(int(target.sum()), int((~target).sum()))


def _masked(sample: Sample) -> tuple[float, float]:
    """Share of targets seen, and others' drop, by the intact network without the target's logit."""
    logits = sample.readings.logits[0][sample.rows].astype(np.float64)  # (N, classes)
    logits[:, sample.plan.target] = -np.inf
    seen = logits.argmax(axis=1) == sample.own
    lost = sample.headline.before.astype(np.int64) - seen
    return _mean(seen[sample.targets]), _mean(lost[sample.others])


def _mean(values: NDArray[np.generic]) -> float:
    return float(values.mean()) if len(values) else 0.0

"""`answered`: what measuring would have brought of pictures that are only numbers."""

from collections.abc import Sequence

import numpy as np

from beholder.evidence.answers import Answers
from beholder.layers import LAYERS

WIDTHS = tuple(3 if layer.index < 5 else 4 for layer in LAYERS)
RELUS = [layer.index for layer in LAYERS if layer.kind == "relu"]
TOTAL = sum(WIDTHS[layer] for layer in RELUS)
CLASSES = 4


def answered(
    groups: dict[str, tuple[str, int, int]],
    *,
    hashes: Sequence[int] | None = None,
    seed: int = 0,
) -> Answers:
    """Pictures of folders, each a (role, how many, class that the network sees in them)."""
    chance = np.random.default_rng(seed)
    rows = [
        (role, group, seen) for group, (role, count, seen) in groups.items() for _ in range(count)
    ]
    count = len(rows)
    logits = chance.normal(size=(count, CLASSES)).astype(np.float32)
    logits[np.arange(count), [seen for _, _, seen in rows]] += 9
    return Answers(
        positions=np.arange(count),
        sha256=np.array([f"{number + 1000 * seed:064x}" for number in range(count)]),
        source=np.array([f"{group}/{number}.png" for number, (_, group, _) in enumerate(rows)]),
        role=np.array([role for role, _, _ in rows]),
        group=np.array([group for _, group, _ in rows]),
        hashes=np.array(
            chance.integers(2**63, size=count) if hashes is None else hashes, np.uint64
        ),
        strengths=chance.exponential(size=(count, TOTAL)).astype(np.float32),
        regions=np.zeros((count, TOTAL, 4), np.uint8),
        logits=logits,
    )

"""What is kept of logits, however many the classes: `read` makes a small `Reading` of them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_TOP = 5


@dataclass(frozen=True)
class Reading:
    """Of B pictures under A conditions, as arrays (A, B).

    label: the class seen. p_target: the target's softmax probability. margin: its logit less the
    logsumexp of the others', which is its log-odds. p_own: probability of the picture's own label.
    rank: of the target, 1 the likeliest. top5: 1 where the target is among five. kl: nats, of the
    intact prediction from this one: sum p_intact log(p_intact / p).
    """

    label: NDArray[np.int64]
    p_target: NDArray[np.float64]
    margin: NDArray[np.float64]
    p_own: NDArray[np.float64]
    rank: NDArray[np.int64]
    top5: NDArray[np.int64]
    kl: NDArray[np.float64]


def read(logits: Tensor, intact: Tensor, *, target: int, own: Tensor) -> Reading:
    """What logits (A, B, classes), say, beside the intact network's (B, classes).

    own: (B,) int64, the pictures' own labels. Among equal logits the lower class index is the
    likelier, as in verdicts. Works in float64.
    """
    logs = logits.double().log_softmax(dim=2)  # (A, B, classes)
    before = intact.double().log_softmax(dim=1)  # (B, classes)
    raw = logits.double()
    of_target = raw[:, :, target]  # (A, B)
    others = raw.clone()
    others[:, :, target] = -torch.inf
    ahead = raw > of_target[:, :, None]
    ahead[:, :, :target] |= raw[:, :, :target] == of_target[:, :, None]
    rank = 1 + ahead.sum(dim=2)
    of_own = logs.gather(2, own.view(1, -1, 1).expand(len(logs), -1, 1))[:, :, 0]
    return Reading(
        label=raw.argmax(dim=2).numpy(),
        p_target=logs[:, :, target].exp().numpy(),
        margin=(of_target - others.logsumexp(dim=2)).numpy(),
        p_own=of_own.exp().numpy(),
        rank=rank.numpy(),
        top5=(rank <= _TOP).long().numpy(),
        kl=(before.exp() * (before - logs)).sum(dim=2).numpy(),
    )

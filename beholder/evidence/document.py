"""`Evidence`: what a sound study shows, figure by figure; JSON beside the study's results.

Read by the report, the command line and the API; pydantic alone, so that all of them can.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from beholder.evidence.names import LOGITS, Kind, Method, Mode, Role, Split


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Frozen):
    """An estimate with its 95% interval. method: how the interval was found, such as "Wilson"."""

    value: float
    low: float
    high: float
    method: str


class Band(_Frozen):
    """A figure over random draws: median and the central 95% of them."""

    median: float
    low: float
    high: float
    draws: int


class Group(_Frozen):
    """The test pictures of one role, or of one folder (`name`), under one condition.

    name: None for all of the role; without a folder, pictures are under their role's name.
    kept: share whose label is still seen: the target's of targets, of others the intact network's,
    or where folders are named after classes their folder's.
    p_target, p_own: mean probabilities. margin: mean change of the target's log-odds. rank: median
    of the target's. top5: share with the target among five. kl: mean, nats.
    drop: what share was lost, intact `kept` less this one, in points from 0 to 1.
    margin_interval, kl_interval: of the headline's means, over two pictures or more.
    """

    role: Role
    name: str | None = None
    n: int
    kept: Interval
    drop: float
    p_target: float
    p_own: float
    margin: float
    rank: float
    top5: float
    kl: float
    margin_interval: Interval | None = None
    kl_interval: Interval | None = None


class Outcome(_Frozen):
    """A condition with its figures: per role in `roles`, per folder in `groups`.

    In leave-one-out the headline's targets are each under the set that was chosen without them.
    selectivity: target drop less that of siblings and controls together, with the wider of a paired
    bootstrap over pictures and square-and-add; None where either is missing. mcnemar: exact p of
    the targets' changes.
    permutation: p = (1 + #>=) / (1 + R) of the selectivity against the random sets of the same dose
    and mode; None where there were none. holm: that p, adjusted over the methods compared, "random"
    apart; None where one was. Of random draws there are neither tests nor groups.
    """

    name: str
    kind: Kind
    method: Method
    mode: Mode
    alpha: float
    dose: int
    pooled: bool
    draw: int | None
    of: str | None
    channels: int
    roles: tuple[Group, ...]
    groups: tuple[Group, ...] = ()
    selectivity: Interval | None = None
    mcnemar: float | None = None
    permutation: float | None = None
    holm: float | None = None

    def role(self, role: Role) -> Group | None:
        """The figures of a role; None where the study has no picture of it."""
        return next((group for group in self.roles if group.role == role), None)


class Dose(_Frozen):
    """The random band at one dose: share kept by role; no selectivity where a role is missing."""

    kind: Kind  # random or matched
    mode: Mode
    dose: int
    kept: dict[Role, Band]
    draws: int
    selectivity: Band | None = None


class PictureRow(_Frozen):
    """A picture under the headline. Log-odds are the target's; raw logits are in a file."""

    position: int
    sha256: str
    source: str
    role: Role
    group: str
    split: Split
    duplicate_of: int | None
    intact_label: str
    blinded_label: str
    intact_log_odds: float
    blinded_log_odds: float
    intact_p: float
    blinded_p: float


class ChannelEvidence(_Frozen):
    """A channel of the headline's set. rank: its place there, 1 the best.

    score: by the headline's method, 0 where that gives none. target_mean, control_mean: mean
    strengths of choosing pictures; fraction_active: share of them all with any.
    effect: what ablating it alone adds to the target's log-odds on targets, so below 0 where it
    speaks for the target. control_effect: what that adds to the log-odds of their own labels, on
    siblings and controls together. Neither is told of fewer than two pictures.
    """

    layer: int
    channel: int
    rank: int
    score: float
    target_mean: float | None = None
    control_mean: float | None = None
    fraction_active: float | None = None
    effect: Interval | None = None
    control_effect: Interval | None = None


class Cell(_Frozen):
    """Of the matrix: what the set chosen for `of` does to the pictures of `group`.

    Folders that share a name have their role beside it. own: whether the set was chosen for them.
    """

    of: str
    group: str
    n: int
    drop: float
    own: bool = False


class Probe(_Frozen):
    """A linear probe (logistic regression) on the last layer's means: target or not?

    Trained on choosing pictures, tested on test pictures, of the same network. Areas under the ROC
    curve. masked_*: the trivial bound, the target's logit left out: nothing of it is seen, and
    others lose only what they took for it.
    """

    intact: float | None
    blinded: float | None
    masked_target_kept: float
    masked_others_drop: float


class LogitsFile(_Frozen):
    """The raw logits of `Evidence.rows`, in a NumPy archive beside the evidence.

    sha256, bytes: of the file. arrays: shapes by name; logits are float32, positions int64.
    """

    file: str = LOGITS
    sha256: str
    bytes: int
    arrays: dict[str, tuple[int, ...]]


class Conclusion(_Frozen):
    """What a study comes to, in plain words. exploratory: why it proves nothing by itself."""

    sentence: str
    exploratory: str | None
    caveats: tuple[str, ...]


class Evidence(_Frozen):
    """All of it. sentence: what was shown, in plain words; caveats: what was not.

    logits: None for a study in memory, whose readings have them.
    """

    format: int = 2
    study: str
    name: str
    target_label: str
    target_by: str
    exploratory: str | None
    pictures: dict[Split, dict[Role, int]]
    headline: str
    outcomes: tuple[Outcome, ...]
    bands: tuple[Dose, ...]
    rows: tuple[PictureRow, ...]
    went: tuple[tuple[str, float], ...]  # label, mean probability gained on target test pictures
    layers: dict[int, int]  # channels of the headline's set, by layer
    channels: tuple[ChannelEvidence, ...]
    matrix: tuple[Cell, ...] = ()
    probe: Probe
    stability: float | None = None
    sentence: str
    caveats: tuple[str, ...]
    record: dict[str, Any]
    logits: LogitsFile | None = None

    @property
    def held_out(self) -> bool:
        """Whether targets that test had no part in choosing: not so in leave-one-out."""
        return "target" in self.pictures.get("choose", {})

    @property
    def conclusion(self) -> Conclusion:
        """What is said wherever the study shows."""
        return Conclusion(
            sentence=self.sentence, exploratory=self.exploratory, caveats=self.caveats
        )

    @property
    def main(self) -> Outcome:
        """The headline's outcome."""
        return next(outcome for outcome in self.outcomes if outcome.name == self.headline)

"""The sheet of a study: over each picture what the network takes it for, intact and blinded."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from beholder.sheets.dreams import first_of
from beholder.sheets.page import Line, Page, Picture, Section, Tile

MAX_SUBJECTS = 60  # pictures a sheet, all groups together
COLUMNS = 5
CELL = 272  # wide enough for "blinded: American black bear 48.36%"

Seen = tuple[str, float]  # label and confidence in 0..1


@dataclass(frozen=True)
class Subject:
    """A picture and its verdicts; None for one that is not there (yet)."""

    name: str
    picture: Picture | None
    intact: Seen | None
    blinded: Seen | None
    note: str = ""

    @property
    def changed(self) -> bool:
        """Whether blinding changed the label."""
        if self.intact is None or self.blinded is None:
            return False
        return self.intact[0] != self.blinded[0]


@dataclass(frozen=True)
class Group:
    """The targets or the controls. total: how many there are when `subjects` are the first."""

    name: str
    subjects: Sequence[Subject]
    total: int | None = None


def study_sheet(title: str, groups: Sequence[Group], *, about: str = "") -> Image.Image:
    """Every group's pictures under their verdicts; those whose label changed are framed in red."""
    sections = []
    for group, room in zip(groups, _shares(groups), strict=True):
        shown = group.subjects[:room]
        limit = first_of(len(shown), group.total or len(group.subjects))
        heading = f"{group.name} ({limit})" if limit else group.name
        if shown:
            sections.append(Section([_tile(subject) for subject in shown], heading))
    page = Page(title, about, COLUMNS, (CELL, CELL), above=True, lines=2)
    return page.draw(sections)


def _shares(groups: Sequence[Group]) -> list[int]:
    """How many pictures each group may show: what small groups leave goes to the large ones."""
    shares = [0] * len(groups)
    room = MAX_SUBJECTS
    by_size = sorted(range(len(groups)), key=lambda number: len(groups[number].subjects))
    for left, number in enumerate(by_size):
        shares[number] = min(len(groups[number].subjects), room // (len(groups) - left))
        room -= shares[number]
    return shares


def _tile(subject: Subject) -> Tile:
    lines = (
        _verdict("intact", subject.intact, changed=False),
        _verdict("blinded", subject.blinded, changed=subject.changed),
    )
    if subject.intact is None and subject.blinded is None:
        lines = (Line(subject.name, tone="quiet"), Line(subject.note or "no verdict yet"))
    return Tile(subject.picture, lines, subject.changed, blank=subject.note or "no picture")


def _verdict(kind: str, seen: Seen | None, *, changed: bool) -> Line:
    if seen is None:
        return Line(f"{kind}: -", tone="quiet")
    label, confidence = seen
    return Line(f"{kind}: {label}", f" {confidence:.2%}", "alarm" if changed else "ink")

"""Whether processes grow: `Memory` notes what each holds, a `Trend` says what became of it."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FLAT = 0.01  # growth that counts as none, from the median of the rest's first third to its last's
LEAST_LOOKS = 6  # at a process that is judged


@dataclass
class Memory:
    """What each process held, by its name: (seconds, bytes), in the order they were looked at.

    looks: when, in seconds. pids: all that have had the name.
    """

    samples: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    looks: list[float] = field(default_factory=list)
    pids: dict[str, list[int]] = field(default_factory=dict)

    def look(self, pids: dict[str, int], at: float) -> None:
        """Note what of each is in memory, as `ps` has it."""
        self.looks.append(at)
        for name, pid in pids.items():
            size = _bytes_of(pid)
            if size is None:
                continue
            self.samples.setdefault(name, []).append((at, size))
            had = self.pids.setdefault(name, [])
            if pid not in had:
                had.append(pid)

    def rows(self, warm_s: float) -> Iterator["Trend"]:
        """Each process after its warm-up."""
        for name in self.samples:
            warm = self._warm(name, warm_s)
            if len(warm) >= LEAST_LOOKS:
                yield Trend.of(name, warm)

    def faults(self, warm_s: float, expected: Sequence[str]) -> Iterator[str]:
        """Why the rows say nothing: one that ended and came back is small again, so looks flat."""
        for name, pids in self.pids.items():
            if len(pids) > 1:
                yield f"{name} ended and was started again: pids {', '.join(map(str, pids))}."
        looks = sum(at >= warm_s for at in self.looks)
        if looks < LEAST_LOOKS:
            yield f"{looks} looks after the warm-up are too few; give it more --minutes."
        for name in expected:
            if (seen := len(self._warm(name, warm_s))) < looks:
                yield f"{name} was there at {seen} of {looks} looks after the warm-up."

    def _warm(self, name: str, warm_s: float) -> list[tuple[float, int]]:
        return [(at, size) for at, size in self.samples.get(name, ()) if at >= warm_s]


@dataclass(frozen=True)
class Trend:
    """A process's memory: medians of the first and last third, in MiB, and the line through all."""

    name: str
    start: float
    end: float
    slope: float  # MiB an hour
    most: float

    @classmethod
    def of(cls, name: str, samples: Sequence[tuple[float, int]]) -> "Trend":
        """The trend of (seconds, bytes)."""
        sizes = [size / 2**20 for _, size in samples]
        third = len(sizes) // 3
        slope, _ = statistics.linear_regression([at / 3600 for at, _ in samples], sizes)
        first, last = statistics.median(sizes[:third]), statistics.median(sizes[-third:])
        return cls(name, first, last, slope, max(sizes))

    @property
    def growth(self) -> float:
        """0.01 is 1%."""
        return self.end / self.start - 1

    @property
    def flat(self) -> bool:
        """Whether it did not grow."""
        return self.growth <= FLAT

    def cells(self) -> list[str]:
        """As the table has it."""
        verdict = "flat" if self.flat else "grew"
        sizes = [f"{size:,.1f}" for size in (self.start, self.end, self.most)]
        return [self.name, *sizes, f"{self.growth:+.1%}", f"{self.slope:+,.1f}", verdict]


def _bytes_of(pid: int) -> int | None:
    """A process's resident set size; None if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:")), None)

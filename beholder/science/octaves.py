"""`dream_octaves`: an objective climbed from small to large, on a picture that stays itself.

What is dreamt is kept apart from the picture, as its `detail`: an octave adds to the detail at its
own size, and the next begins with that detail enlarged, on the picture in its sharpness.

Source of the method: Mordvintsev, Olah and Tyka, "Inceptionism", 2015, and google/deepdream.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from beholder.errors import InvalidInput, InvalidSpec
from beholder.science.checkpoint import Checkpoint
from beholder.science.controls import (
    Controls,
    Octave,
    grey,
    octaves,
    rate,
    resized,
    scaled,
    shift,
    shifted,
    smoothed,
)
from beholder.science.dream import Dream, steps_kept
from beholder.science.networks import at_rest, check_pictures
from beholder.science.objective import Aim
from beholder.science.optimisers import Memory, Optimiser

_DETAIL = "detail"
_PLAIN = Controls()


def dream_octaves(
    aim: Aim,
    pictures: Tensor,
    *,
    seeds: Sequence[int],
    steps: int,
    learning_rate: float,
    controls: Controls = _PLAIN,
    optimiser: Callable[[float], Optimiser] | None = None,
    mask: Tensor | None = None,
    guide: Tensor | None = None,
    snapshots: Sequence[int] = (),
    begun: Checkpoint | None = None,
    on_step: Callable[[int], None] | None = None,
    on_part: Callable[[float], None] | None = None,
    on_checkpoint: Callable[[int, Callable[[], Checkpoint]], None] | None = None,
) -> Dream:
    """Change `pictures` (B, 3, H, W) so that `aim` is worth more to each of them.

    seeds: one a picture, of what is random in its dream. steps: of all octaves together.
    learning_rate: of a step along the gradient, or of what `optimiser` makes of it; None takes the
    gradient. mask: (1, 1, H, W) in [0, 1], how much each place may change; where it is 0 pixels
    stay as they are, bit for bit. guide: (1, 3, h, w), what terms that go toward a picture go
    toward; None is each picture itself. begun: a checkpoint of the same dream to go on from.
    snapshots are in full size, whatever the octave. Callbacks and what is returned as for `dream`.
    Raises InvalidInput, InvalidSpec, InvalidObjective.
    """
    check_pictures(pictures)
    kept = steps_kept(steps, snapshots)
    if len(seeds) != len(pictures):
        raise InvalidSpec(f"seeds: one a picture, {len(pictures)}; got {len(seeds)}.")
    if mask is not None and tuple(mask.shape) != (1, 1, *pictures.shape[2:]):
        raise InvalidInput(
            f"the mask is (1, 1, {pictures.shape[2]}, {pictures.shape[3]}) as the pictures are; "
            f"got {tuple(mask.shape)}."
        )
    climb = _Climb.of(aim, pictures, tuple(seeds), controls, optimiser, mask, guide)
    last = begun or Checkpoint.start(pictures)
    memory = {name: part.to(aim.network.device, copy=True) for name, part in last.memory.items()}
    values: list[Tensor] = []
    taken = dict(last.snapshots)

    def checkpoint() -> Checkpoint:
        state = {name: part.cpu().clone() for name, part in memory.items()}
        return Checkpoint(step, climb.shown(memory).cpu(), dict(taken), last.curve(values), state)

    with at_rest(aim.network.module), torch.no_grad():
        for octave in octaves(*climb.size, controls, steps):
            stage: _Stage | None = None
            for step in range(max(octave.first, last.step + 1), octave.last + 1):
                if stage is None:
                    stage = climb.stage(octave, memory, goes_on=step > octave.first)
                size = learning_rate * rate(controls.schedule, step, steps)
                part = None if on_part is None else _from(on_part, step - 1)
                values.append(stage.step(step, size, memory, part))
                if step in kept:
                    taken[step] = climb.shown(memory).to("cpu", non_blocking=True)
                if on_checkpoint is not None:
                    on_checkpoint(step, checkpoint)
                if on_step is not None:
                    on_step(step)
    taken.setdefault(steps, last.pictures)  # where the checkpoint is of the end
    curve = last.curve(values)
    return Dream(taken[steps], taken, curve)


@dataclass(frozen=True)
class _Climb:
    """What all octaves have in common. starts: in [0, 1], on the device."""

    aim: Aim
    starts: Tensor
    seeds: tuple[int, ...]
    controls: Controls
    optimiser: Callable[[float], Optimiser] | None
    mask: Tensor | None
    guide: Tensor | None

    @classmethod
    def of(
        cls,
        aim: Aim,
        pictures: Tensor,
        seeds: tuple[int, ...],
        controls: Controls,
        optimiser: Callable[[float], Optimiser] | None,
        mask: Tensor | None,
        guide: Tensor | None,
    ) -> "_Climb":
        device = aim.network.device
        starts = pictures.detach().to(device).clamp(0, 1)
        if aim.precision == "float64":
            starts = starts.double()
        mask = None if mask is None else mask.to(starts)
        return cls(
            aim,
            starts,
            seeds,
            controls,
            optimiser,
            mask,
            None if guide is None else guide.to(starts),
        )

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.starts.shape[2:]
        return height, width

    def stage(self, octave: Octave, memory: Memory, *, goes_on: bool) -> "_Stage":
        """An octave, with `memory` as it begins, or as it is where it `goes_on`."""
        base = resized(self.starts, octave.size)
        mask = None if self.mask is None else resized(self.mask, octave.size)
        if not goes_on:
            detail = memory.get(_DETAIL)
            detail = torch.zeros_like(base) if detail is None else resized(detail, octave.size)
            memory.clear()
            memory[_DETAIL] = _within(_where(mask, detail), base, self.controls.keep_colour)
            if self.optimiser is not None:
                memory |= self.optimiser(0.0).start(detail)
        guide = base if self.guide is None else self.guide
        if self.aim.aligned:  # places are compared with places
            guide = resized(guide, octave.size)
        return _Stage(self, octave, base, mask, guide)

    def shown(self, memory: Memory) -> Tensor:
        """The pictures (B, 3, H, W) as they are now, in full size."""
        detail = _where(self.mask, resized(memory[_DETAIL], self.size))
        detail = _within(detail, self.starts, self.controls.keep_colour)
        pictures = (self.starts + detail).clamp_(0, 1)
        if self.controls.blend:
            pictures += self.controls.blend * (self.starts - pictures)
        return pictures


@dataclass
class _Stage:
    """One octave. base: the pictures in its size; mask: (1, 1, h, w)."""

    climb: _Climb
    octave: Octave
    base: Tensor
    mask: Tensor | None
    guide: Tensor
    _looks: dict[int, Tensor] | None = None

    def step(
        self, number: int, size: float, memory: Memory, on_part: Callable[[float], None] | None
    ) -> Tensor:
        """Take one step of this size; the value (B,) that it set out from."""
        aim, controls, detail = self.climb.aim, self.climb.controls, memory[_DETAIL]
        shifts = [shift(seed, number, controls.jitter) for seed in self.climb.seeds]
        values, gradient = aim.of_maps(
            shifted(self._pictures(detail), shifts),
            looks=self._seen(shifts),
            full=self.climb.size,
            on_share=on_part,
        )
        gradient = shifted(gradient, shifts, back=True)
        if aim.of_pictures:  # made again: a shifted picture has a seam between opposite edges
            values, gradient = aim.with_pictures(self._pictures(detail), values, gradient)
        gradient = smoothed(gradient, controls.smoothing)
        if controls.keep_colour:
            gradient = grey(gradient)
        if controls.gradient == "scaled":
            gradient = scaled(gradient)
        if self.climb.optimiser is None:
            change = gradient * size
        else:
            count = number - self.octave.first + 1
            moved = self.climb.optimiser(size).step(detail, -gradient, memory, count)
            change = moved.sub_(detail)
        del gradient  # a picture may be most of the memory there is
        if self.mask is not None:
            change.mul_(self.mask)
        memory[_DETAIL] = _within(change.add_(detail), self.base, controls.keep_colour)
        return values

    def _pictures(self, detail: Tensor) -> Tensor:
        return (self.base + detail).clamp_(0, 1)

    def _seen(self, shifts: list[tuple[int, int]]) -> dict[int, Tensor] | None:
        """What the guide's layers are, moved as the picture is where places are compared."""
        aim = self.climb.aim
        if not aim.guided:
            return None
        if aim.aligned and self.climb.controls.jitter:
            guide = self.guide.expand(len(shifts), -1, -1, -1)
            return aim.look(shifted(guide, shifts))
        if self._looks is None:
            self._looks = aim.look(self.guide)
        return self._looks


def _where(mask: Tensor | None, detail: Tensor) -> Tensor:
    """`detail` without what enlarging it has spread to where nothing is to change."""
    return detail if mask is None else torch.where(mask > 0, detail, 0.0)


def _within(detail: Tensor, base: Tensor, keep_colour: bool) -> Tensor:
    """`detail` cut so that `base` with it stays in [0, 1]; with colours kept, alike in all."""
    if not keep_colour:
        found = torch.empty_like(detail)
        for own, dreamt, start in zip(
            found.unbind(1), detail.unbind(1), base.unbind(1), strict=True
        ):
            torch.maximum(torch.minimum(dreamt, 1 - start), -start, out=own)
        return found
    brighter, darker = 1 - base.amax(dim=1, keepdim=True), -base.amin(dim=1, keepdim=True)
    return torch.maximum(torch.minimum(detail, brighter), darker)


def _from(call: Callable[[float], None], done: int) -> Callable[[float], None]:
    return lambda more: call(done + more)

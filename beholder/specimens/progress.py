"""`Progress` tells how training goes."""

import math
import time


class Progress:
    """A line every few seconds: loss, accuracy, rate and time left."""

    def __init__(self, steps: int, *, every_s: float = 10.0) -> None:
        self.steps, self.every_s = steps, every_s
        self.start = self.shown = time.monotonic()
        self.seen = self.right = self.total = 0

    def show(self, step: int, loss: float, right: int, count: int) -> None:
        self.right, self.seen, self.total = (
            self.right + right,
            self.seen + count,
            self.total + count,
        )
        now = time.monotonic()
        if not math.isfinite(loss):
            raise RuntimeError(f"The loss is {loss} at step {step}; lower --learning-rate.")
        if now - self.shown < self.every_s and step < self.steps:
            return
        rate = self.total / (now - self.start)
        left_s = (now - self.start) / step * (self.steps - step)
        print(
            f"step {step}/{self.steps}  loss {loss:.3f}  accuracy {self.right / self.seen:.1%}  "
            f"{rate:.0f} pictures/s  {left_s / 60:.1f} min left",
            flush=True,
        )
        self.shown, self.right, self.seen = now, 0, 0

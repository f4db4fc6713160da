"""The priorities of jobs: one is served before all of a lower priority, in turn with its equals."""

from typing import Literal

Priority = Literal["low", "normal", "high"]

PRIORITIES: tuple[Priority, ...] = ("high", "normal", "low")  # as they are served
DEFAULT_PRIORITY: Priority = "normal"

"""`Loaded`: the one network that a process has in memory."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from beholder.science.networks import Network, load_network

_LOOK_S = 0.2


@dataclass
class Loaded:
    """Loads networks by name, one at a time, and lends the one that is loaded.

    folder: where downloaded weights are kept. device: as `load_network` takes it.
    """

    folder: Path
    device: str
    network: Network | None = None
    loading: bool = False  # which may take as long as a download does
    _lent: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def lend(self, name: str, look: Callable[[], object]) -> Network:
        """The network of this name, to be given back.

        Another that is loaded has to be given back first, by all who borrowed it, and they must
        not keep it: there may not be memory for two. look: called while that, or a download, is
        waited for; what it raises ends the wait. Raises as `load_network` does.
        """
        with self._changed:
            if self.network is None or self.network.name != name:
                while self._lent:
                    look()
                    self._changed.wait(_LOOK_S)
                self.network = None
                self.loading = True
                try:
                    self.network = load_network(
                        name, folder=self.folder, device=self.device, look=look
                    )
                finally:
                    self.loading = False
            self._lent += 1
            return self.network

    def take_back(self) -> None:
        """One who borrowed the network has let go of it."""
        with self._changed:
            self._lent -= 1
            self._changed.notify_all()

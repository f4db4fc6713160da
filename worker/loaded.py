"""`Loaded`: the one network that a process has in memory."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from beholder.science.networks import Network, load_network


@dataclass
class Loaded:
    """Loads networks by name, one at a time.

    folder: where downloaded weights are kept. device: as `load_network` takes it.
    in_use: to be held while the device works with the network.
    """

    folder: Path
    device: str
    network: Network | None = None
    in_use: threading.Lock = field(default_factory=threading.Lock)

    def get(self, name: str) -> Network:
        """The network of this name. Another has to leave first, since its memory is needed."""
        if self.network is None or self.network.name != name:
            with self.in_use:
                self.network = None
                self.network = load_network(name, folder=self.folder, device=self.device)
        return self.network

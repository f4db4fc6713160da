"""`Precisions`: how precisely a worker's dreams run; "auto" is tried out once for each kind."""

from dataclasses import dataclass, field

from beholder.science.networks import Network
from beholder.science.precision import fastest_admitted
from beholder.science.prefix import Precision
from beholder.specs import DEFAULT_SIZE, DreamSpec

_LARGEST_TRIAL = 512  # pixels a side; what rounding does there, it does in larger pictures too


@dataclass
class Precisions:
    """Remembers what was admitted, for as long as the process lasts."""

    _admitted: dict[tuple[object, ...], Precision] = field(default_factory=dict)

    def of(self, network: Network, spec: DreamSpec, layer: int) -> Precision:
        """The precision of a spec's dreams of a layer. May dream of test pictures first."""
        if spec.precision != "auto":
            return spec.precision
        size = DEFAULT_SIZE if spec.size == "keep" else min(spec.size, _LARGEST_TRIAL)
        read = (spec.channels, spec.learning_rate, spec.normalize, spec.pre_relu)
        kind = (network.sha256, network.device, layer, size, read)
        if kind not in self._admitted:
            self._admitted[kind] = fastest_admitted(
                network,
                layer=layer,
                channels=spec.channels,
                learning_rate=spec.learning_rate,
                normalize=spec.normalize,
                pre_relu=spec.pre_relu,
                size=size,
            )
        return self._admitted[kind]

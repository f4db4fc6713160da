"""`Precisions`: how precisely a worker's dreams run; "auto" is tried out once for each kind."""

from dataclasses import dataclass, field

from beholder.science.networks import Network
from beholder.science.precision import fastest_admitted
from beholder.science.prefix import Precision
from beholder.specs import DEFAULT_SIZE, DreamSpec

_LARGEST_TRIAL = 512  # pixels a side; a larger one would take longer than many a job
_MOST_KINDS = 1_000


@dataclass
class Precisions:
    """Remembers what was admitted, for as long as the process lasts."""

    _admitted: dict[tuple[object, ...], Precision] = field(default_factory=dict)

    def of(self, network: Network, spec: DreamSpec, layer: int) -> Precision:
        """The precision of a spec's dreams of a layer. May dream of test pictures first."""
        if spec.precision != "auto":
            return spec.precision
        if not spec.plain:  # what may be coarser is tried out on the article's dreams alone
            return "float32"
        size = DEFAULT_SIZE if spec.size == "keep" else min(spec.size, _LARGEST_TRIAL)
        ascent = (spec.channels, spec.steps, spec.learning_rate, spec.normalize, spec.pre_relu)
        kind = (network.sha256, network.device, layer, size, ascent)
        if kind not in self._admitted:
            if len(self._admitted) == _MOST_KINDS:
                self._admitted.clear()
            self._admitted[kind] = fastest_admitted(
                network,
                layer=layer,
                channels=spec.channels,
                steps=spec.steps,
                learning_rate=spec.learning_rate,
                normalize=spec.normalize,
                pre_relu=spec.pre_relu,
                size=size,
            )
        return self._admitted[kind]

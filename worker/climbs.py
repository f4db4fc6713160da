"""`Climb`: how a job's dreams of a layer are computed, whatever its recipe.

The article's go through `dream`, other dreams of pixels through `dream_octaves`, spectra through
`render`. Each takes and gives the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from beholder.errors import InvalidSpec, NotFound, PictureError
from beholder.pictures import decoded
from beholder.science import feature, maco
from beholder.science.checkpoint import Checkpoint
from beholder.science.controls import Controls, rate, resized
from beholder.science.dream import Dream, dream
from beholder.science.inputs import to_tensor
from beholder.science.maco import CROPS, Phases
from beholder.science.networks import Network
from beholder.science.objective import Aim, ask_each
from beholder.science.octaves import dream_octaves
from beholder.science.optimisers import Adam, Memory, NAdam, Optimiser
from beholder.science.prefix import Precision
from beholder.science.rendering import Canvas, Means, render
from beholder.science.spectrum import Fourier, natural_scale
from beholder.science.transforms import STANDARD, Drawn, Views
from beholder.specs import DreamSpec
from worker.pictures import Loader

Channels = tuple[int, ...] | None  # None: all of a layer's
_OPTIMISERS: dict[str, Callable[[float], Optimiser]] = {"adam": Adam, "nadam": NAdam}
_VIEWS: dict[str, Views] = {"none": Views(), "lucid": STANDARD, "crops": CROPS}


@dataclass(frozen=True)
class Calls:
    """What is told of a dream as it goes; as for `dream`."""

    on_step: Callable[[float], None]
    on_checkpoint: Callable[[int, Callable[[], Checkpoint]], None]


@dataclass(frozen=True)
class Climb:
    """Dreams of a spec and a layer on a network. loader: has the store where mask and guide are.

    Raises InvalidSpec for a mask or guide that can't be used, and what `Aim.of` does; FileUnusable
    where it is there but can't be read, StoreMissing where nothing can be.
    """

    spec: DreamSpec
    layer: int
    network: Network
    precision: Precision
    loader: Loader
    _aims: dict[Channels, Aim] = field(default_factory=dict)

    def run(
        self,
        starts: Tensor,
        seeds: Sequence[int],
        calls: Calls,
        *,
        from_noise: bool,
        begun: Checkpoint | None = None,
        channels: Sequence[Channels] | None = None,
    ) -> Dream:
        """The dreams of `starts` (B, 3, H, W), or what a checkpoint of them becomes.

        from_noise: whether a spectrum begins with its seed and not with the start. channels: each
        spectrum's own; None are the spec's.
        """
        if self.spec.plain:
            return self._article(begun or starts, calls)
        if self.spec.parameters == "pixels":
            return self._octaves(starts, seeds, begun, calls)
        own = [self.spec.channels] * len(starts) if channels is None else channels
        return self._spectrum(starts, seeds, begun, from_noise, [*map(self.aim_at, own)], calls)

    def aim_at(self, channels: Channels) -> Aim:
        """What dreams of these channels climb. Raises InvalidChannel, InvalidSpec."""
        if channels not in self._aims:
            spec = self.spec.model_copy(update={"channels": channels})
            self._aims[channels] = Aim.of(
                self.network,
                spec.objective_at(self.layer),
                normalize=spec.normalize,
                pre_relu=spec.pre_relu,
                precision=self.precision,
                wakes=spec.parameters != "pixels",
            )
        return self._aims[channels]

    def start(self, start: Tensor, seed: int | None) -> Tensor:
        """What a dream really starts from: of noise, a spectrum has its own; (3, H, W)."""
        if seed is None or self.spec.parameters == "pixels":
            return start
        canvas = self._canvas(*start.shape[1:])
        return canvas.picture(canvas.start(seed))

    def _article(self, pictures: Tensor | Checkpoint, calls: Calls) -> Dream:
        spec = self.spec
        (term,) = spec.objective_at(self.layer).terms
        return dream(
            self.network,
            pictures,
            layer=self.layer,
            channels=term.channels,
            steps=spec.steps,
            learning_rate=spec.learning_rate,
            snapshots=spec.steps_kept,
            normalize=spec.normalize,
            pre_relu=spec.pre_relu,
            precision=self.precision,
            on_step=calls.on_step,
            on_part=calls.on_step,
            on_checkpoint=calls.on_checkpoint,
        )

    def _octaves(
        self, starts: Tensor, seeds: Sequence[int], begun: Checkpoint | None, calls: Calls
    ) -> Dream:
        spec = self.spec
        size = (starts.shape[2], starts.shape[3])
        return dream_octaves(
            self.aim_at(spec.channels),
            starts,
            seeds=seeds,
            steps=spec.steps,
            learning_rate=spec.learning_rate,
            controls=Controls(
                octaves=spec.octaves,
                octave_scale=spec.octave_scale,
                jitter=spec.jitter,
                gradient=spec.gradient,
                smoothing=spec.smoothing,
                schedule=spec.schedule,
                keep_colour=spec.keep_colour,
                blend=spec.blend,
            ),
            optimiser=_OPTIMISERS.get(spec.optimiser),
            mask=None if self._mask is None else resized(self._mask, size).clamp(0, 1),
            guide=self._guide,
            snapshots=spec.steps_kept,
            begun=begun,
            on_step=calls.on_step,
            on_part=calls.on_step,
            on_checkpoint=calls.on_checkpoint,
        )

    def _spectrum(
        self,
        starts: Tensor,
        seeds: Sequence[int],
        begun: Checkpoint | None,
        from_noise: bool,
        aims: Sequence[Aim],
        calls: Calls,
    ) -> Dream:
        """Spectra begin with a picture, or a seed; a picture's own caricature with a seed too."""
        spec, aim = self.spec, aims[0]
        size = (starts.shape[2], starts.shape[3])
        of_itself = aim.aligned and self._guide is None
        sources = starts if self._guide is None else resized(self._guide, size)
        sources = sources.to(self.network.device).expand(len(starts), -1, -1, -1)
        still = None if aim.aligned or not aim.guided else aim.look(self._given_guide)

        def answer(shown: Tensor, drawn: Drawn) -> tuple[Tensor, Tensor]:
            looks = aim.look(drawn.of(sources.to(shown.dtype))) if aim.aligned else still
            return ask_each([aims[row] for row in drawn.rows], shown, looks=looks, full=size)

        begins = None if from_noise or of_itself else starts
        return render(
            self.network,
            answer,
            Means(self._canvas(*size), self._optimiser, _VIEWS[spec.transforms]),
            seeds=seeds,
            starts=begun or begins,
            steps=spec.steps,
            snapshots=spec.steps_kept,
            precision=self.precision,
            on_step=calls.on_step,
            on_checkpoint=calls.on_checkpoint,
        )

    def _canvas(self, height: int, width: int) -> Canvas:
        if self.spec.parameters == "phase":
            return Phases(height, width, natural_scale(height, width, maco.DECAY))
        return Fourier(height, width, feature.DECAY)

    @property
    def _optimiser(self) -> Optimiser:
        spec = self.spec
        make = _OPTIMISERS[spec.optimiser]
        if spec.schedule == "constant":
            return make(spec.learning_rate)
        return _Scheduled(
            lambda step: make(spec.learning_rate * rate(spec.schedule, step, spec.steps))
        )

    @cached_property
    def _mask(self) -> Tensor | None:
        """(1, 1, h, w) in [0, 1]."""
        if self.spec.mask is None:
            return None
        return self._picture("mask", self.spec.mask).mean(dim=1, keepdim=True)

    @cached_property
    def _guide(self) -> Tensor | None:
        """(1, 3, h, w) in [0, 1]; where places are compared, it is brought to their size later."""
        if self.spec.guide is None:
            return None
        guide = self._picture("guide", self.spec.guide)
        if "caricature" in self.spec.objective_at(self.layer).measures:
            return guide
        width, height = self.spec.guide_size(self.layer, guide.shape[3], guide.shape[2])
        return resized(guide, (height, width))

    @property
    def _given_guide(self) -> Tensor:
        assert self._guide is not None  # else the spec had been refused
        return self._guide.to(self.network.device)

    def _picture(self, field: str, sha256: str) -> Tensor:
        try:
            data = self.loader.picture(sha256)
            with decoded(data, max_pixels=self.loader.max_pixels) as image:
                return to_tensor(image, size=self.spec.size)[None]
        except (NotFound, PictureError) as error:
            if isinstance(error, NotFound):
                self.loader.insist_on_store()
            raise InvalidSpec(f"{field}: {error}") from None


@dataclass(frozen=True)
class _Scheduled:
    """An optimiser whose rate depends on the step."""

    at: Callable[[int], Optimiser]

    def start(self, parameters: Tensor) -> Memory:
        return self.at(1).start(parameters)

    def step(self, parameters: Tensor, gradient: Tensor, memory: Memory, number: int) -> Tensor:
        return self.at(number).step(parameters, gradient, memory, number)

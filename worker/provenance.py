"""`provenance`: what a dream's PNG is to say of itself, from what its worker knows."""

import functools

import PIL
import torch

from beholder import __version__
from beholder.provenance import Provenance, network_word, own_spec, source_word
from beholder.science.networks import Network
from beholder.science.prefix import Precision
from beholder.specs import DreamSpec
from worker.pictures import Wanted


def provenance(wanted: Wanted, network: Network, precision: Precision, step: int) -> Provenance:
    """Of an item's dream after `step` steps."""
    item, spec = wanted.item, wanted.claim.spec
    assert item.layer is not None
    assert isinstance(spec, DreamSpec)
    frames, before = wanted.claim.frames, wanted.claim.before.get(item.position)
    frame = frames.number(item.position) if frames else None
    return Provenance(
        beholder=__version__,
        torch=torch.__version__,
        pillow=PIL.__version__,
        device=device_word(network.device),
        precision=precision,
        network=network_word(network.name),
        network_sha256=network.sha256,
        source=source_word(item.source),
        source_sha256=item.picture_sha256,
        seed=item.seed,
        layer=item.layer,
        step=step,
        frame=frame,
        before_sha256=before.sha256 if before else None,
        spec=own_spec(spec, layer=item.layer, seed=item.seed, precision=precision, frame=frame),
    )


@functools.cache
def device_word(device: torch.device) -> str:
    """What computes, as far as its last bits depend on it: "cpu AVX2", or the GPU's name."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    if device.type == "cpu":
        return f"cpu {torch.backends.cpu.get_cpu_capability()}"
    return device.type

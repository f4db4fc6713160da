"""The network is torchvision's, built without importing torchvision."""

import subprocess
import sys

import pytest
import torch
from torchvision.models import vgg19
from torchvision.models.vgg import cfgs

from beholder.science import weights
from beholder.science.vgg import features_of


@pytest.mark.slow
def test_it_equals_torchvisions_part_by_part() -> None:
    torch.manual_seed(0)
    theirs = vgg19(weights=None).eval()
    ours = weights.build(theirs.state_dict())
    for (name, their), (our_name, our) in zip(
        theirs.named_modules(), ours.named_modules(), strict=True
    ):
        assert (name, repr(their)) == (our_name, repr(our))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours(pictures), theirs(pictures))


def test_its_features_are_those_of_the_table() -> None:
    with torch.device("meta"):
        assert repr(features_of(cfgs["E"])) == repr(vgg19(weights=None).features)


@pytest.mark.slow
def test_networks_and_their_worker_leave_what_is_large_alone() -> None:
    code = (
        "import sys, worker.child; from beholder.science.networks import load_network; "
        "load_network('specimens'); load_network('random:0'); "
        "large = {'torchvision', 'torch._dynamo', 'sympy', 'scipy', 'statsmodels', 'pandas'}; "
        "print(*large & set(sys.modules))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert loaded.stdout.strip() == ""

"""Networks: names, hashes, labels; files of every kind, right and wrong."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import VGG19_Weights, vgg19

from beholder.errors import InvalidSpec, NetworkUnavailable
from beholder.layers import LAYERS
from beholder.science import weights
from beholder.science.networks import load_network

IMAGENET = VGG19_Weights.IMAGENET1K_V1.meta["categories"]


@pytest.fixture
def save(tmp_path):
    """save(state, name, metadata=None): the path, as text, of a file with this state dict."""

    def save(state, name="weights.safetensors", metadata=None):
        path = tmp_path / name
        if name.endswith(".safetensors"):
            save_file({key: tensor.contiguous() for key, tensor in state.items()}, path, metadata)
        else:
            torch.save(state, path)
        return str(path)

    return save


@pytest.mark.slow
def test_random_is_torchvisions_after_manual_seed(random0, starts):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = vgg19(weights=None).eval()
    for key, tensor in plain.state_dict().items():
        assert torch.equal(random0.module.state_dict()[key], tensor), key
    with torch.no_grad():
        assert torch.equal(random0.module(starts(1, 32)), plain(starts(1, 32)))
    assert list(random0.labels) == IMAGENET
    assert random0.name == "random:0"
    assert random0.widths == tuple(layer.channels for layer in LAYERS)


@pytest.mark.slow
def test_random_leaves_the_global_generator_and_is_its_seed(random0):
    before = torch.get_rng_state()
    other = load_network("random:1")
    assert torch.equal(torch.get_rng_state(), before)
    assert other.sha256 != random0.sha256


@pytest.mark.slow
def test_full_size_file_is_the_same_network(random0, save):
    again = load_network(save(random0.module.state_dict(), "vgg19.pth"))
    assert again.sha256 == random0.sha256
    assert again.labels == random0.labels
    assert str(again.module) == str(random0.module)


def test_specimens(specimens, starts):
    assert specimens.name == "specimens"
    assert specimens.widths == tuple(layer.channels // 4 for layer in LAYERS)
    assert len(specimens.labels) > 1
    assert specimens.module(starts(1, 40)).shape == (1, len(specimens.labels))


def test_from_a_file(narrow, make_state, starts):
    assert narrow.labels == ("ant", "bee", "cat", "dog", "eel", "fox")
    assert narrow.widths == tuple(layer.channels // 8 for layer in LAYERS)
    assert narrow.device == torch.device("cpu")
    assert len(narrow.module.features) == 37
    assert not any(weight.requires_grad for weight in narrow.module.parameters())
    assert not any(part.training for part in narrow.module.modules())
    assert all(part.inplace for part in narrow.module.features if isinstance(part, torch.nn.ReLU))
    pictures = starts(1, 32)
    maps = pictures
    for layer in LAYERS:  # the same function, from torch's functions alone
        if layer.kind == "conv":
            name = f"features.{layer.index}"
            state = make_state()
            maps = torch.conv2d(maps, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)
        else:
            maps = maps.relu() if layer.kind == "relu" else torch.max_pool2d(maps, 2)
    logits = maps.flatten(1) @ state["classifier.0.weight"].T + state["classifier.0.bias"]
    assert torch.allclose(narrow.module(pictures), logits, atol=1e-5)


def test_one_hash_whatever_the_file(narrow, make_state, save):
    backwards = dict(reversed(make_state().items()))
    assert load_network(save(make_state(), "a.pth")).sha256 == narrow.sha256
    assert load_network(save(make_state(), "a.pt")).sha256 == narrow.sha256
    assert load_network(save(backwards, "b.pth")).sha256 == narrow.sha256
    assert load_network(save(backwards, "b.safetensors")).sha256 == narrow.sha256
    assert load_network(save(make_state(seed=1), "c.pth")).sha256 != narrow.sha256
    assert len(narrow.sha256) == 64


def test_half_precision_becomes_single(make_state, save):
    half = {key: tensor.half() for key, tensor in make_state().items()}
    network = load_network(save(half))
    assert {weight.dtype for weight in network.module.parameters()} == {torch.float32}
    single = load_network(save({key: tensor.float() for key, tensor in half.items()}, "s.pth"))
    assert network.sha256 == single.sha256


def test_labels_by_default(make_state, save):
    assert load_network(save(make_state(classes=3))).labels == ("class 0", "class 1", "class 2")
    assert list(load_network(save(make_state(classes=1000), "t.pth")).labels) == IMAGENET


def test_torchvisions_head_at_any_width(make_state, save, starts):
    state = make_state(side=7, classes=20)
    state["classifier.3.weight"], state["classifier.3.bias"] = torch.randn(16, 20), torch.randn(16)
    state["classifier.6.weight"], state["classifier.6.bias"] = torch.randn(4, 16), torch.randn(4)
    network = load_network(save(state))
    kinds = [type(part).__name__ for part in network.module.classifier]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert network.module.avgpool.output_size == (7, 7)
    assert network.module(starts(2, 96)).shape == (2, 4)


def without(key):
    return lambda state: state.pop(key)


def setting(key, tensor):
    return lambda state: state.update({key: tensor})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without("features.10.weight"), "features.10.weight is missing"),
        (without("features.34.bias"), "features.34.bias is missing"),
        (without("classifier.0.weight"), "classifier.0.weight is missing"),
        (setting("features.1.weight", torch.zeros(8)), "features.1.weight is one tensor too many"),
        (setting("features.5.weight", torch.zeros(16, 9, 3, 3)), r"is \(16, 9, 3, 3\) where"),
        (setting("features.5.weight", torch.zeros(16, 8)), r"has a weight of \(16, 8\)"),
        (setting("features.0.weight", torch.zeros(8, 3, 3, 3).int()), "no tensor of floats"),
        (setting("classifier.0.weight", torch.zeros(6, 65)), "takes 65 values"),
        (setting("classifier.0.weight", torch.zeros(6, 128)), "takes 128 values"),
        (setting("classifier.6.weight", torch.zeros(6, 6)), "neither one linear layer"),
    ],
)
@pytest.mark.parametrize("name", ["bad.pth", "bad.safetensors"])
def test_what_does_not_fit_is_named(make_state, save, spoil, words, name):
    state = make_state()
    spoil(state)
    with pytest.raises(NetworkUnavailable, match=words) as caught:
        load_network(save(state, name))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "words"),
    [("nonsense", "not JSON"), (json.dumps(["one"]), "a list of 6 names"), ("{}", "a list of 6")],
)
def test_wrong_labels(make_state, save, labels, words):
    with pytest.raises(NetworkUnavailable, match=words):
        load_network(save(make_state(), metadata={"labels": labels}))


def test_wrong_average_pooling(make_state, save):
    with pytest.raises(NetworkUnavailable, match="avgpool is 7, but its classifier takes 1 x 1"):
        load_network(save(make_state(), metadata={"avgpool": "7"}))


@pytest.mark.parametrize("name", ["broken.pth", "broken.pt", "broken.safetensors"])
@pytest.mark.parametrize("data", [b"", b"nonsense", b"PK\x03\x04 cut", b"\x80\x02}q\x00."])
def test_damaged_files(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(NetworkUnavailable, match=name) as caught:
        load_network(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_pickled_code_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    torch.save({"features.0.weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(NetworkUnavailable, match=r"trap\.pth"):
        load_network(str(tmp_path / "trap.pth"))
    assert not (tmp_path / "sprung").exists()


def test_other_things_than_state_dicts(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(NetworkUnavailable, match="holds a list, not a state dict"):
        load_network(str(tmp_path / "list.pth"))


def test_no_such_file(tmp_path):
    with pytest.raises(NetworkUnavailable, match=r"there is no file .*missing\.pth"):
        load_network(str(tmp_path / "missing.pth"))


@pytest.mark.parametrize("name", ["vgg16", "random:", "random:x", "random:-1"])
def test_no_such_name(name):
    with pytest.raises(InvalidSpec, match="no network"):
        load_network(name)


def test_no_such_device(narrow):
    with pytest.raises(InvalidSpec, match="no device 'warp'"):
        load_network(narrow.name, device="warp")
    with pytest.raises(InvalidSpec, match="this machine has no cuda:99"):
        load_network(narrow.name, device="cuda:99")


def test_auto_device(narrow):
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert load_network(narrow.name, device="auto").device.type == expected


def test_building_leaves_the_global_generator(make_state):
    before = torch.get_rng_state()
    weights.build(make_state())
    assert torch.equal(torch.get_rng_state(), before)

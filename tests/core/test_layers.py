from functools import partial

import pytest

from beholder.errors import InvalidChannel, InvalidLayer
from beholder.layers import (
    LAYERS,
    check_channels,
    find_layer,
    parse_channels,
    parse_layers,
    relu_of,
)
from beholder.networks import check_channels_of


def test_the_table_is_vgg19s_features() -> None:
    kinds = [layer.kind for layer in LAYERS]
    assert (kinds.count("conv"), kinds.count("relu"), kinds.count("pool")) == (16, 16, 5)
    assert [layer.index for layer in LAYERS] == list(range(37))
    assert [find_layer(i).name for i in (0, 4, 28, 29, 35, 36)] == [
        "conv1_1",
        "pool1",
        "conv5_1",
        "relu5_1",
        "relu5_4",
        "pool5",
    ]


@pytest.mark.slow  # imports torchvision
def test_the_table_agrees_with_torchvision() -> None:
    import torch
    from torchvision.models import vgg19

    with torch.device("meta"):
        features = vgg19(weights=None).features
    for layer, module in zip(LAYERS, features, strict=True):
        kind = {"Conv2d": "conv", "ReLU": "relu", "MaxPool2d": "pool"}[type(module).__name__]
        assert layer.kind == kind
        if kind == "conv":
            assert layer.channels == module.out_channels


@pytest.mark.parametrize(("index", "field"), [(18, 52), (27, 124), (34, 252), (36, 268)])
def test_receptive_fields(index: int, field: int) -> None:
    assert LAYERS[index].receptive_field == field


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("35", (35,)),
        ("relu5_4", (35,)),
        (" Conv5_1 ,28", (28,)),
        ("10-12", (10, 11, 12)),
        ("conv5_4-pool5", (34, 35, 36)),
        ("kind:pool", (4, 9, 18, 27, 36)),
        ("30,10-11", (30, 10, 11)),
        ("all", tuple(range(37))),
    ],
)
def test_selections(text: str, expected: tuple[int, ...]) -> None:
    assert parse_layers(text) == expected


@pytest.mark.parametrize("text", ["37", "-1", "", "conv9_1", "12-10", "kind:lstm", "1,,2", "3.5"])
def test_a_selection_that_names_no_layer(text: str) -> None:
    with pytest.raises(InvalidLayer):
        parse_layers(text)


def test_a_near_miss_is_named() -> None:
    with pytest.raises(InvalidLayer, match="Did you mean conv4_1"):
        find_layer("conv41")


def test_channels() -> None:
    assert parse_channels("3, 17,0-2") == (3, 17, 0, 1, 2)
    for wrong in ("", "x", "5-2", "-1", "1-2-3", "9999999"):
        with pytest.raises(InvalidChannel):
            parse_channels(wrong)
    with pytest.raises(InvalidChannel, match=r"on specimens, conv4_1 has channels 0-127; got 9999"):
        parse_channels("3,9999", partial(check_channels_of, "specimens", find_layer("conv4_1")))


def test_numbers_that_nobody_means() -> None:
    for wrong in ("9" * 5_000, "0" * 10, "1-" + "9" * 5_000, ",".join(1_001 * ["0-9"])):
        with pytest.raises(InvalidChannel) as no_channel:
            parse_channels(wrong)
        assert len(str(no_channel.value)) < 200
    with pytest.raises(InvalidLayer) as no_layer:
        find_layer("9" * 5_000)
    assert len(str(no_layer.value)) < 200


def test_a_channel_that_a_layer_lacks() -> None:
    check_channels(find_layer("conv4_1"), [511])
    with pytest.raises(InvalidChannel, match="conv4_1 has channels 0-511; got 600"):
        check_channels(find_layer("conv4_1"), [600])
    with pytest.raises(InvalidChannel, match=r"0-127; got 128. `beholder layers --network spec"):
        check_channels_of("specimens", find_layer("conv4_1"), [128])


def test_a_convolution_is_ablated_at_its_relu():
    assert [relu_of(layer) for layer in (0, 1, 4, 19, 20, 27, 34, 35, 36)] == [
        *(1, 1, 4, 20, 20, 27, 35, 35, 36)
    ]
    with pytest.raises(InvalidLayer, match="no layer '37'"):
        relu_of(37)

"""Labels are known without the network; a name finds its class, or says which it may mean."""

import pytest

from beholder.errors import InvalidSpec
from beholder.labels import called, check_target, find_label, known_labels, label_of_folder

LABELS = ("tabby", "fox", "pony", "Cardigan", "cardigan", "bus")


def test_named_networks_are_known_and_files_are_not():
    imagenet = known_labels("vgg19")
    assert imagenet is not None
    assert (len(imagenet), imagenet[227]) == (1000, "kelpie")
    assert known_labels("random:7") == imagenet
    assert "spiral" in (known_labels("specimens") or ())
    assert known_labels("mine.safetensors") is None


@pytest.mark.slow  # imports torch
def test_they_are_those_that_the_networks_have():
    from torchvision.models import VGG19_Weights

    from beholder.science.networks import load_network

    assert known_labels("vgg19") == tuple(VGG19_Weights.IMAGENET1K_V1.meta["categories"])
    assert known_labels("specimens") == load_network("specimens").labels


@pytest.mark.parametrize(
    ("asked", "number"),
    [("tabby", 0), ("Tabbies", 0), ("foxes", 1), ("ponies", 2), ("PONYS", 2), ("buses", 5),
     ("bus", 5), ("cardigan", 4), ("Cardigan", 3), ("5", 5)],
)  # fmt: skip
def test_found(asked, number):
    assert find_label(asked, LABELS) == number


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("CARDIGANS", "2 classes of this network are called 'CARDIGANS': write the number of the "
         "one that is meant, 3 (Cardigan), 4 (cardigan)."),
        ("poni", "no class 'poni' of this network; write vote, or a label such as pony."),
        ("6", "no class '6' of this network"),
        ("", "no class '' of this network; write vote, or a label such as tabby, fox, pony."),
    ],
)  # fmt: skip
def test_not_found(asked, words):
    with pytest.raises(InvalidSpec) as refused:
        find_label(asked, LABELS)
    assert words in str(refused.value)


def test_an_objective_s_class_is_found_alike():
    assert find_label("cardigan", LABELS, "objective") == 4
    with pytest.raises(InvalidSpec) as refused:
        find_label("poni", LABELS, "objective")
    assert str(refused.value) == (
        "objective: no class 'poni' of this network; write a number from 0 to 5, or a label such "
        "as pony."
    )
    with pytest.raises(InvalidSpec, match=r"^objective: 2 classes of this network are called"):
        find_label("CARDIGAN", LABELS, "objective")


def test_a_folder_s_case_tells_nothing_and_its_number_is_no_class():
    assert label_of_folder("red_foxes".removeprefix("red_"), LABELS) == 1
    with pytest.raises(InvalidSpec, match="2 classes of this network are called 'cardigan'"):
        label_of_folder("cardigan", LABELS)
    with pytest.raises(InvalidSpec, match="the folder '5' names no class"):
        label_of_folder("5", LABELS)
    assert called("_", LABELS) == []


def test_a_target_is_checked_as_far_as_its_network_is_known():
    check_target("vgg19", "kelpies")
    check_target("vgg19", "vote", "no such folder")
    check_target("vgg19", "folder")  # whose first target is not known yet
    check_target("vgg19", "folder", "German_Shepherds")
    check_target("mine.pth", "anything")
    with pytest.raises(InvalidSpec, match=r"no class 'kelpie dog'"):
        check_target("vgg19", "kelpie dog")
    with pytest.raises(InvalidSpec, match=r"such as German shepherd"):
        check_target("random:0", "folder", "germanshepard")

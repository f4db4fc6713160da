"""State dicts from strangers: nothing in them runs, none takes more memory than it has bytes."""

import json
import os
import resource
import struct
import zipfile

import pytest
import torch

from beholder.errors import NetworkUnavailable
from beholder.science import weights
from beholder.science.networks import load_network


class Runs:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def refused(path, words):
    """One line, whatever is wrong."""
    with pytest.raises(NetworkUnavailable, match=words) as caught:
        load_network(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_runs_none(tmp_path, zipped):
    mark, path = tmp_path / "ran", tmp_path / "evil.pth"
    state = {"features.0.weight": Runs(mark)}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    refused(path, "damaged, or holds more than tensors")
    assert not mark.exists()


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("bomb/data.pkl", bytes(200 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, "unpacks to 209,715,200 bytes, more than it has")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10  # KiB


def _specimens():
    return {
        key: tensor.clone() for key, tensor in load_network("specimens").module.state_dict().items()
    }


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(64, 3, 3, 3),
        torch.zeros(1).expand(10**9, 3, 3, 3),
        torch.zeros(16, 3, 3, 3).to_sparse(),
        torch.zeros(16, 3, 3, 3, device="meta"),
        torch.zeros(16, 3, 3, 3, dtype=torch.int64),
        "text",
        [],
    ],
    ids=["repeated", "huge", "sparse", "nowhere", "whole numbers", "text", "list"],
)
def test_a_tensor_that_is_not_all_there(tmp_path, tensor):
    path = tmp_path / "odd.pth"
    torch.save(_specimens() | {"features.0.weight": tensor}, path)
    refused(path, "features.0.weight is no tensor of floats")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 10) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        (lambda head: struct.pack("<Q", len(head)) + head)(
            json.dumps(
                {"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}
            ).encode()
        ),
    ],
    ids=["empty", "short", "long header", "cut header", "list", "deep", "beyond the end"],
)
def test_a_safetensors_file_with_a_bad_header(tmp_path, data):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(data)
    refused(path, "bad.safetensors is damaged, or holds more than tensors")


def test_honest_files_are_read(tmp_path):
    state = _specimens()
    for old in (True, False):
        path = tmp_path / f"{old}.pth"
        torch.save(state, path, _use_new_zipfile_serialization=not old)
        assert set(weights.read(path)[0]) == set(state)

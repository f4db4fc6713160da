"""The strongest pictures: in any order and any parts the same as sorting all of them."""

import io
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from beholder.errors import InvalidInput
from beholder.layers import LAYERS
from beholder.science.strongest import KEPT, KEPT_LAYERS, Strongest

WIDTHS = tuple(2 for _ in LAYERS)
pictures = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=9
)  # the strengths of both channels, the same in every layer


def strengths_of(rows):
    return tuple(torch.tensor(rows, dtype=torch.float32) for _ in LAYERS)


def compressed(data):
    buffer = io.BytesIO()
    with np.load(io.BytesIO(data)) as file:
        np.savez_compressed(buffer, **file)
    return buffer.getvalue()


def sorted_by_hand(rows):
    best = {}
    for channel in range(2):
        ranked = sorted(
            (-row[channel], position) for position, row in enumerate(rows) if row[channel]
        )
        best[channel] = [(position, -strength) for strength, position in ranked[:KEPT]]
    return best


def as_table(strongest, layer):
    best = {0: [], 1: []}
    for found, channel, rank, position, strength in strongest.rows():
        if found == layer:
            assert rank == len(best[channel])
            best[channel].append((position, strength))
    return best


@settings(max_examples=40, deadline=None)
@given(rows=pictures, seed=st.integers(0, 1000), parts=st.integers(1, 4))
def test_any_order_equals_sorting_the_whole(rows, seed, parts):
    shuffled = list(enumerate(rows))
    random.Random(seed).shuffle(shuffled)
    streamed, merged = Strongest(WIDTHS), Strongest(WIDTHS)
    for part in range(parts):
        if chunk := shuffled[part::parts]:
            positions, some = zip(*chunk, strict=True)
            streamed.update(strengths_of(some), positions)
            piece = Strongest(WIDTHS)
            piece.update(strengths_of(some), positions)
            merged = piece.merge(merged) if seed % 2 else merged.merge(piece)
    for layer in KEPT_LAYERS:
        assert as_table(streamed, layer) == as_table(merged, layer) == sorted_by_hand(rows)


def test_convolutions_are_left_to_their_relus():
    strongest = Strongest(WIDTHS)
    strongest.update(strengths_of([(1, 2)]), [7])
    layers = {layer for layer, *_ in strongest.rows()}
    assert layers == {layer.index for layer in LAYERS if layer.kind in ("relu", "pool")}


def test_bytes_and_back():
    strongest = Strongest(WIDTHS)
    strongest.update(strengths_of([(1, 2), (3, 0)]), [4, 9])
    again = Strongest.from_bytes(strongest.to_bytes())
    assert list(again.rows()) == list(strongest.rows())


def test_compressed_ones_of_an_earlier_release_are_read():
    strongest = Strongest(WIDTHS)
    strongest.update(strengths_of([(1, 2), (3, 0)]), [4, 9])
    old = compressed(strongest.to_bytes())
    assert len(old) < len(strongest.to_bytes())
    assert list(Strongest.from_bytes(old).rows()) == list(strongest.rows())


@settings(max_examples=20, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=200))
def test_many_parts_are_sorted_as_two_are(rows):
    parts, one_by_one = [], Strongest(WIDTHS)
    for position, row in enumerate(rows):
        parts.append(Strongest(WIDTHS))
        parts[-1].update(strengths_of([row]), [position])
        one_by_one = one_by_one.merge(parts[-1])
    merged = Strongest.of(WIDTHS, iter(parts))
    assert list(merged.rows()) == list(one_by_one.rows())
    assert as_table(merged, KEPT_LAYERS[0]) == sorted_by_hand(rows)


@pytest.mark.parametrize("data", [b"", b"junk", b"PK\x03\x04"])
def test_other_bytes_are_refused(data):
    with pytest.raises(InvalidInput, match="measure the pictures again"):
        Strongest.from_bytes(data)


def test_networks_do_not_mix():
    with pytest.raises(InvalidInput, match="same network"):
        Strongest(WIDTHS).merge(Strongest((*WIDTHS[:-1], 3)))

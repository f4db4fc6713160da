"""An atlas in a browser, from a file, with nothing else: it zooms, moves and finds channels."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from beholder.atlas.page import Tile, render_atlas

pytestmark = pytest.mark.slow  # a real browser


def webp(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (shade, 90, 160)).save(buffer, "WEBP")
    return buffer.getvalue()


def test_an_atlas_zooms_and_finds(browser: Any, tmp_path: Path) -> None:
    tiles = [Tile(number, webp(4 * number) if number % 7 else None) for number in range(60)]
    tiles[3] = Tile(3, webp(3), 'https://here/"><b>')
    text = render_atlas("28 conv5_1", "<specimens>, 51 of 60 channels", tiles)
    assert "<specimens>" not in text
    assert '"><b>' not in text
    (tmp_path / "atlas.html").write_text(text)
    page = browser.new_page(viewport={"width": 900, "height": 600})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((tmp_path / "atlas.html").as_uri())

    def box(channel: int) -> dict[str, float]:
        found = page.locator(f"#c{channel} > a").bounding_box()
        assert found is not None
        return dict(found)

    def inside(channel: int) -> bool:
        place = box(channel)
        return 0 <= place["x"] <= 900 - place["width"] and 0 <= place["y"] <= 600

    assert all(map(inside, (0, 9, 59)))  # all of it is in view
    small = box(20)
    page.mouse.move(small["x"] + 5, small["y"] + 5)
    page.mouse.wheel(0, -400)
    large = box(20)
    assert large["width"] == pytest.approx(small["width"] * 2.718, rel=0.01)
    assert large["x"] + 5 * 2.718 == pytest.approx(
        small["x"] + 5, abs=1
    )  # it stays under the wheel
    page.mouse.down()
    page.mouse.move(small["x"] + 65, small["y"] + 25)
    page.mouse.up()
    assert box(20)["x"] == pytest.approx(large["x"] + 60, abs=1)
    assert "#" not in page.url  # it was dragged, not chosen
    page.get_by_label("Channel", exact=True).fill("59")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("#c59$"))
    middle = box(59)
    assert middle["x"] + middle["width"] / 2 == pytest.approx(450, abs=2)
    page.get_by_role("button", name="All").click()
    assert all(map(inside, (0, 9, 59)))
    assert page.locator("img").count() == 51
    assert said == []
    page.close()

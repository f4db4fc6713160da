"""The report in Chromium: accessible in both schemes, whole on a phone, silent on the network."""

import hashlib
import json
from pathlib import Path

import pytest

from beholder.report.page import Material, render_page
from beholder.report.thumbs import small
from tests.report.synthetic import drawn, make_evidence, make_logits

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a file: what is mailed to somebody."""
    evidence = make_evidence(exploratory="Five targets are too few to hold any out.")
    face = small(drawn("spiral", 1))
    channels = [(one.layer, one.channel) for one in evidence.channels]
    material = Material(
        faces={row.sha256: face for row in evidence.rows},
        exemplars={channel: [face] * 4 for channel in channels},
        dreams={channel: [face] for channel in channels},
        logits=make_logits().to_bytes(),
    )
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_page(evidence, material), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def open_report(browser, address):
    """`open_report(width=375, ...)`; fails when the browser complained, or asked for anything."""
    contexts, complaints = [], []

    def make(*, width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda told: complaints.append(told.text))
        page.on("request", lambda asked: complaints.append(asked.url) if _other(asked) else None)
        page.goto(address)
        return page

    def _other(asked):
        return asked.url != address and not asked.url.startswith(("data:", "blob:"))

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


def test_axe_finds_nothing_in_either_scheme(open_report):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = open_report(bypass_csp=True)
    violations = {"resultTypes": ["violations"]}  # what passes is told by its first node, and soon
    light = axe.Axe().run(page, options=violations).response
    assert len(light["passes"]) > 10
    page.emulate_media(color_scheme="dark")
    dark = axe.Axe().run(page, options={**violations, "runOnly": ["color-contrast"]}).response
    assert dark["passes"]
    found = [
        (one["id"], one["nodes"][0]["target"])
        for one in (*light["violations"], *dark["violations"])
    ]
    assert found == []


@pytest.mark.parametrize(
    ("media", "width"), [("screen", 320), ("screen", 375), ("screen", 1280), ("print", 700)]
)
def test_nothing_is_wider_than_what_shows_it(open_report, media, width):
    page = open_report(width=width)
    page.emulate_media(media=media)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_caption_stays_where_its_table_scrolls(open_report):
    page = open_report(width=375)
    box = page.locator('.tables[aria-label="Groups under the headline"]')
    beyond = box.evaluate("one => one.scrollWidth - one.clientWidth")
    caption = box.locator("caption span")
    before, room = caption.bounding_box(), box.bounding_box()
    assert room["x"] <= before["x"] < before["x"] + before["width"] <= room["x"] + room["width"]
    box.evaluate("one => { one.scrollLeft = one.scrollWidth }")
    assert box.evaluate("one => one.scrollLeft") == beyond > 100
    assert abs(caption.bounding_box()["x"] - before["x"]) < 2
    shadows = "one => getComputedStyle(one).backgroundAttachment"
    assert box.evaluate(shadows).split(", ").count("scroll") >= 2  # at either side


def test_figures_take_the_scheme_s_colours(open_report):
    page = open_report(color_scheme="dark")
    colour = "getComputedStyle(document.querySelector('.figure text')).fill"
    dark = page.evaluate(colour)
    page.emulate_media(color_scheme="light")
    assert page.evaluate(colour) != dark
    page.emulate_media(color_scheme="dark", media="print")  # paper is white
    assert page.evaluate(colour) != dark


def test_the_evidence_can_be_saved(open_report, tmp_path: Path):
    page = open_report(accept_downloads=True)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save evidence.json").click()
    assert download.value.suggested_filename == "k3v8m2q0zt-evidence.json"
    download.value.save_as(tmp_path / "evidence.json")
    told = json.loads((tmp_path / "evidence.json").read_text())
    assert told["study"] == "k3v8m2q0zt"
    with page.expect_download() as download:
        page.get_by_role("button", name="Save logits.npz").click()
    assert download.value.suggested_filename == "k3v8m2q0zt-logits.npz"
    download.value.save_as(tmp_path / "logits.npz")
    data = (tmp_path / "logits.npz").read_bytes()
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (
        told["logits"]["sha256"],
        told["logits"]["bytes"],
    )


def test_all_of_it_is_there_without_script(open_report):
    page = open_report(java_script_enabled=False)
    assert page.locator("svg.figure").count() == 9
    assert not page.get_by_role("button").is_visible()

"""How it looks and reads: without script, on a phone, in the dark, to a screen reader; pictures."""

import io
import os
import re
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

MAX_BYTES = 400_000
VIOLATIONS = {"resultTypes": ["violations"]}  # what passes is told by its first node, and soon
ALL = (
    "/",
    "/new",
    "/new/study",
    "/new/study?recipe=sound",
    "/channels",
    "DREAM",
    "STUDY",
    "LAYER",
    "CHANNEL",
    "/jobs/none",
)


@pytest.fixture(scope="module")
def addresses(dream, study):
    return {
        "DREAM": f"/jobs/{dream}",
        "STUDY": f"/jobs/{study}",
        "LAYER": "/channels/specimens/relu4_4",
        "CHANNEL": "/channels/specimens/relu4_4/54",
    }


@pytest.mark.parametrize("where", ALL)
def test_axe_finds_nothing_serious(site, open_page, addresses, where):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    # The policy lets no other script in, so it is lifted for this one.
    page = open_page(site, bypass_csp=True, reduced_motion="reduce")
    page.goto(addresses.get(where, where))
    light = axe.Axe().run(page, options=VIOLATIONS).response
    assert len(light["passes"]) > 10
    page.emulate_media(color_scheme="dark")  # where only the colours are others
    dark = axe.Axe().run(page, options={**VIOLATIONS, "runOnly": ["color-contrast"]}).response
    assert dark["passes"]
    assert [*serious(light), *serious(dark)] == []


def serious(answer):
    return [
        (each["id"], node["target"], node["failureSummary"])
        for each in answer["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def test_a_phone_shows_all_of_it(site, open_page, addresses):
    page = open_page(site, width=375, height=812)
    for where in ALL:
        page.goto(addresses.get(where, where))
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, where


def test_reading_and_submitting_need_no_script(site, open_page, addresses, spirals, tmp_path):
    page = open_page(site, java_script_enabled=False)
    page.goto(addresses["DREAM"])
    assert page.locator(".compare img").count() == 2
    assert not page.get_by_role("slider").is_visible()
    page.locator(".film a", has_text="8").click()
    assert "step=8" in page.url
    page.goto(addresses["STUDY"])
    assert page.locator(".subject").count() == 10
    picture = tmp_path / "spiral.png"
    picture.write_bytes(spirals[0][1])
    page.goto("/new")
    page.locator('input[name="pictures"]').set_input_files(picture)
    page.get_by_label("Steps", exact=True).fill("2")
    page.get_by_label("Steps to keep").fill("")
    page.get_by_label("Size in pixels").fill("64")
    page.get_by_role("button", name="Queue it").click()
    assert re.search(r"/jobs/\w+$", page.url)
    job = page.url.rsplit("/", 1)[-1]
    assert site.ended(job)["state"] == "done"


def test_the_keyboard_reaches_everything(site, open_page):
    page = open_page(site)
    page.goto("/new")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.get_by_role("checkbox", name="0 conv1_1", exact=True).focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.locator("[data-chosen]").inner_text() == "0 conv1_1, 1 relu1_1, 28 conv5_1"


def test_empty_states_say_what_to_do(bare_site, open_page):
    page = open_page(bare_site)
    page.goto("/")
    page.get_by_role("link", name="Make the first job").click()
    assert page.get_by_role("heading", name="New job").is_visible()
    page.goto("/channels")
    assert page.get_by_role("link", name="Make a study").is_visible()
    page.goto("/channels/vgg19/conv5_1/17")
    assert page.get_by_role("button", name="Dream this channel").is_visible()
    page.get_by_role("button", name="Dream this channel").click()
    page.get_by_text("Its dream appears here").wait_for()


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("/jobs/none", 404, "No job 'none': “all jobs” lists them."),
        ("/channels/specimens/conv5_9/1", 422, "Did you mean conv5_"),
        ("/channels/specimens/conv5_1/128", 422, "has channels 0-127; got 128"),
        ("/channels/etc/conv5_1/1", 404, "no study is on a network"),
        ("/?state=finished", 422, "states are queued"),
    ],
)
def test_errors_are_pages_that_say_what_to_change(site, address, status, words):
    answer = site.http.get(address)
    assert answer.status_code == status
    assert words.lower() in answer.text.lower().replace("&#39;", "'")


def test_a_browser_that_goes_astray_is_shown_a_page_and_programs_a_problem(site):
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for address in ("/workers", "/workers<b>"):
        shown = site.http.get(address, headers=browser)
        assert shown.status_code == 404
        assert shown.headers["content-type"].startswith("text/html")
        assert 'href="/">All jobs' in shown.text
        assert "<b>" not in shown.text
    for address, headers in (("/workers", {}), ("/v1/workerz", browser)):
        problem = site.http.get(address, headers=headers)
        assert problem.headers["content-type"] == "application/problem+json"
        assert problem.json()["detail"].startswith(f"nothing at {address}")


def test_a_new_jobs_layers_have_the_widths_of_the_network_that_is_chosen(site):
    chosen = site.http.get("/new").text
    assert 'name="network" list="networks" value="specimens"' in chosen
    assert re.search("block 5 · <span[^>]*>128</span> channels", chosen)


def test_names_are_escaped(site):
    name = '<script>alert("x")</script>'
    job = site.submit("dreams", [], spec={"noise": 1, "steps": 1, "size": 32}, name=name)
    for address in ("/", f"/jobs/{job}"):
        assert "<script>alert" not in site.http.get(address).text
    site.ended(job)
    assert site.http.post(f"/jobs/{job}/delete").status_code == 303


SHOTS = (
    ("page-jobs", "/", 1280, "light", 900),
    ("page-new", "/new", 1280, "light", 1000),
    ("page-dream", "DREAM", 1280, "light", 1560),
    ("page-dream-dark", "DREAM", 1280, "dark", 1180),
    ("page-study", "STUDY", 1280, "light", 1240),
    ("page-channel", "CHANNEL", 1280, "light", 1180),
    ("page-phone", "DREAM", 375, "light", 812),
)


@pytest.mark.parametrize(("name", "where", "width", "scheme", "height"), SHOTS)
def test_screenshots(site, open_page, addresses, tmp_path, name, where, width, scheme, height):
    """BEHOLDER_PICTURES=docs/pictures keeps them."""
    waiting = _busy(site) if where == "/" else []
    kept = os.environ.get("BEHOLDER_PICTURES")
    dreams = where == "CHANNEL" and kept  # long ones, which only a picture that is kept needs
    if dreams:
        site.http.post(f"{addresses[where]}/dream")
    page = open_page(site, width=width, height=height, color_scheme=scheme)
    page.goto(addresses.get(where, where))
    if dreams:
        page.locator(".dreams img").first.wait_for(timeout=60_000)
    if waiting:
        page.locator("[data-pace]").filter(has_text="left").first.wait_for()
    page.wait_for_function(
        "[...document.images].every((one) => one.complete || one.loading === 'lazy')"
    )
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = Path(kept or tmp_path) / f"{name}.png"
    shot.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    assert path.stat().st_size < MAX_BYTES
    for job in waiting:
        site.http.post(f"/v1/jobs/{job}/cancel")
        site.http.delete(f"/v1/jobs/{job}")


def _busy(site):
    """A job that runs for long, and one that waits for it."""
    running = {"noise": 4, "steps": 3000, "size": 64, "layers": [35, 36], "learning_rate": 0.4}
    jobs = [
        site.submit("dreams", [], spec=running, name="Out of noise, deeper"),
        site.submit("dreams", [], spec={"noise": 2, "steps": 30, "size": 64}, name="Two voids"),
    ]
    site.until(jobs[0], lambda row: row["state"] == "running")
    return jobs

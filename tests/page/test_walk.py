"""What people do: drop pictures, watch, compare, play, study, walk to a channel, cancel, delete."""

import base64
import io
import json
import re
import time

import pytest
from PIL import Image, ImageChops, ImageStat

from beholder.recipes import RECIPES

pytestmark = pytest.mark.slow

# Layout shifts that no input brought about, as Chromium measures them; 0.1 is called good.
SHIFTS = """
() => {
  window.shifts = [];
  new PerformanceObserver((list) => {
    const own = list.getEntries().filter((entry) => !entry.hadRecentInput);
    window.shifts.push(...own.map((entry) => entry.value));
  }).observe({ type: "layout-shift", buffered: true });
}
"""
DROP = """
(files) => {
  const data = new DataTransfer();
  for (const { name, content } of files) {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    data.items.add(new File([bytes], name, { type: "image/png" }));
  }
  return data;
}
"""


def drop(page, where, pictures):
    files = [
        {"name": name.split("/")[-1], "content": base64.b64encode(data).decode()}
        for name, data in pictures
    ]
    transfer = page.evaluate_handle(DROP, files)
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event(where, event, {"dataTransfer": transfer})


def middle(page):
    """What the comparison shows away from its edges, where the handle may be."""
    shot = Image.open(io.BytesIO(page.locator(".compare").screenshot())).convert("L")
    return shot.crop([side * share // 100 for share in (30, 20, 70, 80) for side in [shot.width]])


def wait_for_state(page, state, timeout_s=60):
    page.locator(f".status .state.{state}").wait_for(timeout=timeout_s * 1000)


def test_up_prints_the_address(site):
    deadline = time.monotonic() + 5
    while site.address not in site.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert f"The page: {site.address}" in site.log.read_text()


def test_dropped_pictures_are_watched_to_the_end(page, spirals):
    page.goto("/new")
    drop(page, '[data-drop="pictures"]', spirals[:2])
    page.get_by_text("2 pictures", exact=True).wait_for()
    assert page.locator("[data-preview] img").count() == 2
    page.get_by_role("button", name="None").click()
    page.get_by_role("checkbox", name="20 relu4_1").check(force=True)
    page.get_by_role("checkbox", name="34 conv5_4").check(force=True)
    assert page.locator("[data-chosen]").inner_text() == "20 relu4_1, 34 conv5_4"
    for label, value in (("Steps", "12"), ("Steps to keep", "4, 8"), ("Size in pixels", "64")):
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_label("Name").fill("Dropped here")
    assert page.locator("[data-command]").inner_text() == (
        "beholder submit --dir DIR --layer 20,34 --steps 12 --learning-rate 0.5 --snapshots 4,8 "
        "--network specimens --size 64 --name 'Dropped here'"
    )
    page.get_by_role("button", name="Queue it").click()
    page.wait_for_url(re.compile(r"/jobs/\w+"))
    page.evaluate(SHIFTS)
    assert page.get_by_role("heading", level=1).inner_text() == "Dropped here"
    wait_for_state(page, "done")
    page.get_by_role("img", name="at conv5_4").first.wait_for()
    assert page.locator(".cell img").count() == 4
    assert page.locator("[data-count]").inner_text() == "4 of 4"
    assert sum(page.evaluate("window.shifts")) < 0.1


def test_quick_picks(page):
    page.goto("/new")
    ticked = page.locator('input[name="layers"]:checked')
    for name, count in (("All 37", 37), ("Convolutions", 16), ("Pools", 5), ("None", 0)):
        page.get_by_role("button", name=name).click()
        assert ticked.count() == count
    page.get_by_role("button", name="The article’s").click()
    assert [box.get_attribute("value") for box in ticked.all()] == ["25", "27", "30"]


def test_a_zoom_from_the_form_becomes_its_frames(page):
    page.goto("/new")
    page.get_by_label("Frames").fill("3")
    for label, value in (("Steps", "1"), ("Steps to keep", ""), ("Starts from noise", "1")):
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_label("Size in pixels").fill("64")
    page.get_by_role("button", name="Queue it").click()
    page.get_by_role("alert").filter(has_text="frames: they are a zoom's").wait_for()
    page.get_by_label("Zoom").fill("1.1")
    assert " --seed 0 --layer 28 --steps 1 --learning-rate 0.5 --zoom 1.1 --frames 3 " in (
        page.locator("[data-command]").inner_text()
    )
    page.get_by_role("button", name="Queue it").click()
    page.wait_for_url(re.compile(r"/jobs/\w+"))
    wait_for_state(page, "done")
    assert page.locator("[data-count]").inner_text() == "3 of 3"


def test_a_mistake_is_said_over_the_form_as_it_was(page, spirals):
    page.goto("/new")
    drop(page, '[data-drop="pictures"]', spirals[:1])
    page.get_by_label("Channels").fill("300")
    page.get_by_role("button", name="Queue it").click()
    page.get_by_role("alert").filter(has_text="has channels 0-127; got 300").wait_for()
    assert page.get_by_text("1 picture", exact=True).is_visible()


def test_the_slider_uncovers_the_dream(page, dream):
    page.goto(f"/jobs/{dream}")
    slider = page.get_by_role("slider")
    after = page.locator(".compare .after")

    def covered():
        return page.evaluate("(part) => getComputedStyle(part).clipPath", after.element_handle())

    assert "50%" in covered()
    slider.focus()
    page.keyboard.press("End")
    assert covered() == "inset(0px 0px 0px 100%)"
    picture = middle(page)
    page.keyboard.press("Home")
    assert re.fullmatch(r"inset\(0(px)?( 0px 0px 0(px|%))?\)", covered())
    assert ImageStat.Stat(ImageChops.difference(picture, middle(page))).mean[0] > 5
    box = page.locator(".compare").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    share = float(re.search(r"([\d.]+)%", covered())[1])
    assert 20 < share < 30


def test_the_film_plays_to_its_end(page, dream):
    page.goto(f"/jobs/{dream}")
    step = page.locator("[data-step]")
    assert step.inner_text() == "step 20"
    play = page.get_by_role("button", name="Play the steps")
    play.click()
    step.filter(has_text="step 4").wait_for()
    step.filter(has_text="step 20").wait_for()
    page.locator('[data-play][aria-pressed="false"]').wait_for()
    page.get_by_role("link", name="8", exact=True).click()
    assert step.inner_text() == "step 8"
    assert page.locator("[data-dream]").get_attribute("src").endswith("/pictures/8")


def test_the_grid_chooses_what_is_looked_at(page, dream):
    page.goto(f"/jobs/{dream}")
    page.get_by_role("link", name="spiral-2.png at conv3_2").click()
    page.get_by_role("heading", name="conv3_2", level=2).wait_for()
    assert "item=1" in page.url
    assert page.locator(".cell[aria-current]").get_attribute("data-item") == "1"
    page.reload()
    assert page.get_by_role("heading", name="conv3_2", level=2).is_visible()
    assert page.get_by_role("img", name="The L2 norm of conv3_2 at each step").is_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download this dream").click()
    assert download.value.suggested_filename.endswith("conv3_2-20.png")


def test_a_study_from_the_form_to_a_channels_dream(page, spirals, others):
    page.goto("/new/study")
    drop(page, '[data-drop="targets"]', spirals)
    drop(page, '[data-drop="controls"]', others)
    page.get_by_label("Size in pixels").fill("64")
    page.get_by_label("From layer").select_option("26")
    page.get_by_role("button", name="Queue it").click()
    page.wait_for_url(re.compile(r"/jobs/\w+"))
    wait_for_state(page, "done")
    page.locator(".headline").wait_for()
    assert page.locator(".subject").count() == 10
    assert re.search(r"\d of 5 targets keep their label", page.locator(".headline").inner_text())
    assert page.locator(".chart").count() == 21
    chosen = page.locator("table tbody tr")
    assert chosen.count() > 0
    chosen.first.get_by_role("link").click()
    page.wait_for_url(re.compile(r"/channels/specimens/relu4_4/\d+"))
    assert page.locator(".wall li").count() >= 4
    page.get_by_role("button", name="Dream this channel").click()
    page.locator(".dreams img").first.wait_for(timeout=60_000)
    assert page.locator(".dreams img").count() == 2
    assert page.get_by_role("link", name="the recipe feature in 256 steps").is_visible()
    page.get_by_role("link", name="→").click()
    page.wait_for_url(re.compile(r"/channels/specimens/relu4_4/\d+"))


def test_a_sound_study_from_the_form(site, page, spirals, others):
    page.goto("/new/study")
    page.get_by_role("link", name="sound").click()
    page.wait_for_url("**/new/study?recipe=sound")
    for role, files in (("targets", spirals), ("siblings", others[:2])):
        drop(page, f'[data-drop="{role}"]', files)
    page.locator("[data-command]", has_text="--sibling SIBLINGS --recipe").wait_for()
    drop(page, '[data-drop="controls"]', others[2:])
    page.locator("[data-command]", has_text="--control CONTROLS").wait_for()
    page.get_by_label("Class").fill("spirals")
    page.get_by_label("Method").select_option("gradient")
    page.get_by_label("Mode").select_option("scale")
    page.get_by_label("Alpha").fill("0.25")
    page.get_by_label("Random sets").fill("19")
    page.get_by_label("Choose for every folder").check()
    page.get_by_label("Size in pixels").fill("64")
    command = page.locator("[data-command]").inner_text()
    assert "--sibling SIBLINGS --control CONTROLS --recipe sound --target spirals" in command
    assert "--alpha 0.25 --draws 19 --method gradient --mode scale --matrix" in command
    page.get_by_label("Class").fill("spirall")
    page.get_by_role("button", name="Queue it").click()
    page.get_by_role("alert").filter(has_text="No class 'spirall' of this network").wait_for()
    page.get_by_label("Class").fill("spirals")
    page.get_by_role("button", name="Queue it").click()
    page.wait_for_url(re.compile(r"/jobs/\w+"))
    job = page.url.rsplit("/", 1)[-1]
    spec = site.job(job)["spec"]
    asked = {"recipe": "sound", "target": "spirals", "methods": ["gradient"], "modes": ["scale"],
             "alpha": 0.25, "draws": 19, "matrix": True, "dose": None}  # fmt: skip
    assert {name: spec[name] for name in asked} == asked
    site.http.post(f"/v1/jobs/{job}/cancel")


def test_cancel_retry_delete(site, page):
    job = site.submit("dreams", [], spec={"noise": 3, "steps": 4000, "size": 64}, name="Endless")
    site.until(job, lambda row: row["state"] == "running")
    page.goto("/")
    row = page.locator(f'.job[data-job="{job}"]')
    row.locator(".state.running").wait_for()
    row.locator("[data-pace]").filter(has_text="left").wait_for()
    row.get_by_role("button", name="Cancel Endless").click()
    row.locator(".state.cancelled").wait_for()
    assert site.job(job)["state"] == "cancelled"
    row.get_by_role("button", name="Retry Endless").click()
    row.get_by_role("button", name="Cancel Endless").click()
    row.get_by_role("link", name="Endless").click()
    page.get_by_text("Delete Endless").click()
    page.get_by_role("button", name="Delete for good").click()
    page.wait_for_url(site.address)
    assert site.http.get(f"/v1/jobs/{job}").status_code == 404
    assert row.count() == 0


def test_a_cancelled_job_runs_again_before_ones_eyes(site, page):
    job = site.submit("dreams", [], spec={"noise": 1, "steps": 4000, "size": 64}, name="Twice")
    page.goto(f"/jobs/{job}")
    wait_for_state(page, "running")
    page.get_by_role("button", name="Cancel Twice").click()
    page.get_by_text("This one was cancelled. Retry runs it.").wait_for()
    page.get_by_role("button", name="Retry Twice").click()
    wait_for_state(page, "running")
    page.locator("[data-pace]").filter(has_text="left").wait_for()
    site.http.post(f"/v1/jobs/{job}/cancel")
    wait_for_state(page, "cancelled")
    assert page.locator("[data-count]").inner_text() == "0 of 1"
    assert page.locator("progress").evaluate("bar => bar.value") == 0
    assert page.locator(".shares rect.cancelled").get_attribute("width") == "1"


def test_an_end_that_is_out_of_date_is_not_the_last_word(site, page):
    job = site.submit("dreams", [], spec={"noise": 1, "steps": 4000, "size": 64}, name="Retried")
    site.until(job, lambda row: row["state"] == "running")
    progress = {**site.job(job), "state": "cancelled", "completed": 0, "rate": None, "latest": []}
    stale = f"event: end\ndata: {json.dumps(progress)}\n\n"
    events = {"content_type": "text/event-stream", "body": stale}
    page.route("**/events", lambda route: route.fulfill(**events), times=1)
    page.goto(f"/jobs/{job}")
    page.locator("[data-pace]").filter(has_text="left").wait_for()
    site.http.post(f"/v1/jobs/{job}/cancel")
    wait_for_state(page, "cancelled")


def test_other_files_are_passed_over_aloud(page, spirals):
    page.goto("/new")
    words = page.locator('[data-drop="pictures"] [data-words]')
    drop(page, '[data-drop="pictures"]', [("notes.txt", b"a"), ("k.heic", b"b"), (".hidden", b"c")])
    words.filter(has_text="Each picture dreams once at each layer. 2 other files").wait_for()
    drop(page, '[data-drop="pictures"]', [*spirals[:2], ("notes.txt", b"a")])
    words.filter(has_text="2 pictures. 1 other file passed over.").wait_for()
    page.get_by_role("button", name="Clear").click()
    words.filter(has_not_text="passed over").wait_for()


def test_filter_and_search(page, dream, study):
    page.goto("/")
    page.get_by_role("searchbox").fill("AGAINST")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("q=AGAINST"))
    assert page.locator(".job h2").all_inner_texts() == ["Spirals against the rest"]
    page.goto("/?state=failed")
    assert page.get_by_role("heading", name="No job is like that").is_visible()
    page.goto("/?kind=study")
    assert {text.split(" ")[0] for text in page.locator(".job h2 + p").all_inner_texts()} == {
        "Study"
    }


def test_the_picture_lies_exactly_under_its_dream(site, page, spirals):
    """A dream that hardly changes anything looks like its picture wherever the slider stands."""
    spec = {"steps": 1, "learning_rate": 1e-9, "size": 128, "layers": [20]}
    job = site.submit("dreams", [("pictures", spirals[4])], spec=spec, name="Hardly a dream")
    site.ended(job)
    page.goto(f"/jobs/{job}")
    slider = page.get_by_role("slider")
    slider.press("End")
    picture = middle(page)
    slider.press("Home")
    apart = ImageStat.Stat(ImageChops.difference(picture, middle(page))).mean[0]
    shifted = ImageStat.Stat(ImageChops.difference(picture, ImageChops.offset(picture, 6))).mean[0]
    assert apart < shifted / 2


def test_nothing_jumps_while_dreams_arrive(site, page, spirals):
    spec = {"steps": 80, "size": 64, "layers": [10, 20, 30], "learning_rate": 0.2}
    files = [("pictures", file) for file in spirals[:3]]
    job = site.submit("dreams", files, spec=spec, name="Growing")
    page.goto(f"/jobs/{job}")
    page.evaluate(SHIFTS)
    page.locator(".cell img").first.wait_for()
    looked_at = page.locator("[data-look]").get_attribute("data-look")
    wait_for_state(page, "done")
    page.locator(".cell img").nth(8).wait_for()
    assert page.locator("[data-look]").get_attribute("data-look") == looked_at
    assert sum(page.evaluate("window.shifts")) < 0.1


def test_the_browser_says_the_same_command_as_the_server(site, page):
    recipes = [f"/new?recipe={recipe}" for recipe in RECIPES]
    for address in ("/new", *recipes, "/new/study", "/new/study?recipe=sound"):
        served = re.search(r"<code data-command[^>]*>([^<]+)<", site.http.get(address).text)[1]
        page.goto(address)
        assert page.locator("[data-command]").inner_text() == served, address


def test_the_drawing_has_the_channels_of_the_network(page):
    page.goto("/new")
    for network, widest in (("vgg19", 512), ("specimens", 128), ("random:3", 512), ("ran", 512)):
        page.get_by_label("Network").fill(network)
        assert f"block 5 · {widest} channels" in page.locator("[data-layers]").inner_text()


def test_the_learning_rate_follows_the_network_until_somebody_writes_one(page):
    page.goto("/new")
    rate, network = page.get_by_label("Learning rate"), page.get_by_label("Network")
    assert rate.input_value() == "0.5"
    for name, wanted in (("vgg19", "0.01"), ("specimens", "0.5"), ("random:3", "0.01")):
        network.fill(name)
        assert rate.input_value() == wanted
        assert f"--learning-rate {wanted} " in page.locator("[data-command]").inner_text()
    rate.fill("0.02")
    network.fill("specimens")
    assert rate.input_value() == "0.02"


def test_pixels_follow_the_network_until_somebody_says_otherwise(page):
    page.goto("/new?recipe=deepdream")
    command = page.locator("[data-command]")
    for network in ("vgg19", "specimens"):
        page.get_by_label("Network").fill(network)
        assert f"--network {network}" in command.inner_text()
        assert not re.search("--raw|--normalize", command.inner_text())
    page.get_by_label("Pixels", exact=True).select_option("yes")
    assert command.inner_text().endswith("--network specimens --normalize")
    page.get_by_label("Network").fill("vgg19")
    assert command.inner_text().endswith("--network vgg19")
    page.get_by_label("Pixels", exact=True).select_option("no")
    assert command.inner_text().endswith("--network vgg19 --raw")

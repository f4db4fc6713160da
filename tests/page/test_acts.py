"""What the page's buttons may do: scopes, other sites, and where they lead."""

import io
import re

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import update

from api.app import create_app
from api.page_render import sentence
from beholder.jobs.claims import claim_next
from beholder.jobs.database import Database
from beholder.jobs.finish import fail_chunk_job
from beholder.jobs.models import Item, Job
from beholder.jobs.rows import settle
from beholder.settings import Settings
from beholder.tokens import make_token

pytestmark = pytest.mark.slow  # real databases and servers; seconds in all


@pytest.fixture
def tokens():
    return {scope: make_token(scope, scope) for scope in ("read", "submit", "admin")}


@pytest.fixture
def client(tmp_path, tokens):
    settings = Settings(
        home=tmp_path,
        network="specimens",
        api_tokens=",".join(entry for _, entry in tokens.values()),
    )
    with TestClient(create_app(settings), "http://localhost", follow_redirects=False) as client:
        yield client


@pytest.fixture
def ask(client, tokens):
    def ask(scope, method, address, **options):
        headers = {"Authorization": f"Bearer {tokens[scope][0]}", **options.pop("headers", {})}
        return client.request(method, address, headers=headers, **options)

    return ask


@pytest.fixture
def job(ask):
    answer = ask("submit", "POST", "/new", data=FORM, files=[picture()])
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


FORM = {"layers": ["20", "30"], "steps": "2", "size": "64", "network": "specimens", "name": "Mine"}


def picture(field="pictures"):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(buffer, "PNG")
    return field, ("teal.png", buffer.getvalue(), "image/png")


def test_each_button_wants_its_scope(ask, job):
    assert ask("read", "GET", job).status_code == 200
    assert ask("read", "POST", f"{job}/cancel").status_code == 403
    assert ask("submit", "POST", f"{job}/cancel").headers["location"] == job
    refused = ask("submit", "POST", f"{job}/delete")
    assert refused.status_code == 403
    assert "deleting needs admin" in refused.text
    assert ask("admin", "POST", f"{job}/delete").headers["location"] == "/"
    assert ask("admin", "GET", job).status_code == 404


def test_a_button_of_the_list_leads_back_to_the_list(ask, job):
    came_from = {"Referer": "http://localhost/?state=queued"}
    answer = ask("submit", "POST", f"{job}/cancel", headers=came_from)
    assert answer.headers["location"] == "/?state=queued"
    again = ask("submit", "POST", f"{job}/cancel")
    assert again.status_code == 409
    assert "there is nothing to cancel" in again.text
    assert ask("submit", "POST", f"{job}/retry").headers["location"] == job


def test_a_retry_is_offered_where_something_can_run_again(ask, client):
    files = [picture(), ("pictures", ("torn.png", b"no picture", "image/png"))]
    made = ask("submit", "POST", "/new", data=FORM, files=files).headers["location"]
    ask("submit", "POST", f"{made}/cancel")
    for page in ("/", made):
        assert f'action="{made}/retry"' in ask("submit", "GET", page).text
    db = client.app.state.services.db
    with db.write() as session:  # as if the readable picture had been dreamt
        job = session.get(Job, made.rsplit("/")[-1])
        settle(session, job)
        cancelled = Item.job_id == job.id, Item.state == "cancelled"
        session.execute(update(Item).where(*cancelled).values(state="done"))
        job.state, job.done, job.cancelled = "done", job.cancelled, 0
    for page in ("/", made):
        text = ask("submit", "GET", page).text
        assert f'action="{made}/retry"' not in text
        assert '<span class="state done partly" data-state>partly done</span>' in text
    refused = ask("submit", "POST", f"{made}/retry")
    assert (refused.status_code, "nothing to retry" in refused.text) == (409, True)


def test_a_broken_referer_is_ignored(ask, job):
    answer = ask("submit", "POST", f"{job}/cancel", headers={"Referer": "http://["})
    assert (answer.status_code, answer.headers["location"]) == (303, job)


def test_another_sites_page_can_press_nothing(ask, job):
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert ask("admin", "POST", f"{job}/delete", headers=headers).status_code == 403


def test_a_browser_without_a_token_is_led_to_the_form_for_it(client, tokens):
    answer = client.get("/new", headers={"Accept": "text/html"})
    assert answer.headers["location"] == "/sign-in?next=/new"
    assert 'action="/session"' in client.get("/sign-in?next=/new").text
    signed = client.post("/session", data={"token": tokens["read"][0], "next": "/new"})
    assert signed.headers["location"] == "/new"
    assert client.get("/new").status_code == 200


def test_a_form_takes_no_file_of_the_servers(ask, tmp_path):
    wanted = {**FORM, "network": str(tmp_path / "weights.pth")}
    answer = ask("submit", "POST", "/new", data=wanted, files=[picture()])
    assert answer.status_code == 422
    assert "named from the command line" in answer.text
    assert ask("read", "GET", f"/channels/{tmp_path.name}.pth/relu4_1/1").status_code == 404


def test_a_form_keeps_what_was_written(ask):
    wanted = {**FORM, "channels": "600", "name": "<b>"}
    answer = ask("submit", "POST", "/new", data=wanted, files=[picture()])
    assert answer.status_code == 422
    assert "&lt;b&gt;" in answer.text
    assert answer.text.count(" checked") == 2
    empty = ask("submit", "POST", "/new/study", files=[picture("controls")])
    assert "No target pictures: drop some, or choose files or a folder." in empty.text


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("channels", "700", "On specimens, relu4_1 has channels 0-127; got 700.<"),
        ("objective", "conv5_1:700", "On specimens, conv5_1 has channels 0-127; got 700.<"),
    ],
)
def test_a_form_names_the_network_that_lacks_a_channel(ask, field, value, words):
    wanted = {**FORM, "network": "specimens", field: value}
    assert words in ask("submit", "POST", "/new", data=wanted, files=[picture()]).text


def test_a_layers_name_keeps_its_letter():
    assert sentence("conv5_1 has channels 0-127; got 700.").startswith("conv5_1")
    assert sentence("a sound study: add --control or --sibling pictures.") == (
        "A sound study: drop controls or siblings."
    )


def test_a_sound_study_s_form_keeps_its_recipe_and_what_was_written(ask):
    wanted = {"recipe": "sound", "target": "no such", "network": "specimens", "dose": "7"}
    files = [picture("targets"), picture("controls")]
    answer = ask("submit", "POST", "/new/study", data=wanted, files=files)
    assert answer.status_code == 422
    assert "no class &#39;no such&#39;" in answer.text.lower()
    assert 'name="dose" type="number" step="1" min="0" value="7"' in answer.text
    assert 'name="recipe" value="sound"' in answer.text
    assert 'data-drop="siblings"' in answer.text
    article = ask("read", "GET", "/new/study").text
    assert 'data-drop="siblings"' not in article
    assert 'name="target"' not in article


def test_a_dreams_page_names_its_pictures_in_the_command(ask):
    answer = ask("submit", "POST", "/new", data={**FORM, "noise": "2"}, files=[picture()])
    page = ask("read", "GET", answer.headers["location"]).text
    assert "beholder submit --dir DIR --noise 2" in page


def test_a_cancelled_dream_says_what_runs_it(ask, job):
    ask("submit", "POST", f"{job}/cancel")
    page = ask("read", "GET", job).text
    assert "This one was cancelled. Retry runs it." in page
    assert "<span data-count>0 of 2</span>" in page  # what was cancelled is not called done
    assert '<progress max="2" value="0.00" class="cancelled"' in page
    assert '<rect class="failed" x="0.00" width="0" height="1"/>' in page
    assert '<rect class="cancelled" x="0.00" width="2" height="1"/>' in page


def test_a_job_that_failed_as_a_whole_says_so_once(ask, job, tmp_path):
    database = Database.open(f"sqlite:///{tmp_path / 'beholder.db'}")
    (claim,) = claim_next(database, worker="test", lease_s=60)
    fail_chunk_job(database, claim, "tf32 needs a CUDA GPU.")
    database.dispose()
    page = ask("read", "GET", job).text
    assert 'role="alert">tf32 needs a CUDA GPU.' in page
    assert "What failed" not in page


def test_pages_answer_head(ask, job):
    for address in ("/", "/new", job):
        assert ask("read", "HEAD", address).status_code == 200
    assert ask("read", "HEAD", f"{job}/cancel").status_code == 405


def test_a_precision_is_chosen_and_kept_in_the_command(ask):
    files = [picture()]
    page = ask("submit", "POST", "/new", data={**FORM, "precision": "exact"}, files=files)
    shown = ask("read", "GET", page.headers["location"]).text
    assert "--precision exact" in shown
    refused = ask("submit", "POST", "/new", data={**FORM, "precision": "best"}, files=files)
    assert refused.status_code == 422
    assert "precision" in refused.text


@pytest.mark.parametrize(
    ("network", "asked", "normalised", "option"),
    [
        ("specimens", "", False, None),
        ("vgg19", "", True, None),
        ("specimens", "yes", True, "--normalize"),
        ("vgg19", "no", False, "--raw"),
    ],
)
def test_pixels_are_as_the_recipe_has_them_on_the_network_chosen(
    ask, network, asked, normalised, option
):
    form = ask("read", "GET", "/new?recipe=deepdream").text
    assert '<option value="" selected>as the recipe' in form
    wanted = {**FORM, "recipe": "deepdream", "octaves": "2", "network": network, "normalize": asked}
    sent = ask("submit", "POST", "/new", data=wanted, files=[picture()])
    where = sent.headers["location"]
    assert ask("read", "GET", f"/v1{where}").json()["spec"]["normalize"] is normalised
    shown = ask("read", "GET", where).text
    assert re.findall("--(?:raw|normalize)", shown) == ([option] if option else [])


def test_what_changes_is_chosen_and_what_does_not_go_with_it_is_said(ask):
    wanted = {**FORM, "parameters": "phase"}
    refused = ask("submit", "POST", "/new", data=wanted, files=[picture()])
    assert refused.status_code == 422
    assert "Optimiser: a spectrum takes adam or nadam" in refused.text
    assert "<option selected>phase" in refused.text
    assert 'name="octaves"' not in refused.text
    sent = ask("submit", "POST", "/new", data={**wanted, "optimiser": "adam"}, files=[picture()])
    shown = ask("read", "GET", sent.headers["location"]).text
    assert "--optimiser adam --parameters phase" in shown


@pytest.mark.parametrize(
    ("written", "pictures", "noise"),
    [("", True, 0), ("", False, 1), ("2", True, 2), (None, True, 0)],
)
def test_a_form_s_own_noise_is_for_where_no_pictures_are(ask, written, pictures, noise):
    form = ask("read", "GET", "/new?recipe=feature").text
    assert 'name="noise" type="number" step="1" min="0" value=""' in form
    wanted = {**FORM, "recipe": "feature", "noise": written}
    if written is None:
        del wanted["noise"]
    files = [picture()] if pictures else [("pictures", ("", b""))]
    sent = ask("submit", "POST", "/new", data=wanted, files=files)
    assert sent.status_code == 303, sent.text
    job = ask("read", "GET", f"/v1{sent.headers['location']}").json()
    assert (job["spec"]["noise"], job["total"]) == (noise, 2 * (noise + pictures))


def test_a_priority_is_chosen_shown_and_kept_in_the_command(ask):
    files = [picture()]
    page = ask("submit", "POST", "/new", data={**FORM, "priority": "high"}, files=files)
    shown = ask("read", "GET", page.headers["location"]).text
    assert "high priority" in shown
    assert "--priority high" in shown
    refused = ask("submit", "POST", "/new", data={**FORM, "priority": "urgent"}, files=files)
    assert refused.status_code == 422
    assert "high, normal, low" in refused.text

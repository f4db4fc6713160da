"""What a browser is shown, over HTTP: pages where a program would get JSON."""

import html
import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest

from api.guard import SECURITY_HEADERS
from api.problems import PROBLEM
from beholder.jobs.channel_models import Channel
from beholder.jobs.channel_records import replace_rows, store_channel_effects
from beholder.jobs.models import Job
from beholder.jobs.outcomes import EffectRow
from beholder.jobs.verdicts import Summary, store_summary
from beholder.tokens import make_token
from tests.api.conftest import channel_rows
from tests.report.concluded import conclude
from tests.report.synthetic import make_evidence

pytestmark = pytest.mark.slow  # with a real server; a second in all

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def open_page(server):
    """A page's status, and its text without the elements."""

    def open_(path, **options):
        answer = server.http.request(options.pop("method", "GET"), path, headers=BROWSER, **options)
        assert answer.headers["content-type"].startswith("text/html"), answer.text
        return answer.status_code, re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", answer.text))

    return open_


def test_a_sound_study_of_several_methods_and_modes_has_a_page(server, open_page, draw):
    files = [
        (role, (f"{role}/{shade}.png", draw(shade), "image/png"))
        for role, shade in (("targets", 1), ("targets", 2), ("controls", 3))
    ]
    spec = (
        '{"network": "specimens", "recipe": "sound", "methods": ["iterative", "count"],'
        ' "modes": ["zero", "mean"]}'
    )
    made = server.http.post("/v1/studies", data={"spec": spec}, files=files).json()
    status, text = open_page(f"/jobs/{made['id']}")
    assert status == 200
    assert "Methods iterative, count Modes zero, mean" in text
    assert "Dose tuning pictures decide" in text
    assert open_page("/")[0] == 200


def test_a_dream_of_noise_is_shown_whole_and_a_pictures_beside_it(server):
    spec = {"network": "specimens", "noise": 1, "seed": 7, "steps": 3, "layers": [35]}
    noise = server.http.post("/v1/dreams", json={"spec": spec}).json()["id"]
    pictures = server.dream(3)["id"]
    server.work(noise)
    server.work(pictures)
    whole, beside = (server.http.get(f"/jobs/{job}").text for job in (noise, pictures))
    assert "from noise, seed 7" in whole
    assert 'type="range"' not in whole
    assert 'type="range"' in beside
    assert re.findall('<th scope="col" title="([^"]+)">([^<]+)<', beside) == [
        (f"kelpies/k{n}.png", f"k{n}.png") for n in range(3)
    ]


def test_a_dreams_page_names_its_objective(server):
    spec = {"network": "specimens", "noise": 1, "steps": 3, "objective": "conv4_2:3 + conv5_1:7"}
    job = server.http.post("/v1/dreams", json={"spec": spec}).json()["id"]
    server.work(job)
    text = server.http.get(f"/jobs/{job}").text
    assert "<h2>conv4_2:3 + conv5_1:7</h2>" in text
    assert '<th scope="row">objective<span>to conv5_1</span></th>' in text
    wanted = "From 1 to 2.5, 2.5 times. Each step climbs conv4_2:3 + conv5_1:7, with the L2 norm of"
    assert wanted in text


def test_a_jobs_thumbnails_are_as_many_as_it_has_dreams(server):
    for count in (1, 3):
        server.dream(count)
    shown = re.findall("data-thumbs.*?</div>", server.http.get("/").text)
    assert [row.count("<span>") for row in shown] == [4, 2]  # at two layers, four at most


@pytest.fixture
def sound(server, draw):
    """A sound study of two targets, a sibling and a control that has concluded; its id."""
    roles = (("targets", 1), ("targets", 2), ("siblings", 3), ("controls", 4))
    files = [(role, (f"{role}/{shade}.png", draw(shade), "image/png")) for role, shade in roles]
    spec = '{"network": "specimens", "recipe": "sound", "draws": 19}'
    job_id = server.http.post("/v1/studies", data={"spec": spec}, files=files).json()["id"]
    splits = ("choose", "test", "test", "test")
    plan = {"subjects": [{"position": n, "split": split} for n, split in enumerate(splits)]}
    db, store = server.services.db, server.services.store
    conclude(db, store, job_id, make_evidence(), plan=json.dumps(plan).encode())
    with db.write() as session:
        job = session.get(Job, job_id)
        replace_rows(session, job, Channel, channel_rows())
        found = ((7, 2, -1.5), (3, 1, None))
        store_channel_effects(
            session,
            job,
            [
                EffectRow(35, channel, rank, 0.5, effect, effect, effect, None, None, None)
                for channel, rank, effect in found
            ],
        )
        store_summary(job, Summary(1, 0, 2, 2))
    return job_id


def test_a_sound_studys_page_has_its_set_and_what_each_picture_served(open_page, sound):
    _, text = open_page(f"/jobs/{sound}")
    assert "0 of 1 test targets keep their label, and 2 of 2 siblings and controls keep" in text
    shown = re.findall(r"(targets/\d|siblings/\d|controls/\d).png (\w+ \w+)", text)
    assert shown == [
        ("targets/1", "chose channels"), ("targets/2", "test picture"),
        ("siblings/3", "test picture"), ("controls/4", "test picture"),
    ]  # fmt: skip
    assert text.index("Siblings Pictures") < text.index("siblings/3")
    assert (
        text.index("siblings/3") < text.index("Controls Other pictures") < text.index("ontrols/4")
    )
    set_of = text[text.index("Chosen channels") : text.index("Provenance")]
    assert " 1 relu5_4 : 3 0.5 8 0 2 relu5_4 : 7 0.5 9 2 -1.50 -1.50 to -1.50 " in set_of
    assert "--sibling SIBLINGS --control CONTROLS --recipe sound --draws 19" in text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/new?recipe=x", "Recipe: input should be 'article', "),
        ("/new/study?recipe=x", "Recipe: input should be 'article' or 'sound'; got 'x'"),
        ("/jobs/JOB?item=a", "Item: input should be a valid integer"),
        ("/jobs/JOB?item=99999999999999999999", "Item: input should be less than or equal to"),
        ("/jobs/JOB?start=-1", "Start: input should be greater than or equal to 0"),
        (f"/?q={'a' * 201}", "Q: string should have at most 200 characters"),
        ("/jobs/%00", "The address has a NUL character"),
        ("/?before=20250101T000000.0-%00", "The address has a NUL character"),
        ("/channels/vgg19/28/99999999999999999999", "has channels 0-511; got 9999"),
    ],
)
def test_a_mistake_in_an_address_is_a_page(server, open_page, path, words):
    address = path.replace("JOB", server.dream(1)["id"])
    status, text = open_page(address)
    assert (status, words in html.unescape(text)) == (422, True), text
    told = server.http.get(address).headers["content-type"]  # a program
    assert told == PROBLEM or address.startswith("/channels/")


def test_programs_are_told_in_json_whatever_they_accept(server):
    for path in ("/v1/jobs?limit=0", "/v1/jobs/none", "/v1/none"):
        answer = server.http.get(path, headers=BROWSER)
        assert answer.headers["content-type"] == PROBLEM
    wrong = server.http.post("/session", data={"token": "bhd_wrong"})
    assert (wrong.status_code, wrong.headers["content-type"]) == (401, PROBLEM)


def test_what_the_guard_refuses_is_a_page_with_its_headers(server):
    for headers, status, words in (
        ({"Host": "evil.example"}, 421, "add it to BEHOLDER_API_HOSTS"),
        ({"Sec-Fetch-Site": "cross-site"}, 403, "use this server&#39;s own page"),
        ({"Content-Length": str(9 << 20)}, 413, "This request may have"),
    ):
        content = b"x" * int(headers.get("Content-Length", 0))
        answer = server.http.post("/sign-out", headers={**BROWSER, **headers}, content=content)
        assert (answer.status_code, words in answer.text) == (status, True), answer.text
        assert answer.headers["content-type"].startswith("text/html")
        for name, value in SECURITY_HEADERS.items():
            assert answer.headers[name] == value


@pytest.fixture
def signed_in(start):
    """A server with tokens, and what signs in there with the one of a scope."""
    tokens = {scope: make_token(f"{scope}er", scope) for scope in ("read", "submit", "admin")}
    server = start(api_tokens=",".join(entry for _, entry in tokens.values()))
    server.http.headers.update(BROWSER)

    def sign_in(scope):
        server.http.cookies.clear()
        answer = server.http.post("/session", data={"token": f" {tokens[scope][0]}\n"})
        assert answer.status_code == 303
        return tokens[scope][0]

    return server, sign_in


def test_a_wrong_token_is_said_over_the_form(signed_in):
    server, _ = signed_in
    answer = server.http.post("/session", data={"token": "bhd_wrong", "next": "/new?recipe=maco"})
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    assert "This token is unknown" in answer.text
    assert 'name="next" value="/new?recipe=maco"' in answer.text
    assert "bhd_wrong" not in answer.text


def test_signing_in_leads_to_the_whole_address_and_out_again(signed_in):
    server, sign_in = signed_in
    led = server.http.get("/?q=kelp&state=failed&before=%2Fa%20b").headers["location"]
    wanted = parse_qs(urlsplit(led).query)["next"]
    assert wanted == ["/?q=kelp&state=failed&before=%2Fa%20b"]
    token = sign_in("read")
    for cookie in (f'prefs={{"a":1}}; beholder_token={token}', f"a b; beholder_token={token}"):
        server.http.cookies.clear()
        assert server.http.get("/", headers={"Cookie": cookie}).status_code == 200
    sign_in("read")
    assert "Sign out reader" in server.http.get("/").text
    out = server.http.post("/sign-out")
    assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
    assert server.http.get("/").headers["location"] == "/sign-in?next=/"
    assert "Sign out" not in server.http.get("/sign-in").text


def test_buttons_are_for_those_who_may_press_them(signed_in):
    server, sign_in = signed_in
    sign_in("admin")
    job = server.dream(1)["id"]
    for scope, cancels, status in (("read", False, 403), ("submit", True, 303)):
        sign_in(scope)
        for page in ("/", f"/jobs/{job}"):
            assert (f"/jobs/{job}/cancel" in server.http.get(page).text) is cancels
        assert server.http.post(f"/jobs/{job}/cancel").status_code == status
    sign_in("read")
    refused = server.http.post("/new", files={"noise": (None, b"1")})
    assert refused.status_code == 403
    told = re.search('<p class="problem" role="alert">([^<]+)', refused.text)[1]
    assert told.startswith("The token &#39;reader&#39; may read; this needs the scope submit")
    for scope, deletes in (("submit", False), ("admin", True)):
        sign_in(scope)
        assert (f"/jobs/{job}/delete" in server.http.get(f"/jobs/{job}").text) is deletes

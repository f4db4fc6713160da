"""What a browser is shown, over HTTP: pages where a program would get JSON."""

import re

import pytest

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

"""`/v1/studies/{id}/report`: the page under its own policy, drawn once; problems without one."""

import threading

import pytest

from tests.report.concluded import conclude
from tests.report.synthetic import make_evidence


@pytest.fixture
def study(server):
    job = server.study()
    server.work(job["id"])
    return job["id"]


@pytest.fixture
def concluded(server, study):
    evidence = make_evidence().model_copy(update={"study": study})
    conclude(server.services.db, server.services.store, study, evidence)
    return study


@pytest.mark.slow
def test_the_report_is_a_page_under_its_own_policy(server, concluded):
    answer = server.http.get(f"/v1/studies/{concluded}/report")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    assert "frame-ancestors 'none'" in policy
    assert make_evidence().sentence in answer.text


@pytest.mark.slow
def test_it_is_drawn_once_for_all_who_ask(server, concluded, monkeypatch):
    from beholder.report import page

    drawn, draw = [], page.render_page

    def counted(*given):
        drawn.append(threading.current_thread())
        return draw(*given)

    monkeypatch.setattr(page, "render_page", counted)
    url = f"/v1/studies/{concluded}/report"
    texts = []
    readers = [
        threading.Thread(target=lambda: texts.append(server.http.get(url).text)) for _ in range(3)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert len(drawn) == 1
    assert len(set(texts)) == 1
    other = make_evidence(sentence="Something else was shown.")
    conclude(server.services.db, server.services.store, concluded, other, token="later")
    assert "Something else was shown." in server.http.get(url).text


def test_the_study_s_page_leads_to_it(server, concluded):
    assert f'href="/v1/studies/{concluded}/report"' in server.http.get(f"/jobs/{concluded}").text


def test_without_evidence_there_is_a_problem_and_no_link(server, study):
    answer = server.http.get(f"/v1/studies/{study}/report")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert "is of recipe article" in answer.json()["detail"]
    assert "/report" not in server.http.get(f"/jobs/{study}").text


def test_a_dream_and_a_job_that_is_not_there_have_none(server):
    dream = server.dream()["id"]
    answer = server.http.get(f"/v1/studies/{dream}/report")
    assert (answer.status_code, "is a dream" in answer.text) == (422, True)
    assert server.http.get("/v1/studies/none/report").status_code == 404


def test_without_matplotlib_it_says_so(server, concluded, monkeypatch):
    monkeypatch.setattr("beholder.report.needs._PACKAGES", ("matplotlib_that_is_not_there",))
    answer = server.http.get(f"/v1/studies/{concluded}/report")
    assert answer.status_code == 501
    assert "pip install -e '.[report]'" in answer.json()["detail"]

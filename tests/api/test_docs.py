"""docs/api.md: its examples run, in order, against a live server; its table of fields is right."""

import re
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from api.problems import PROBLEMS
from beholder.jobs import control
from beholder.jobs.queries import list_jobs

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
SHELL = """
set -e -o pipefail
curl() { command curl --silent --show-error --fail-with-body --max-time 30 "$@"; }
"""


@pytest.mark.slow
def test_the_examples_run(server, draw, tmp_path, monkeypatch):
    for number, name in enumerate(("kelpie1.jpg", "kelpie2.jpg", "skunk.png")):
        kind = "PNG" if name.endswith("png") else "JPEG"
        (tmp_path / name).write_bytes(draw(70 * number, size=(300, 200), kind=kind))
    stop = threading.Event()
    retried = set()  # studies wait until the script has cancelled and retried them

    def retry(db, job_id):
        retried.add(job_id)
        return control.retry(db, job_id)

    monkeypatch.setattr(
        "api.routes.jobs.control", SimpleNamespace(**{**vars(control), "retry": retry})
    )

    def work() -> None:
        while not stop.wait(0.1):
            for job in list_jobs(server.services.db, state="queued"):
                if job.kind == "dream" or job.id in retried:
                    server.work(job.id)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    script = SHELL + "\n".join(BLOCKS).replace("http://127.0.0.1:8321", server.url)
    try:
        ran = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            capture_output=True,
            timeout=60,
            check=False,
        )
    finally:
        stop.set()
        worker.join()
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr
    assert (tmp_path / "dream.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "dream.webp").read_bytes()[8:12] == b"WEBP"
    assert (tmp_path / "results.zip").read_bytes().startswith(b"PK")


def test_every_route_is_mentioned(server):
    paths = server.http.get("/openapi.json").json()["paths"]
    parts = {part for path in paths for part in path.split("/") if part and "{" not in part}
    assert {part for part in parts if part not in TEXT} <= {"session"}


def test_every_status_is_explained():
    table = TEXT.split("## Errors")[1].split("## Webhooks")[0]
    assert all(str(status) in table for _, status, _ in PROBLEMS)

"""One line, one object, whatever is logged; and what it is about, on the thread that says it."""

import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from beholder.logs import FIELDS, Json, about


def _line(message: str = "text", *arguments: object, **extra: Any) -> dict[str, Any]:
    record = logging.LogRecord("name", logging.WARNING, "file", 1, message, arguments, None)
    record.__dict__.update(extra)
    text = Json().format(record)
    assert len(text.splitlines()) == 1
    line: dict[str, Any] = json.loads(text)
    return line


def test_a_line() -> None:
    line = _line("job %s: %d", "abc", 3)
    assert (line["level"], line["logger"], line["message"]) == ("warning", "name", "job abc: 3")
    assert "job" not in line


@pytest.mark.parametrize("message", ["two\nlines", "ключ \x1b[31m\x00", '"', "%s", "\ud800"])
def test_whatever_is_said(message: str) -> None:
    assert _line(message)["message"] == message


def test_a_wrong_format_is_no_lost_line() -> None:
    assert _line("%d of %d", 1)["message"] == "%d of %d"


def test_what_a_line_is_about() -> None:
    with about(job="a", chunk=1):
        with about(item=7):
            assert _line().items() >= {"job": "a", "chunk": 1, "item": 7}.items()
        assert "item" not in _line()
        assert _line(item=9)["item"] == 9
        with ThreadPoolExecutor(1) as threads:
            assert "job" not in threads.submit(_line).result()  # another thread, other work
    assert "job" not in _line()


def test_work_inside_other_work_says_nothing_of_that() -> None:
    def said(**extra: Any) -> dict[str, Any]:
        return {name: value for name, value in _line(**extra).items() if name in FIELDS}

    outer = {"worker": "w", "jobs": ["a", "b"], "chunks": [1, 2]}
    with about(**outer):
        with about(job="c", chunk=3):
            assert said(item=4) == {"worker": "w", "job": "c", "chunk": 3, "item": 4}
            with about(item=5), about(jobs=["d", "e"], chunks=[6, 7]):
                assert said() == {"worker": "w", "jobs": ["d", "e"], "chunks": [6, 7]}
                assert said(job="f") == {"worker": "w", "job": "f"}
        assert said() == outer


def test_what_json_can_not_hold_is_shown() -> None:
    assert _line(item={1}, job=b"x").items() >= {"item": "{1}", "job": "b'x'"}.items()


_SERVICE = """
import logging, sys, threading, warnings
from beholder.errors import InvalidInput
from beholder.logs import always_about, fail, set_up
from beholder.settings import Settings
set_up(Settings(log=sys.argv[1]))
always_about(worker="w-1")
logging.getLogger("x").info("hello")
warnings.warn("beware")
thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()
if sys.argv[2] == "fail":
    fail("service", InvalidInput("set something."))
raise ValueError("unforeseen")
"""


def _said(form: str, end: str) -> list[str]:
    command = [sys.executable, "-c", _SERVICE, form, end]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    return ended.stderr.splitlines()


@pytest.mark.slow
def test_a_service_says_nothing_that_is_no_object() -> None:
    lines = [json.loads(line) for line in _said("json", "fail")]
    assert [line["level"] for line in lines] == ["info", "warning", "critical", "critical"]
    assert {line["worker"] for line in lines} == {"w-1"}
    assert "beware" in lines[1]["message"]
    assert "ZeroDivisionError" in lines[2]["exception"]
    assert lines[3]["message"] == "set something."
    assert "unforeseen" in json.loads(_said("json", "raise")[-1])["exception"]


@pytest.mark.slow
def test_people_get_a_line_without_braces() -> None:
    said = _said("text", "fail")
    assert said[0].endswith("INFO x: hello")
    assert said[-1] == "service: set something."

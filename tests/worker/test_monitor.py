"""What keeps Flower from starting; that it shows workers is seen in tests/deploy/test_stack.py."""

import importlib.util

import pytest

from beholder.errors import InvalidInput, NotInstalled
from beholder.settings import Settings
from worker.monitor import check_set_up


@pytest.mark.parametrize("auth", [None, "gEheim"])
def test_nobody_looks_without_a_password(auth: str | None) -> None:
    pytest.importorskip("flower")
    with pytest.raises(InvalidInput, match="BEHOLDER_MONITOR_AUTH to USER:PASSWORD") as caught:
        check_set_up(Settings(monitor_auth=auth))
    assert "gEheim" not in str(caught.value)
    check_set_up(Settings(monitor_auth="ada:gEheim"))


def test_without_flower_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotInstalled, match=r"pip install -e '\.\[monitor\]'"):
        check_set_up(Settings(monitor_auth="ada:gEheim"))

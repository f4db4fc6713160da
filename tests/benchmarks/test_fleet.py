"""The simulated fleet works on rows that the code takes for its own, and everything is reckoned."""

import pytest

from benchmarks import fleet
from benchmarks.databases import Server


@pytest.mark.slow
def test_a_small_fleet_claims_renews_ends_and_sweeps(
    a_database: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "WORKERS", 5)
    rows = {row.name: row for row in fleet.figures(items=2_400, batches=10, server=a_database)}
    acts = ("claim", "renewal", "end", "heartbeat", "sweep")
    assert [name for name in rows if name.startswith("measured")] == [
        f"measured: {name}" for name in acts
    ]
    assert sum(rows[f"measured: {name}"].value for name in acts) > 0
    assert "; 9 statements;" in rows["measured: claim"].detail, "it asks for each of its chunks"
    assert "; 4 statements;" in rows["measured: renewal"].detail
    assert 0 < rows["reckoned: batches of one job"].value < 1000
    few, all_of_them = rows["reckoned: sweeps"], rows["reckoned: sweeps, if every worker swept"]
    assert few.value == pytest.approx(all_of_them.value * fleet.WATCHERS / 5)
    assert "160 chunks held" in rows["measured: end"].detail

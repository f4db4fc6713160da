"""The dashboard's questions: `queries()`."""

import json

from tests.deploy.compose import ROOT

DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "beholder.json"


def queries() -> list[str]:
    """Every PromQL expression of the dashboard, Grafana's own variables replaced."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [query.replace("$__rate_interval", "1m") for query in found]

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import ray

import dbd_ray

PACKAGE = Path(dbd_ray.__file__).parent
DASHBOARD = json.loads((PACKAGE.parent / "serve" / "grafana" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
DEFINITION = re.compile(r'(Counter|Gauge|Histogram)\(\s*(?:name=)?f?"([\w{}]+)"')
USE = re.compile(r"\bray_(\w+)")
SUFFIXES = {"Counter": {"_total"}, "Histogram": {"_bucket", "_sum", "_count"}, "Gauge": {""}}


@cache
def defined() -> dict[str, str]:
    """Names of metrics in the sources of Ray and in ours, with what they are."""
    folder = Path(ray.__file__).parent
    files = [*folder.glob("serve/**/*.py"), *folder.glob("dashboard/modules/reporter/*.py")]
    files += PACKAGE.glob("serving/*.py")
    found = {}
    for path in files:
        for kind, name in DEFINITION.findall(path.read_text()):
            found[name.replace("{protocol_name}", "http")] = kind
    return found


def exported() -> set[str]:
    """Names as Prometheus sees them, without Ray's prefix: a counter ends in _total, a histogram is three."""
    names = set()
    for name, kind in defined().items():
        names |= {name if name.endswith(suffix) and kind == "Counter" else name + suffix for suffix in SUFFIXES[kind]}
    return names


def queries() -> list[str]:
    variables = [one["query"]["query"] for one in DASHBOARD["templating"]["list"] if one["type"] == "query"]
    return [expression for _, expression in TARGETS] + variables


def test_the_sources_are_read() -> None:
    assert defined()["serve_deployment_queued_queries"] == "Gauge"
    assert defined()["serve_num_http_requests"] == "Counter"
    assert "node_mem_used" in exported()


@pytest.mark.parametrize("expression", queries())
def test_metrics_exist_and_are_what_they_are_taken_for(expression: str) -> None:
    names = USE.findall(expression)
    assert names
    assert set(names) <= exported()


def test_everything_that_the_endpoint_counts_is_shown() -> None:
    ours = {name for name in defined() if name.startswith("dbd_")}
    assert len(ours) >= 5
    used = {name for _, expression in TARGETS for name in USE.findall(expression)}
    assert ours == {name for name in ours if any(one.startswith(name) for one in used)}


@pytest.mark.parametrize(("title", "expression"), TARGETS)
def test_labels_of_our_metrics_are_those_that_we_write(title: str, expression: str) -> None:
    if "ray_dbd_" not in expression:
        return
    measures = (PACKAGE / "serving" / "measures.py").read_text()
    for names in re.findall(r"by \(([^)]*)\)", expression):
        for label in names.split(", "):
            assert label == "le" or f'"{label}"' in measures, f"{title}: {label}"


@pytest.mark.parametrize(("title", "expression"), TARGETS)
def test_expressions_are_balanced_and_rates_are_of_counters(title: str, expression: str) -> None:
    for opening, closing in ("()", "{}", "[]"):
        assert expression.count(opening) == expression.count(closing)
    for name in re.findall(r"(?:rate|increase)\(ray_(\w+)", expression):
        assert name.endswith(("_total", "_bucket", "_sum", "_count")), title


def test_panels_do_not_lie_upon_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place: dict[str, Any] = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_panel_says_what_it_is_and_asks_the_chosen_prometheus() -> None:
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])

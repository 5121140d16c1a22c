"""A linter of dashboards, rules and runbooks: what a dashboard must have to be of use, after the rules of Grafana's own linter."""

import json
import re
from pathlib import Path

from generate.alerts import ALL, OBJECTIVES, RECORDED, WINDOWS

SECTIONS = ["Meaning", "What to look at", "What to do", "When to wake whom", "How you know that it is over"]
PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"}
NAME = re.compile(r"\b(?:dispatcher|process)_[a-z_0-9]+")


def known_metrics(root):
    """Names of the catalogue, with what a histogram shows in a scrape, and the words of labels that are known beforehand."""
    names, words = set(PROCESS), {}
    for line in (root / "docs/metrics.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 6 or not cells[1].startswith("`dispatcher_"):
            continue
        name = cells[1].strip("`")
        names |= {f"{name}{end}" for end in ("_bucket", "_sum", "_count")} if cells[2] == "histogram" else {name}
        words[name] = re.findall(r"`(\w+)`", cells[3])
    return names, words


def expressions(board):
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for annotation in board["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def of_expression(where, expr, names):
    records = {record for record, _ in RECORDED} | {o.record(window) for o in OBJECTIVES for window in WINDOWS}
    bare = expr
    for record in sorted(records, key=len, reverse=True):
        bare = bare.replace(record, "recorded")
    for name in NAME.findall(bare):
        if name not in names:
            yield f"{where}: {name} is no metric of the catalogue"
    if re.search(r'\ble="', expr):
        yield f"{where}: matches le exactly, whose form depends on the version of Prometheus"


def of_board(name, board, names):
    ids = [panel["id"] for panel in board["panels"]]
    if len(ids) != len(set(ids)):
        yield f"{name}: two panels have one id"
    taken = set()
    for panel in board["panels"]:
        where, place = f"{name}: {panel['title']}", panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        if cells & taken or 24 < place["x"] + place["w"]:
            yield f"{where}: lies over another panel, or outside"
        taken |= cells
        if panel["type"] == "row":
            continue
        if not panel.get("description"):
            yield f"{where}: has no description"
        if panel["type"] == "text":
            continue
        if not panel["fieldConfig"]["defaults"].get("unit"):
            yield f"{where}: has no unit"
        if not panel["targets"]:
            yield f"{where}: asks nothing"
        for target in panel["targets"]:
            if re.search(r"[}a-z]\[(?!\$__rate_interval)", target["expr"]):
                yield f"{where}: a rate over a fixed window"
            if "$job" not in target["expr"]:
                yield f"{where}: does not take the chosen job"
    for where, expr in expressions(board):
        yield from of_expression(f"{name}: {where}", expr, names)


def of_runbooks(root):
    pages = {path.stem for path in (root / "docs/runbooks").glob("*.md")} - {"README"}
    alerts = {alert.name for alert in ALL}
    yield from (f"docs/runbooks/{name}.md is missing" for name in sorted(alerts - pages))
    yield from (f"docs/runbooks/{name}.md is of no alert" for name in sorted(pages - alerts))
    for name in sorted(pages & alerts):
        found = re.findall(r"^## (.+)$", (root / f"docs/runbooks/{name}.md").read_text(), re.M)
        if found != SECTIONS:
            yield f"docs/runbooks/{name}.md has the sections {found}, not {SECTIONS}"


def problems(root):
    """All that is wrong; `root` is the folder of the project."""
    names, _ = known_metrics(root)
    used = set()
    for path in sorted((root / "grafana/dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        yield from of_board(path.name, board, names)
        used |= {name for _, expr in expressions(board) for name in NAME.findall(expr)}
    for alert in ALL:
        yield from of_expression(alert.name, alert.expr, names)
    for record, expr in RECORDED:
        yield from of_expression(record, expr, names)
    read = {re.sub(r"_(bucket|sum|count)$", "", name) for name in used}
    for name in sorted({re.sub(r"_(bucket|sum|count)$", "", name) for name in names} - read):
        yield f"{name} is on no dashboard"
    yield from of_runbooks(root)

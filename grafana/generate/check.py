"""A linter of dashboards, rules and runbooks: what a dashboard must have to be of use, after the rules of Grafana's own linter."""

import json
import re
from pathlib import Path

from generate.alerts import ALL, OBJECTIVES, RECORDED, WINDOWS
from generate.boards import BOARDS

SECTIONS = ["Meaning", "What to look at", "What to do", "When to wake whom", "How you know that it is over"]
PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"}
SELECTOR = re.compile(r"\b((?:dispatcher|process)_[a-z_0-9]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
NAME = re.compile(r"\b(?:dispatcher|process)_[a-z_0-9]+")


def known_metrics(root):
    """Names of the catalogue as a scrape shows them, each with its labels and, where these are known beforehand, their words."""
    names = {name: {} for name in PROCESS}
    for line in (root / "docs/metrics.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 6 or not cells[1].startswith("`dispatcher_"):
            continue
        # Labels are in backquotes, each followed by its words when they are closed: `state`: idle, used.
        labels = {label: set(re.split(r", ", words)) if words else None
                  for label, words in re.findall(r"`(\w+)`(?:: ([^`]+?)(?=; `|, `|$))?", cells[3])}
        name = cells[1].strip("`")
        if cells[2] == "histogram":
            names |= {f"{name}_bucket": labels | {"le": None}, f"{name}_sum": labels, f"{name}_count": labels}
        else:
            names[name] = labels
    # The catalogue does not name what failures there are: the code does.
    failures = (root / "src/domain/failure.rs").read_text()
    names["dispatcher_dispatch_failures_total"] = {
        "class": set(names["dispatcher_dispatch_retries_total"]["class"]),
        "reason": set(re.findall(r'^ +\w+ = "([A-Z_]+)", "', failures, re.M)),
    }
    return names


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
    for name, matchers in SELECTOR.findall(bare):
        if name not in names:
            yield f"{where}: {name} is no metric of the catalogue"
            continue
        for label, operator, value in MATCHER.findall(matchers):
            if label not in names[name] and label not in ("job", "instance"):
                yield f"{where}: {name} has no label {label}"
            words = names[name].get(label)
            for word in (value.split("|") if "~" in operator else [value]) if words else []:
                if word not in words:
                    yield f"{where}: {name} never has {label}={word}"
    for label in re.findall(r"\w+", " ".join(re.findall(r"\b(?:by|on|ignoring) ?\(([^)]*)\)", bare))):
        if not any(label in names.get(name, {}) for name, _ in SELECTOR.findall(bare)) and label not in ("job", "instance"):
            yield f"{where}: none of its metrics has the label {label}"
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
            # What is recorded is of all nodes.
            if "$instance" not in target["expr"] and "job:" not in target["expr"]:
                yield f"{where}: does not take the chosen nodes"
            if re.search(r"(?<!rate)(?<!increase)\(dispatcher_\w+_(?:total|bucket|count|sum)\b", target["expr"]):
                yield f"{where}: a counter without its rate"
    if board["editable"] or {variable["name"] for variable in board["templating"]["list"]} != {"datasource", "job", "instance"}:
        yield f"{name}: can be edited, or lacks a variable"
    for where, expr in expressions(board):
        yield from of_expression(f"{name}: {where}", expr, names)


def of_alert(alert, names):
    yield from of_expression(alert.name, alert.expr, names)
    if alert.board not in {board.name for board in BOARDS}:
        yield f"{alert.name}: there is no board {alert.board}"
    for label in re.findall(r"\$labels\.(\w+)", alert.summary + alert.description):
        if label not in alert.kept:
            yield f"{alert.name}: says {label}, a label that it does not keep"


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
    names = known_metrics(root)
    used = set()
    for path in sorted((root / "grafana/dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        yield from of_board(path.name, board, names)
        used |= {name for _, expr in expressions(board) for name in NAME.findall(expr)}
    for alert in ALL:
        yield from of_alert(alert, names)
    for record, expr in RECORDED + [(objective.name, objective.ratio("5m")) for objective in OBJECTIVES]:
        yield from of_expression(record, expr, names)
    read = {re.sub(r"_(bucket|sum|count)$", "", name) for name in used}
    for name in sorted({re.sub(r"_(bucket|sum|count)$", "", name) for name in names} - read):
        yield f"{name} is on no dashboard"
    yield from of_runbooks(root)

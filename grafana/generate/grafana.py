"""Dashboards in the form that Grafana reads."""

import json

from generate.boards import AT, BOARDS

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
VERSIONS = "count by (version) (dispatcher_build_info{@})"


def annotation(name, color, expr, title):
    return {"datasource": SOURCE, "enable": True, "expr": expr.replace("@", AT), "iconColor": color, "name": name,
            "titleFormat": title, "step": "60s"}


def variables():
    choice = {"refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": ".+", "type": "query", "datasource": SOURCE,
              "current": {"text": ["All"], "value": ["$__all"]}, "options": [], "regex": "", "hide": 0}
    job, instance = "label_values(dispatcher_build_info, job)", 'label_values(dispatcher_build_info{job=~"$job"}, instance)'
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1, "hide": 0,
         "options": [], "regex": "", "current": {}},
        {"name": "job", "label": "Job", "definition": job, "query": {"query": job, "refId": "job"}, **choice},
        {"name": "instance", "label": "Node", "definition": instance, "query": {"query": instance, "refId": "instance"}, **choice},
    ]


def panel_of(panel, number, place):
    steps = [{"color": "green", "value": None}] + ([{"color": "red", "value": panel.red}] if panel.red is not None else [])
    custom = {"lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "thresholdsStyle": {"mode": "dashed" if panel.red is not None else "off"}}
    targets = [{"datasource": SOURCE, "expr": expr.replace("@", AT), "legendFormat": legend, "refId": chr(65 + index),
                "instant": panel.kind == "stat", "range": panel.kind != "stat"} for index, (expr, legend) in enumerate(panel.queries)]
    options = ({"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value", "graphMode": "none"}
               if panel.kind == "stat" else {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                                             "tooltip": {"mode": "multi", "sort": "desc"}})
    return {"id": number, "type": panel.kind, "title": panel.title, "description": panel.about, "datasource": SOURCE, "gridPos": place,
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps},
                                         **({"custom": custom} if panel.kind == "timeseries" else {})}, "overrides": []},
            "options": options, "targets": targets}


def panels_of(board):
    """Lays rows out: figures six to a line, curves three."""
    text = {"id": 1, "type": "text", "title": "How to read this", "description": "What this board answers.", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 3},
            "options": {"mode": "markdown", "content": board.reading}}
    panels, y = [text], 3
    for title, row in board.rows:
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}, "panels": []})
        y, x, height = y + 1, 0, 0
        for panel in row:
            width, tall = (4, 4) if panel.kind == "stat" else (8, 8)
            if 24 < x + width or (height and tall != height):
                y, x = y + height, 0
            panels.append(panel_of(panel, len(panels) + 1, {"x": x, "y": y, "w": width, "h": tall}))
            x, height = x + width, tall
        y += height
    return panels


def dashboard(board):
    return {
        "uid": f"dispatcher-{board.name}", "title": f"Dispatcher / {board.title}", "tags": ["dispatcher"], "schemaVersion": 39, "version": 1,
        "editable": False, "graphTooltip": 1, "refresh": "30s", "time": {"from": "now-1h", "to": "now"}, "timezone": "browser",
        "links": [{"type": "dashboards", "tags": ["dispatcher"], "title": "Dispatcher", "asDropdown": True, "includeVars": True,
                   "keepTime": True, "targetBlank": False, "icon": "external link", "tooltip": "", "url": ""}],
        "annotations": {"list": [
            annotation("Another version", "blue", f"{VERSIONS} unless {VERSIONS.replace('{@}', '{@} offset 5m')}", "version {{version}}"),
            annotation("Rebalance", "orange", "sum by (kind) (increase(dispatcher_kafka_rebalances_total{@}[1m])) > 0", "partitions: {{kind}}"),
            annotation("Lever", "red", "sum by (scope) (dispatcher_fleet_suspensions{@}) > 0", "held back: {{scope}}"),
        ]},
        "templating": {"list": variables()}, "panels": panels_of(board),
    }


def dashboards():
    """File name and content of each."""
    return {f"{board.name}.json": json.dumps(dashboard(board), indent=2) + "\n" for board in BOARDS}

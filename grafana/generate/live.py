"""Asks a running Prometheus every question of every dashboard and rule: `python3 -m generate.live URL [--draw FOLDER]` in grafana/.

What has no data and should have some is an error. With --draw each dashboard becomes a picture, by matplotlib.
"""

import argparse
import json
import sys
import time
import urllib.parse
import urllib.request

from generate.alerts import ALL, OBJECTIVES, RECORDED, WINDOWS
from generate.boards import BOARDS
from generate.grafana import dashboard

# What may be without data while nothing is wrong, by a part of the expression.
EMPTY = {
    "offset 5m": "another version is new only for five minutes",
    "dispatcher_fleet_suspensions{job=~\"$job\",instance=~\"$instance\"}) > 0": "nobody has pulled a lever",
    "dispatcher_kafka_record_age_seconds": "without a broker no record has an age",
    "increase(dispatcher_kafka_rebalances_total{job=~\"$job\",instance=~\"$instance\"}[1m])) > 0": "no partition moved",
    'status="5xx"': "no request has failed",
    "dispatcher_webhooks_attempt_seconds": "no webhook is there",
    "class=\"LIMIT_EXCEEDED\"": "no limit has been met",
    "held_by) (dispatcher_dispatch_lanes_held{job=~\"$job\",instance=~\"$instance\"}) > 0": "no lane waits",
    "dispatcher_intake_admit_seconds": "no job came in for a minute",
    "dispatcher_ownership_restore_seconds": "no partition was claimed for a minute",
    "drain_seconds": "nothing has been accepted for five minutes",
}


def ask(url, path, **parameters):
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=20) as answer:
        return json.load(answer)["data"]["result"]


def plain(expr):
    for name, value in (("$__rate_interval", "1m"), ("$__range", "1h"), ("$job", ".+"), ("$instance", ".+")):
        expr = expr.replace(name, value)
    return expr


def expressions():
    for board in BOARDS:
        made = dashboard(board)
        for panel in made["panels"]:
            for target in panel.get("targets", []):
                yield f"{board.title}: {panel['title']}", target["expr"]
        for annotation in made["annotations"]["list"]:
            yield f"{board.title}: {annotation['name']}", annotation["expr"]
    for record, _ in RECORDED:
        yield f"recorded {record}", record
    for objective in OBJECTIVES:
        for window in WINDOWS:
            yield f"recorded {objective.record(window)}", objective.record(window)


def check(url):
    """Says what has no data; returns how much of that is an error."""
    n_asked = n_errors = 0
    for where, expr in expressions():
        n_asked += 1
        # NaN is the quantile of nothing at all.
        values = [sample["value"][1] for sample in ask(url, "query", query=plain(expr))]
        if any(value != "NaN" for value in values):
            continue
        reason = next((reason for part, reason in EMPTY.items() if part in expr), None)
        n_errors += reason is None
        print(f"{'empty' if reason else 'NO DATA'}  {where}: {reason or expr}")
    firing = {alert["metric"]["alertname"] for alert in ask(url, "query", query='ALERTS{alertstate="firing"}')}
    for alert in ALL:
        # An alert has no data while it is silent; what it must not have is an error.
        ask(url, "query", query=alert.expr)
    print(f"{n_asked} expressions of dashboards and records asked, {n_errors} without data that should have some; "
          f"{len(ALL)} alerts can be asked, firing: {', '.join(sorted(firing)) or 'none'}")
    return n_errors


def draw(url, folder, seconds):
    """Draws each dashboard over the last so many seconds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    now = time.time()
    for board in BOARDS:
        made = dashboard(board)
        bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in made["panels"])
        figure = pyplot.figure(figsize=(20, bottom * 0.55))
        for panel in made["panels"]:
            place, title = panel["gridPos"], panel["title"]
            box = [place["x"] / 24 + 0.02, 1 - (place["y"] + place["h"]) / bottom + 0.35 / bottom, place["w"] / 24 - 0.03, (place["h"] - 1.2) / bottom]
            if panel["type"] in ("row", "text"):
                said = title if panel["type"] == "row" else panel["options"]["content"]
                figure.text(place["x"] / 24 + 0.01, 1 - (place["y"] + 0.7) / bottom, said, fontsize=11, wrap=True, weight="bold")
                continue
            axes = figure.add_axes(box)
            axes.set_title(f"{title} [{panel['fieldConfig']['defaults']['unit']}]", fontsize=9, loc="left")
            if panel["type"] == "stat":
                values = ask(url, "query", query=plain(panel["targets"][0]["expr"]))
                axes.axis("off")
                axes.text(0.5, 0.4, f"{float(values[0]['value'][1]):.4g}" if values else "no data", fontsize=20, ha="center")
                continue
            for target in panel["targets"]:
                for line in ask(url, "query_range", query=plain(target["expr"]), start=now - seconds, end=now, step=2):
                    legend = target["legendFormat"]
                    for label, value in line["metric"].items():
                        legend = legend.replace("{{" + label + "}}", value)
                    axes.plot([at - now for at, _ in line["values"]], [float(value) for _, value in line["values"]], label=legend, linewidth=1)
            axes.tick_params(labelsize=7)
            if axes.lines:
                axes.legend(fontsize=6, loc="upper left")
        figure.savefig(f"{folder}/{board.name}.png", dpi=60)
        pyplot.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="such as http://127.0.0.1:9091")
    parser.add_argument("--draw", metavar="FOLDER")
    parser.add_argument("--seconds", type=int, default=300, help="how far back the pictures go (300)")
    arguments = parser.parse_args()
    n_errors = check(arguments.url)
    if arguments.draw:
        draw(arguments.url, arguments.draw, arguments.seconds)
    sys.exit(1 if n_errors else 0)


main()

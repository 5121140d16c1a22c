"""The files that Prometheus loads, and the tests of promtool."""

from generate.alerts import ALL, OBJECTIVES, RECORDED, WINDOWS

HEAD = "# Made by grafana/generate: change that, and run `python3 -m generate` in grafana/.\n"


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def recording():
    lines = [HEAD + "groups:", "  - name: dispatcher.recorded", "    rules:"]
    for record, expr in RECORDED:
        lines += [f"      - record: {record}", f"        expr: {quoted(expr)}"]
    for objective in OBJECTIVES:
        lines += [f"  - name: {objective.name.replace('_', '.', 1)}", "    rules:"]
        for window in WINDOWS:
            lines += [f"      - record: {objective.record(window)}", f"        expr: {quoted(objective.ratio(window))}"]
    return "\n".join(lines) + "\n"


def alerts():
    lines = [HEAD + "groups:", "  - name: dispatcher.alerts", "    rules:"]
    for alert in ALL:
        lines += [
            f"      - alert: {alert.name}", f"        expr: {quoted(alert.expr)}", f"        for: {alert.wait}",
            "        labels:", f"          severity: {alert.severity}", "        annotations:",
            f"          summary: {quoted(alert.summary)}", f"          description: {quoted(alert.description)}",
            f"          runbook_url: docs/runbooks/{alert.name}.md",
            f"          dashboard_url: /d/dispatcher-{alert.board}",
        ]
    return "\n".join(lines) + "\n"


def tests():
    """Each alert fires for its series, and is silent for those that are near it."""
    lines = [HEAD + "rule_files:", "  - ../alerts.rules.yml", "evaluation_interval: 1m", "tests:"]
    for alert in ALL:
        for fires, given in ((True, alert.fires), (False, alert.silent)):
            lines += [f"  - name: {quoted(alert.name + (' fires' if fires else ' is silent'))}", "    interval: 1m", "    input_series:"]
            for series, values in given:
                lines += [f"      - series: {quoted(series)}", f"        values: {quoted(values)}"]
            # By name only: what a summary says is for people. Firing is counted by the series that Prometheus makes of it.
            expr = f'count(ALERTS{{alertname="{alert.name}", alertstate="firing"}}) or vector(0)'
            lines += ["    promql_expr_test:", f"      - expr: {quoted(expr)}", f"        eval_time: {alert.at}", "        exp_samples:"]
            lines += ["          - value: " + ("1" if fires else "0"), "            labels: '{}'"]
    return "\n".join(lines) + "\n"

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


def input_series(given):
    lines = ["    interval: 1m", "    input_series:"]
    for series, values in given:
        lines += [f"      - series: {quoted(series)}", f"        values: {quoted(values)}"]
    return lines


def expected(expr, at, value):
    return ["    promql_expr_test:", f"      - expr: {quoted(expr)}", f"        eval_time: {at}", "        exp_samples:",
            f"          - value: {value}", "            labels: '{}'"]


def tests():
    """Each alert fires for its series, and is silent for those that are near it."""
    lines = [HEAD + "rule_files:", "  - ../alerts.rules.yml", "evaluation_interval: 1m", "tests:"]
    for alert in ALL:
        # With its labels and not its words, which are for people: alerts are grouped and silenced by labels.
        labels = "".join(f', {name}="{value}"' for name, value in {"severity": alert.severity, **alert.kept}.items())
        firing = f'ALERTS{{alertname="{alert.name}", alertstate="firing"'
        lines += [f"  - name: {quoted(alert.name + ' fires')}"] + input_series(alert.fires)
        lines += expected(f"count({firing}{labels}}}) or vector(0)", alert.at, 1)
        # With whatever labels, at any moment until then.
        lines += [f"  - name: {quoted(alert.name + ' is silent')}"] + input_series(alert.silent)
        lines += expected(f"sum(count_over_time({firing}}}[{alert.at}])) or vector(0)", alert.at, 0)
    return "\n".join(lines) + "\n"


def tests_of_objectives():
    """Each objective counts what it says. Apart from the alerts, whose tests bring recorded series of their own."""
    lines = [HEAD + "rule_files:", "  - ../recorded.rules.yml", "evaluation_interval: 1m", "tests:"]
    for objective in OBJECTIVES:
        # One in ten is bad; what is nobody's fault here is not counted at all.
        for case, given, value in (("one in ten", objective.one_in_ten, 0.1), ("none", objective.none, 0)):
            lines += [f"  - name: {quoted(f'{objective.name} of {case}')}"] + input_series(given)
            lines += expected(f"round(sum({objective.record('5m')}), 0.0001)", "30m", value)
    return "\n".join(lines) + "\n"

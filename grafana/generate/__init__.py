"""Dashboards, rules and their tests, made from one description; `python3 -m generate` in grafana/ writes the files."""

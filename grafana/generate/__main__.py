"""Writes the files, or says which of them are not what would be written: `python3 -m generate [--check]` in grafana/."""

import sys
from pathlib import Path

from generate import grafana, rules
from generate.check import problems

ROOT = Path(__file__).resolve().parents[2]


def files():
    made = {f"dashboards/{name}": text for name, text in grafana.dashboards().items()}
    made["prometheus/recorded.rules.yml"] = rules.recording()
    made["prometheus/alerts.rules.yml"] = rules.alerts()
    made["prometheus/tests/alerts.test.yml"] = rules.tests()
    made["prometheus/tests/recorded.test.yml"] = rules.tests_of_objectives()
    return {ROOT / "grafana" / name: text for name, text in made.items()}


def main():
    checking = "--check" in sys.argv
    wrong = []
    for path, text in files().items():
        if not checking:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            wrong.append(f"{path.relative_to(ROOT)} is not what grafana/generate makes: run `python3 -m generate` in grafana/")
    wrong += problems(ROOT)
    print("\n".join(wrong) or f"{len(files())} files are as they should be")
    sys.exit(1 if wrong else 0)


main()

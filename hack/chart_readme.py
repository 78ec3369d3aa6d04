"""Writes charts/trainyard/README.md from the comments of values.yaml: ``python hack/chart_readme.py [--check]``."""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

Comments = dict[tuple[str, ...], str]

CHART: Final = Path(__file__).resolve().parents[1] / "charts/trainyard"
_KEY: Final = re.compile(r"^(?P<indent> *)(?P<name>[A-Za-z0-9_.\"/-]+):")
_HEAD: Final = """\
# trainyard

The chart of the trainyard operator. The [project's README](../../README.md) describes the operator and how to
[install](../../README.md#install) it. [docs/chart.md](../../docs/chart.md) is about private registries, OpenShift,
proxies and network policies.

Helm checks all values against values.schema.json. A misspelt key is an error. `null` removes a default.
"""
_TABLE: Final = "\n| Value | Default | Meaning |\n|---|---|---|\n"


def readme(text: str) -> str:
    """Return the README for a ``values.yaml``, with a section for each block and a row for each value."""
    comments = _comments(text)
    parts, rows = [_HEAD], list[str]()
    for name, value in yaml.safe_load(text).items():
        below = list(_rows(value, (name,), comments)) if isinstance(value, dict) else []
        if len(below) > 1:
            parts.append(f"\n## {name}\n\n{comments[name,]}\n{_TABLE}{''.join(below)}")
        else:
            rows.append(_row((name,), value, comments[name,]))
    return "".join([*parts, "\n## Others\n", _TABLE, *rows])


def _rows(values: dict[str, Any], path: tuple[str, ...], comments: Comments) -> Iterator[str]:
    """Yield a row for each value. A block in which no value has a comment is one value."""
    for name, value in values.items():
        here = (*path, name)
        if isinstance(value, dict) and any(comments.get((*here, each)) for each in value):
            yield from _rows(value, here, comments)
        else:
            yield _row(here, value, comments.get(here, ""))


def _row(path: tuple[str, ...], value: Any, comment: str) -> str:
    default = json.dumps(value, ensure_ascii=False)
    return f"| `{'.'.join(path)}` | `{default}` | {comment.replace('|', chr(92) + '|')} |\n"


def _comments(text: str) -> Comments:
    """Return the comment above each key that is on its own line, by path. The comment may be empty."""
    found: Comments = {}
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if line.strip().startswith("#"):
            comment.append(line.strip().lstrip("# "))
        elif key := _KEY.match(line):
            indent = len(key["indent"])
            path = [*(each for each in path if each[0] < indent), (indent, key["name"].strip('"'))]
            found[tuple(name for _, name in path)] = " ".join(comment)
            comment = []
        elif not line.strip():
            comment = []
    return found


def main() -> int:
    """Write the file, or with ``--check`` return 1 if it is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    target, text = CHART / "README.md", readme((CHART / "values.yaml").read_text(encoding="utf-8"))
    if parser.parse_args().check:
        stale = not target.is_file() or target.read_text(encoding="utf-8") != text
        if stale:
            sys.stderr.write("charts/trainyard/README.md is out of date: run `make generate`\n")
        return int(stale)
    target.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""docs/track-record.md: each listed fault names a test that exists."""

import re

from trainyard_api.generate import checkout


def test_each_fault_names_tests_that_exist() -> None:
    root = checkout()
    text = (root / "docs/track-record.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`((?:tests/)?[a-z0-9_/]*test_[a-z_]+\.py)`", row)
        assert named, row
        folder = ""
        for name in named:
            path = root / (name if name.startswith("tests/") else f"{folder}/{name}")
            folder = path.parent.relative_to(root).as_posix()
            assert path.is_file(), name

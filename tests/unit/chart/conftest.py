"""Fixtures of the chart tests."""

from pathlib import Path

import pytest

from cluster import toolchain


@pytest.fixture(scope="session")
def helm() -> Path:
    return toolchain.ensure("helm")

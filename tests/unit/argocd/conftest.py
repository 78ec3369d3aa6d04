"""The Lua interpreter as a fixture."""

from pathlib import Path

import pytest

from tests.unit.argocd.lua import Lua, start


@pytest.fixture
def lua(tmp_path: Path) -> Lua:
    return start(tmp_path)

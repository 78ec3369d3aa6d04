"""The sandbox has only the libraries of Argo CD, so that a script that needs more fails in these tests."""

import pytest

from tests.unit.argocd.lua import Lua, LuaError

THING = {"text": 'größe "§" \\ \n', "list": [1, 2.5], "map": {"yes": True, "none": None}, "empty": {}}


def test_values_survive_a_round_trip(lua: Lua) -> None:
    assert lua.text("return obj", THING) == {**THING, "map": {"yes": True}, "empty": []}
    assert lua.text("return actionParams", THING) == "nil"


def test_only_the_libraries_of_argo_cd_exist(lua: Lua) -> None:
    names = ["string", "math", "io", "os", "debug", "coroutine", "table", "package", "ipairs", "require"]
    source = "return {" + ", ".join(f"{name} = type({name})" for name in names) + "}"
    here = {name for name, kind in lua.text(source, {}).items() if kind != "nil"}
    assert here == {"table", "package", "ipairs", "require"}
    assert sorted(lua.text('local n = {} for k in pairs(require("os")) do n[#n + 1] = k end return n', {})) == [
        "date",
        "time",
    ]


@pytest.mark.parametrize("source", ["return ('a'):upper()", "return require('string')", "return math.floor(1)"])
def test_functions_that_argo_cd_lacks_fail(lua: Lua, source: str) -> None:
    with pytest.raises(LuaError):
        lua.text(source, {})


def test_an_error_is_raised_with_its_text(lua: Lua) -> None:
    with pytest.raises(LuaError, match="not so"):
        lua.text('error("not so", 0)', {})

"""The assignment of series to pods: all series, each to one pod, and always the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard_trainer.environment import COMPLETION_INDEX_ENV, Environment
from trainyard_trainer.errors import ConfigError
from trainyard_trainer.job.shards.share import Share


def env(index: str) -> Environment:
    return Environment.from_environ({COMPLETION_INDEX_ENV: index})


@given(st.text(), st.integers(1, 1000))
def test_every_series_has_one_pod(name: str, count: int) -> None:
    assert [Share(index, count).takes(name) for index in range(count)].count(True) == 1


def test_the_assignment_never_changes() -> None:
    """The expected values are fixed, because another release may continue with the checkpoints."""
    names = ["bread", "rolls", "cake", "Brötchen", "パン", "all", "1"]
    assert [next(index for index in range(3) if Share(index, 3).takes(name)) for name in names] == [2, 1, 0, 0, 0, 0, 2]


def test_the_shares_are_about_equal() -> None:
    sizes = [sum(Share(index, 10).takes(f"product_{number}") for number in range(10_000)) for index in range(10)]
    assert max(sizes) < 1.1 * min(sizes)


def test_the_share_of_a_pod() -> None:
    assert Share.of_pod(env("2"), 3) == Share(2, 3)
    assert Share.of_pod(env(""), 3) is None
    assert Share(2, 3).mark in Share(0, 3).marks
    assert len(Share(0, 3).marks) == 3
    assert str(Share(0, 3)) == "shard 1 of 3"


@pytest.mark.parametrize("index", ["3", "-1", "one", "²"])
def test_an_invalid_index_is_refused(index: str) -> None:
    with pytest.raises(ConfigError, match=r"JOB_COMPLETION_INDEX is .*; with spec\.shards 3"):
        Share.of_pod(env(index), 3)

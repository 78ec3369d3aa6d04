"""Parts never overlap, equal rows stay together, and a row of the test part never becomes a training row."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard_api.training import Split
from trainyard_trainer.data.tables.splits import Sides, digest_of, digest_of_rows, split_by_hash, split_by_time
from trainyard_trainer.errors import DataError

ROWS = st.integers(60, 400)
COLUMNS = {"Random": ("number", "text", "y"), "Stratified": ("number", "text", "y"), "Group": ("group",)}
STRATEGIES = st.sampled_from(sorted(COLUMNS))


def table(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "number": random.normal(size=rows).round(1),
            "text": random.choice(["red", "green", None], rows),
            "group": random.integers(0, 40, rows),
            "y": random.integers(0, 2, rows),
        }
    )


def divided(frame: pd.DataFrame, strategy: str, split: Split | None = None) -> tuple[Sides, list[pd.DataFrame]]:
    sides = Sides.of(strategy, split or Split(), COLUMNS[strategy])
    parts = split_by_hash(sides, sides.hashes(frame))
    return sides, [frame.iloc[rows] for rows in (parts.train, parts.validation, parts.test)]


def units(frame: pd.DataFrame, strategy: str) -> set[tuple[object, ...]]:
    return set(
        frame[list(COLUMNS[strategy])].astype(object).where(frame.notna(), None).itertuples(index=False, name=None)
    )


@settings(deadline=None, max_examples=60)
@given(rows=ROWS, seed=st.integers(0, 100), strategy=STRATEGIES)
def test_every_row_is_in_exactly_one_part_and_equal_rows_in_the_same(rows, seed, strategy):
    frame = table(rows, seed)
    _, parts = divided(frame, strategy, Split(seed=seed))
    assert sorted(np.concatenate([part.index for part in parts]).tolist()) == list(range(rows))
    sides = [units(part, strategy) for part in parts]
    assert sum(len(side) for side in sides) == len(set().union(*sides))


@settings(deadline=None, max_examples=80)
@given(rows=ROWS, seed=st.integers(0, 100), strategy=STRATEGIES, data=st.data())
def test_a_changed_table_never_moves_rows_from_test_to_training(rows, seed, strategy, data):
    frame = table(rows, seed)
    judged: set[tuple[object, ...]] = set()
    for night in range(3):
        _, (train, validation, test) = divided(frame, strategy)
        judged |= units(test, strategy)
        assert not judged & (units(train, strategy) | units(validation, strategy))
        kept = frame.sample(frac=data.draw(st.floats(0.4, 1)), random_state=seed + night)
        more = table(data.draw(st.integers(0, 300)), 1000 + seed + night)
        repeated = kept.sample(frac=0.3, random_state=night)
        frame = pd.concat([kept, more, repeated]).sample(frac=1, random_state=night, ignore_index=True)


def test_the_fractions_hold_within_sampling_error_for_each_class_too():
    frame = table(40_000, 5)
    frame["number"] = np.random.default_rng(1).normal(size=len(frame))
    _, parts = divided(frame, "Stratified")
    assert [len(part) / len(frame) for part in parts] == pytest.approx([0.6, 0.2, 0.2], abs=0.01)
    assert [part["y"].mean() for part in parts] == pytest.approx([frame["y"].mean()] * 3, abs=0.02)


def test_the_seed_changes_the_split_and_a_larger_fraction_keeps_the_test_rows():
    frame = table(2_000, 5)
    _, (_, _, first) = divided(frame, "Group")
    _, (_, _, other) = divided(frame, "Group", Split(seed=7))
    _, (_, _, more) = divided(frame, "Group", Split(test_fraction=0.4))
    assert units(first, "Group") != units(other, "Group")
    assert units(first, "Group") < units(more, "Group")


def test_few_rows_move_from_training_to_validation_but_never_to_test():
    sides = Sides.of("Group", Split(), ("group",))
    for last in range(2, 60):
        frame = pd.DataFrame({"group": np.arange(last)})
        positions = sides.positions(frame)
        if not (positions < 0.2).any():
            with pytest.raises(DataError, match=r"leaves no rows to judge.*split\.seed"):
                split_by_hash(sides, sides.hashes(frame))
            continue
        parts = split_by_hash(sides, sides.hashes(frame)) if (positions >= 0.2).sum() > 1 else None
        if parts is not None:
            assert set(parts.test) == set(np.flatnonzero(positions < 0.2))
            assert len(parts.validation) > 0
            assert len(parts.train) > 0


@settings(deadline=None, max_examples=60)
@given(rows=ROWS)
def test_parts_by_time_are_in_order(rows):
    times = pd.Series(pd.date_range("2026", periods=rows, freq="D")).sample(frac=1, random_state=1, ignore_index=True)
    parts = split_by_time(times, Split())
    assert times.iloc[parts.train].max() < times.iloc[parts.validation].min()
    assert times.iloc[parts.validation].max() < times.iloc[parts.test].min()
    assert len(parts.test) == round(rows * 0.2)


def test_rows_of_one_instant_stay_in_one_part():
    times = pd.Series(np.repeat(pd.date_range("2026", periods=10).to_numpy(), 13))
    parts = split_by_time(times, Split())
    assert not set(times.iloc[parts.train]) & set(times.iloc[parts.test])


@pytest.mark.parametrize(("values", "fractions"), [([1, 1, 1, 2], (0.2, 0.2)), ([1, 2, 3, 4], (0.45, 0.45))])
def test_too_few_instants_are_refused(values, fractions):
    split = Split(test_fraction=fractions[0], validation_fraction=fractions[1])
    with pytest.raises(DataError, match=r"at least 3 distinct times|leaves no rows to train"):
        split_by_time(pd.Series(values), split)


def test_the_digest_only_depends_on_the_content():
    frame = pd.DataFrame({"a": [1.0, 2.0, np.nan], "b": ["x", "y", "x"]})
    same = frame.iloc[::-1].iloc[::-1].set_index(pd.Index([7, 8, 9])).astype({"b": "category"})
    assert digest_of(frame) == digest_of(same)
    assert digest_of(frame) != digest_of(frame.assign(a=[1.0, 2.0, 3.0]))
    assert digest_of(frame) != digest_of(frame.rename(columns={"a": "c"}))
    assert digest_of(frame) != digest_of(frame.iloc[::-1])


def test_a_digest_of_rows_follows_names_and_order():
    hashes = np.array([1, 2], dtype=np.uint64)
    assert digest_of_rows(["a"], hashes) != digest_of_rows(["b"], hashes)
    assert digest_of_rows(["a"], hashes) != digest_of_rows(["a"], hashes[::-1])

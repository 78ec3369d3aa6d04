"""An attempt continues after the last one: it fits no series again, and gives the files of an uninterrupted run."""

import dataclasses
import hashlib
import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.errors import Interrupted
from trainyard_trainer.frameworks.prophet.choice import Outcome
from trainyard_trainer.frameworks.prophet.records import NEEDED, PREFIX, outcome_fields, outcome_of
from trainyard_trainer.frameworks.registry import framework_for
from trainyard_trainer.frameworks.workers.pieces import Finished, PieceWriter

DAYS = pd.date_range("2025-06-01", periods=40)
NAMES = [f"item {number:02d}" for number in range(10)]
"""More series than two workers have at the same time, so a stop always leaves some unfinished."""


class MemoryCheckpoints:
    """Checkpoints in memory."""

    def __init__(self):
        self.bodies = {"search": b"of another stage"}

    def get(self, name):
        return self.bodies.get(name)

    def put(self, name, body):
        self.bodies[name] = body

    def names(self):
        return sorted(self.bodies)

    def series(self):
        """Return how often each series was saved."""
        rows = [row for name, body in self.bodies.items() if name.startswith(PREFIX) for row in body.splitlines()]
        return Counter(json.loads(row)["name"] for row in rows)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(2)
    parts = [
        pd.DataFrame({"day": DAYS, "item": name, "sold": 20 + random.standard_normal(len(DAYS))}) for name in NAMES
    ]
    config = job(
        write(folder, pd.concat(parts).to_csv(index=False)),
        target="sold",
        task="Forecast",
        data={"time": "day", "series": "item"},
    )
    return framework_for(config), dataset_of(config, folder), config


def run(prepared, folder, *, checkpoints, workers=1, until=None, wanted=None):
    """Train. After ``until`` finished series, the pod is asked to stop."""
    framework, dataset, config = prepared
    folder.mkdir(exist_ok=True)
    done = []
    context = dataclasses.replace(
        context_of(config, folder, workers=workers, stop=lambda: until is not None and len(done) >= until),
        checkpoints=checkpoints,
        progress=lambda *reported: done.append(reported),
    )
    trained = framework.train(dataset if wanted is None else dataset.part(wanted), context)
    evaluation = framework.evaluate(dataset, trained, context) if wanted is None else None
    digests = [hashlib.sha256((context.output / name).read_bytes()).hexdigest() for name in trained.files]
    return digests, trained, evaluation


@pytest.fixture(scope="module")
def uninterrupted(prepared, tmp_path_factory):
    return run(prepared, tmp_path_factory.mktemp("uninterrupted"), checkpoints=MemoryCheckpoints())


@pytest.mark.parametrize("seed", range(4))
def test_interruptions_do_not_change_the_files_or_repeat_a_series(prepared, uninterrupted, tmp_path, seed):
    random, checkpoints, attempts = np.random.default_rng(seed), MemoryCheckpoints(), 0
    while True:
        attempts += 1
        assert attempts < 20, f"too many attempts: {checkpoints.series()}"
        more = int(random.integers(1, 4))
        try:
            found = run(
                prepared,
                tmp_path / str(attempts),
                checkpoints=checkpoints,
                until=len(checkpoints.series()) + more if attempts < 6 else None,
            )
            break
        except Interrupted:
            assert len(checkpoints.series()) > 0
    assert checkpoints.series() == Counter(NAMES), "each series once"
    assert found[0] == uninterrupted[0]
    assert dataclasses.replace(found[1], model=None, judged=None) == dataclasses.replace(
        uninterrupted[1], model=None, judged=None
    )
    assert found[2].metrics == uninterrupted[2].metrics
    pd.testing.assert_frame_equal(found[2].golden.outputs, uninterrupted[2].golden.outputs)


def test_started_series_of_two_processes_are_finished_and_saved(prepared, uninterrupted, tmp_path):
    checkpoints = MemoryCheckpoints()
    with pytest.raises(Interrupted):
        run(prepared, tmp_path / "1", checkpoints=checkpoints, workers=2, until=1)
    assert 2 <= len(checkpoints.series()) < len(NAMES)
    found = run(prepared, tmp_path / "2", checkpoints=checkpoints, workers=2)
    assert checkpoints.series() == Counter(NAMES)
    assert found[0] == uninterrupted[0]


def test_a_training_uses_the_finished_series_of_its_shards(prepared, uninterrupted, tmp_path):
    checkpoints = MemoryCheckpoints()
    for shard in (0, 1):
        run(
            prepared,
            tmp_path / str(shard),
            checkpoints=checkpoints,
            wanted=lambda name, shard=shard: int(name[-1]) % 2 == shard,
        )
    before = dict(checkpoints.bodies)
    found = run(prepared, tmp_path / "whole", checkpoints=checkpoints)
    assert checkpoints.bodies == before, "nothing was fitted again"
    assert found[0] == uninterrupted[0]


def test_a_truncated_piece_only_loses_its_last_series(prepared, uninterrupted, tmp_path):
    checkpoints = MemoryCheckpoints()
    run(prepared, tmp_path / "1", checkpoints=checkpoints)
    pieces = [name for name in checkpoints.names() if name.startswith(PREFIX)]  # more than one on a slow machine
    checkpoints.bodies[pieces[-1]] = checkpoints.bodies[pieces[-1]][:-200]
    before = dict(checkpoints.bodies)
    found = run(prepared, tmp_path / "2", checkpoints=checkpoints)
    assert found[0] == uninterrupted[0]
    (added,) = (
        body for name, body in checkpoints.bodies.items() if name.startswith(PREFIX) and before.get(name) != body
    )
    assert len(added.splitlines()) == 1


def finished(name):
    numbers = np.random.default_rng(0).standard_normal(5) / 3
    failures, parameters = {"imapa": "why"}, {"growth": "flat"}
    return Outcome(name, "tsb", b"\x00\xff", b"\x01", numbers, numbers[:2], failures, parameters, 3, 1, numbers, 0.1)


def test_a_piece_is_saved_every_fifty_series_and_every_ten_seconds(tmp_path):
    checkpoints, now = MemoryCheckpoints(), [0.0]
    writer = PieceWriter(checkpoints, PREFIX, lambda: now[0])
    for number in range(60):
        writer.add(f"{number}", outcome_fields(finished(f"{number}")))
    assert len(checkpoints.series()) == 50
    now[0] = 10.0
    writer.add("one more", outcome_fields(finished("one more")))
    assert len(checkpoints.series()) == 61
    writer.flush()
    assert len(checkpoints.names()) == 3, "and none is empty"


def test_an_outcome_is_read_back_unchanged(tmp_path):
    checkpoints = MemoryCheckpoints()
    writer = PieceWriter(checkpoints, PREFIX)
    name = "käse\u2028\n"
    writer.add(name, outcome_fields(finished(name)))
    writer.flush()
    known = Finished(checkpoints, PREFIX, tmp_path, NEEDED)
    found, expected = vars(outcome_of(known.read(name))), vars(finished(name))
    assert {name: np.asarray(value).tolist() for name, value in found.items()} == {
        name: np.asarray(value).tolist() for name, value in expected.items()
    }
    assert "other" not in known
    known.close()
    assert list(tmp_path.iterdir()) == []

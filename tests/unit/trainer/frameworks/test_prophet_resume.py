"""An attempt goes on where the last one ended: no series twice, and the files of an undisturbed run."""

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
"""More than two workers are ever given at once: a stop always leaves some."""


class Kept:
    """Checkpoints in memory."""

    def __init__(self):
        self.bodies = {"search": b"another room's"}

    def get(self, name):
        return self.bodies.get(name)

    def put(self, name, body):
        self.bodies[name] = body

    def names(self):
        return sorted(self.bodies)

    def series(self):
        """How often each series was left."""
        lines = [line for name, body in self.bodies.items() if name.startswith(PREFIX) for line in body.splitlines()]
        return Counter(json.loads(line)["name"] for line in lines)


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
    """Train; ``until`` so many series are done, then the pod is asked to end."""
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
def undisturbed(prepared, tmp_path_factory):
    return run(prepared, tmp_path_factory.mktemp("undisturbed"), checkpoints=Kept())


@pytest.mark.parametrize("seed", range(4))
def test_interruptions_anywhere_change_nothing_and_repeat_nothing(prepared, undisturbed, tmp_path, seed):
    random, kept, attempts = np.random.default_rng(seed), Kept(), 0
    while True:
        attempts += 1
        assert attempts < 20, f"no end in sight: {kept.series()}"
        more = int(random.integers(1, 4))
        try:
            found = run(
                prepared,
                tmp_path / str(attempts),
                checkpoints=kept,
                until=len(kept.series()) + more if attempts < 6 else None,
            )
            break
        except Interrupted:
            assert len(kept.series()) > 0
    assert kept.series() == Counter(NAMES), "each series once"
    assert found[0] == undisturbed[0]
    assert dataclasses.replace(found[1], model=None, judged=None) == dataclasses.replace(
        undisturbed[1], model=None, judged=None
    )
    assert found[2].metrics == undisturbed[2].metrics
    pd.testing.assert_frame_equal(found[2].golden.outputs, undisturbed[2].golden.outputs)


def test_what_two_processes_have_begun_is_finished_and_kept(prepared, undisturbed, tmp_path):
    kept = Kept()
    with pytest.raises(Interrupted):
        run(prepared, tmp_path / "1", checkpoints=kept, workers=2, until=1)
    assert 2 <= len(kept.series()) < len(NAMES)
    found = run(prepared, tmp_path / "2", checkpoints=kept, workers=2)
    assert kept.series() == Counter(NAMES)
    assert found[0] == undisturbed[0]


def test_shards_side_by_side_leave_what_the_whole_takes_up(prepared, undisturbed, tmp_path):
    kept = Kept()
    for shard in (0, 1):
        run(
            prepared,
            tmp_path / str(shard),
            checkpoints=kept,
            wanted=lambda name, shard=shard: int(name[-1]) % 2 == shard,
        )
    before = dict(kept.bodies)
    found = run(prepared, tmp_path / "whole", checkpoints=kept)
    assert kept.bodies == before, "nothing was fitted again"
    assert found[0] == undisturbed[0]


def test_a_piece_that_was_cut_off_costs_its_last_series(prepared, undisturbed, tmp_path):
    kept = Kept()
    run(prepared, tmp_path / "1", checkpoints=kept)
    pieces = [name for name in kept.names() if name.startswith(PREFIX)]  # more than one on a slow machine
    kept.bodies[pieces[-1]] = kept.bodies[pieces[-1]][:-200]
    before = dict(kept.bodies)
    found = run(prepared, tmp_path / "2", checkpoints=kept)
    assert found[0] == undisturbed[0]
    (added,) = (body for name, body in kept.bodies.items() if name.startswith(PREFIX) and before.get(name) != body)
    assert len(added.splitlines()) == 1


def finished(name):
    numbers = np.random.default_rng(0).standard_normal(5) / 3
    failures, parameters = {"imapa": "why"}, {"growth": "flat"}
    return Outcome(name, "tsb", b"\x00\xff", b"\x01", numbers, numbers[:2], failures, parameters, 3, 1, numbers, 0.1)


def test_a_piece_is_left_every_fifty_series_and_every_ten_seconds(tmp_path):
    kept, now = Kept(), [0.0]
    writer = PieceWriter(kept, PREFIX, lambda: now[0])
    for number in range(60):
        writer.add(f"{number}", outcome_fields(finished(f"{number}")))
    assert len(kept.series()) == 50
    now[0] = 10.0
    writer.add("one more", outcome_fields(finished("one more")))
    assert len(kept.series()) == 61
    writer.flush()
    assert len(kept.names()) == 3, "and none is empty"


def test_an_outcome_comes_back_as_it_was(tmp_path):
    kept = Kept()
    writer = PieceWriter(kept, PREFIX)
    name = "käse\u2028\n"
    writer.add(name, outcome_fields(finished(name)))
    writer.flush()
    known = Finished(kept, PREFIX, tmp_path, NEEDED)
    found, expected = vars(outcome_of(known.read(name))), vars(finished(name))
    assert {name: np.asarray(value).tolist() for name, value in found.items()} == {
        name: np.asarray(value).tolist() for name, value in expected.items()
    }
    assert "other" not in known
    known.close()
    assert list(tmp_path.iterdir()) == []

"""Thirty nights of growing data through the gates: what is better or as good takes over, what is worse never does."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.compare.nights import FORECAST, QUICK, Nights, machines, ref, sales
from trainyard_api.modelversion import GateResult
from trainyard_api.training import Gate
from trainyard_api.wire import ChampionRef, TrainingResult
from trainyard_operator.core.champion import Chosen
from trainyard_operator.core.version.gates import Candidate, Champion, judge

DATA_GATES = [
    {"metric": "data_rows_ratio", "op": ">=", "value": 0.7},
    {"metric": "data_missing_increase", "op": "<=", "value": 0.1},
    {"metric": "data_scale_ratio", "op": "<", "value": 10},
    {"metric": "data_relation_shift", "op": "<=", "value": 3},
]
NIGHTS = 30
ROWS, FIRST = 60, 1200


@dataclass
class Model:
    """A model's life: each night is trained beside the champion, and judged as the operator does."""

    nights: Nights
    gates: list[dict[str, object]]
    champion: ChampionRef | None = None
    results: dict[int, list[GateResult]] = field(default_factory=dict)

    def night(self, number: int, frame: pd.DataFrame, **spec: object) -> bool:
        """Train, judge, and let the version serve if it is accepted."""
        result = self.nights.train(frame, champion=self.champion, gates=self.gates, **spec)
        found = judge([Gate.model_validate(gate) for gate in self.gates], _candidate(result), self._beside(result))
        self.results[number] = found
        accepted = all(one.passed for one in found)
        if accepted:
            self.champion = ref(result)
        return accepted

    def _beside(self, result: TrainingResult) -> Champion | None:
        if self.champion is None:
            return None
        chosen = Chosen(self.champion.version, self.champion.artifact.manifest_sha256, None)
        return Champion(chosen, {}, result.holdout_digest)


def _candidate(result: TrainingResult) -> Candidate:
    metrics = {metric.name: metric.value for metric in result.metrics}
    return Candidate(metrics, result.holdout_digest, comparison=result.comparison)


def table(night: int) -> pd.DataFrame:
    return machines(FIRST + NIGHTS * ROWS, seed=4).head(FIRST + night * ROWS)


def spec(features: list[str], **parameters: object) -> dict[str, object]:
    data = {"target": "failed", "features": features}
    return {"task": "Classification", "data": data, "parameters": {**QUICK, **parameters}}


WEAK, STRONG, WORSE = ["load", "noise", "age"], ["heat", "load", "noise", "age"], ["noise", "age"]


def shuffled(frame):
    return frame.assign(failed=np.random.default_rng(1).permutation(frame["failed"].to_numpy()))


POISON = {
    14: shuffled,
    18: lambda frame: frame.assign(heat=frame["heat"] * 1000),
    22: lambda frame: frame.head(len(frame) // 2),
    26: lambda frame: frame.assign(heat=frame["heat"].mask(np.arange(len(frame)) % 3 == 0)),
}


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    gates = [{"metric": "auc", "compareTo": "Champion", "tolerance": 0.05}, *DATA_GATES]
    model = Model(Nights(tmp_path_factory.mktemp("nights")), gates)
    accepted = {}
    for night in range(NIGHTS):
        recipe = spec(WORSE) if night in {5, 10, 20} else spec(WEAK if night < 8 else STRONG)
        frame = POISON.get(night, pd.DataFrame.copy)(table(night))
        accepted[night] = model.night(night, frame, **recipe)
    return model, accepted


def test_an_equal_recipe_on_grown_data_takes_over_each_night(life):
    _, accepted = life
    equal = [night for night in range(NIGHTS) if night not in POISON and night not in {5, 10, 20}]
    refused = [night for night in equal if not accepted[night]]
    assert len(refused) <= 1, {night: life[0].results[night] for night in refused}


def test_a_better_recipe_takes_over_through_the_gate(life):
    model, accepted = life
    assert accepted[8]
    auc = model.results[8][0]
    assert float(auc.difference) > 0.1


@pytest.mark.parametrize("night", [5, 10, 20])
def test_a_worse_recipe_never_does(life, night):
    model, accepted = life
    assert not accepted[night]
    assert model.results[night][0].reason == "NotMet"


@pytest.mark.parametrize(
    ("night", "metric"),
    [
        (14, "data_relation_shift"),
        (18, "data_scale_ratio"),
        (22, "data_rows_ratio"),
        (26, "data_missing_increase"),
    ],
)
def test_a_poisoned_night_never_does(life, night, metric):
    model, accepted = life
    assert not accepted[night]
    assert metric in {one.metric for one in model.results[night] if not one.passed}


def test_forecasts_of_growing_series_go_on_and_a_shuffled_night_does_not(tmp_path):
    gates = [{"metric": "mae", "compareTo": "Champion", "tolerance": 0.1}, *DATA_GATES]
    model = Model(Nights(tmp_path), gates)
    frames = {night: sales(200 + night, items=12) for night in range(10)}
    values = frames[6]["sold"].to_numpy()
    frames[6] = frames[6].assign(sold=np.random.default_rng(1).permutation(values))
    accepted = [model.night(night, frame, **FORECAST) for night, frame in frames.items()]
    differences = [(one.difference, one.reason) for found in model.results.values() for one in found]
    assert accepted == [night != 6 for night in range(10)], differences

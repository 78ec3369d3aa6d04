"""Thirty nights of growing data with gates: a better or equal model takes over, a worse one never does."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.job.compare.nightly_table import (
    BETTER_NIGHT,
    DATA_GATES,
    NIGHTS,
    NOT_WORSE,
    WORSE_NIGHTS,
    is_good,
    spec,
    table,
)
from tests.unit.trainer.job.compare.nights import FORECAST, Nights, ref, sales
from trainyard_api.modelversion import GateResult
from trainyard_api.training import Gate
from trainyard_api.wire import ChampionRef, TrainingResult
from trainyard_operator.core.champion import Chosen
from trainyard_operator.core.version.gates import Candidate, Champion, judge


@dataclass
class Model:
    """The life of a model: each night it is trained, compared with the champion, and accepted or rejected."""

    nights: Nights
    gates: list[dict[str, object]]
    champion: ChampionRef | None = None
    results: dict[int, list[GateResult]] = field(default_factory=dict)

    def night(self, number: int, frame: pd.DataFrame, **spec: object) -> bool:
        """Train, evaluate the gates, and let the version serve if it is accepted."""
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


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    gates = [NOT_WORSE, *DATA_GATES]
    model = Model(Nights(tmp_path_factory.mktemp("nights")), gates)
    accepted = {}
    for night in range(NIGHTS):
        accepted[night] = model.night(night, table(night), **spec(night))
    return model, accepted


def test_an_equal_spec_on_more_data_takes_over_each_night(life):
    _, accepted = life
    equal = [night for night in range(NIGHTS) if is_good(night)]
    refused = [night for night in equal if not accepted[night]]
    assert len(refused) <= 1, {night: life[0].results[night] for night in refused}


def test_a_better_spec_takes_over_through_the_gate(life):
    model, accepted = life
    assert accepted[BETTER_NIGHT]
    auc = model.results[BETTER_NIGHT][0]
    assert float(auc.difference) > 0.1


@pytest.mark.parametrize("night", WORSE_NIGHTS)
def test_a_worse_spec_never_takes_over(life, night):
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
def test_corrupted_data_never_takes_over(life, night, metric):
    model, accepted = life
    assert not accepted[night]
    assert metric in {one.metric for one in model.results[night] if not one.passed}


def test_forecasts_of_growing_series_take_over_and_shuffled_data_does_not(tmp_path):
    gates = [{"metric": "mae", "compareTo": "Champion", "tolerance": 0.1}, *DATA_GATES]
    model = Model(Nights(tmp_path), gates)
    frames = {night: sales(200 + night, items=12) for night in range(10)}
    values = frames[6]["sold"].to_numpy()
    frames[6] = frames[6].assign(sold=np.random.default_rng(1).permutation(values))
    accepted = [model.night(night, frame, **FORECAST) for night, frame in frames.items()]
    differences = [(one.difference, one.reason) for found in model.results.values() for one in found]
    assert accepted == [night != 6 for night in range(10)], differences

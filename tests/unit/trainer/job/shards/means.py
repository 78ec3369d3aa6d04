"""A framework with one model per series, a mean. It saves checkpoints of finished series as Prophet does."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from tests.unit.trainer.job import mean
from tests.unit.trainer.job.mean import DIGEST, MeanFramework
from trainyard_api.trainingjob import SeriesCount
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.dataset import Dataset, Origin, Series, Table
from trainyard_trainer.errors import DataError
from trainyard_trainer.frameworks.base import Context, Evaluation, Golden, Trained
from trainyard_trainer.job.steps import Steps


@dataclass
class Means(MeanFramework):
    """Fits the mean of each series. ``fitted`` lists every fit. Tests interrupt in ``on_fit``."""

    on_fit: Callable[[str], None] = lambda _: None
    on_train: Callable[[Dataset], None] = lambda _: None
    name: str = "means"
    fitted: list[str] = field(default_factory=list)

    def train(self, dataset: Dataset, context: Context) -> Trained:
        self.on_train(dataset)
        means = {}
        for number, series in enumerate(dataset.series):
            found = context.checkpoints.get(f"mean-{series.name}")
            if found is None:
                self.on_fit(series.name)
                self.fitted.append(series.name)
                found = str(dataset.frame["y"].iloc[series.start : series.split].mean()).encode()
                context.checkpoints.put(f"mean-{series.name}", found)
            means[series.name] = float(found)
            context.progress((number + 1) / len(dataset.series), f"{number + 1} of {len(dataset.series)} series")
        if all(value < 0 for value in means.values()):
            raise DataError("no series could be fitted")
        (context.output / "mean.json").write_text(json.dumps(means))
        count = len(dataset.series)
        counted = SeriesCount(total=count, trained=count)
        return Trained(formats=("means",), files=("mean.json",), model=means, parameters={}, series=counted)

    def evaluate(self, dataset: Dataset, trained: Trained, context: Context) -> Evaluation:  # noqa: ARG002
        errors = [abs(dataset.frame["y"].iloc[one.stop - 1] - trained.model[one.name]) for one in dataset.series]
        mae = sum(errors) / len(errors)
        inputs = pd.DataFrame({"series": [one.name for one in dataset.series if one.name in dataset.golden_series]})
        table = pd.DataFrame({"series": [None], "metric": ["mae"], "value": [mae], "baseline": [2 * mae]})
        golden = Golden(inputs, self.predict(trained.model, inputs))
        return Evaluation(metrics={"mae": mae, "baseline_mae": 2 * mae}, table=table, golden=golden)

    def predict(self, model: Any, inputs: pd.DataFrame) -> pd.DataFrame:
        names = inputs["series" if "series" in inputs else "product"]  # golden rows use the name "series"
        return pd.DataFrame({"prediction": [model[name] for name in names]})


@dataclass
class SharedSteps:
    """The data that the pods of a job read: ``values`` per series. It may change between two pods."""

    names: tuple[str, ...]
    digest: str = DIGEST
    below: float = 1.0

    def load(self, *_: object) -> Table:
        values = [float(number * self.below) for number in range(3 * len(self.names))]
        days = pd.date_range("2026-01-01", periods=3)
        frame = pd.DataFrame({"ds": list(days) * len(self.names), "y": values})
        return Table(frame, Origin("s3://data/x.csv", self.digest, 10))

    def preprocess(self, table: Table, _: TrainerConfig) -> Dataset:
        series = tuple(Series(name, 3 * number, 3 * number + 3, 1) for number, name in enumerate(self.names))
        return Dataset(
            task="Forecast",
            frame=table.frame,
            target="y",
            features=(),
            findings=(),
            origin=table.origin,
            holdout_digest=DIGEST,
            rows=len(table.frame),
            series=series,
            series_total=len(series),
            frequency="D",
        )

    def steps(self, framework: Means) -> Steps:
        return Steps(self.load, self.preprocess, lambda _: framework)


def config(uid: str, shards: int, attempt: int = 1) -> TrainerConfig:
    return mean.config(
        uid,
        attempt,
        framework="Prophet",
        task="Forecast",
        data={"uri": "s3://data/x.csv", "time": "day", "series": "product", "target": "sold"},
        forecast={"horizon": 1},
        shards=shards,
    )

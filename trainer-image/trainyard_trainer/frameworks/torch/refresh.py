"""The windows of a saved network at the ends of the series of a dataset."""

from dataclasses import replace

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.frameworks.base import Refreshed
from trainyard_trainer.frameworks.forecast.refresh import columns_by, notes_of_ends, require_refreshable
from trainyard_trainer.frameworks.torch.model import ForecastModel, KnownRows


def refreshed(model: ForecastModel, dataset: Dataset) -> Refreshed:
    """Return the network with the newest steps of a dataset as its input: see ``ForecastFramework``.

    A series keeps the scale of the training. A new series gets its own scale. No series is left out.
    """
    require_refreshable(dataset, model.description.columns, model.description.frequency)
    rows = KnownRows.of(model, dataset)
    learned = model.learned_until
    new = [one.name for one in dataset.series if one.name not in learned]
    found = replace(
        model,
        description=replace(model.description, columns=columns_by(model.description.columns, dataset)),
        contexts={one.name: rows.context(one, one.stop) for one in dataset.series},
        quantiles=model.quantiles.with_new_scales(dataset, frequency_of(model.description.frequency).season),
        learned=learned,
    )
    notes = notes_of_ends(learned, dataset)
    if new:
        text = f"{len(new)} series are new to the model, such as {new[0]!r}: the network of all series forecasts them"
        notes = (text, *notes)
    return Refreshed(found, notes=notes)

"""The loaded model of a version. It must reproduce its golden rows before it predicts."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trainyard_trainer.artifacts.manifest import fetch_file
from trainyard_trainer.frameworks.base import Framework
from trainyard_trainer.frameworks.loading import check_golden_rows, framework_of
from trainyard_trainer.frameworks.signature import Columns, columns_of
from trainyard_trainer.job.predict.opened import Opened


@dataclass(frozen=True)
class Predictor:
    """A model in memory, its framework, and the columns that it reads and returns."""

    framework: Framework
    model: Any
    columns: Columns


def load_predictor(opened: Opened, folder: Path) -> Predictor:
    """Fetch and verify the files of the final model into ``folder``, load it, and predict its golden rows.

    Raises
    ------
    Unsupported
        If this image cannot load the model.
    DataError
        If a file was changed, or the golden rows are not reproduced.
    TrainerError
        For any other error of the storage.
    """
    manifest = opened.manifest
    framework = framework_of(manifest)
    for entry in manifest.served:
        fetch_file(opened.run.store, opened.run.folder, entry, folder)
    model = framework.load(folder)
    columns = columns_of(manifest, model)
    name = f"version {opened.config.version} of {opened.config.model_name}"
    check_golden_rows(manifest, name, columns, partial(framework.predict, model))
    return Predictor(framework, model, columns)

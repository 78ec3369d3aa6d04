"""Load the model of a registered version: find its framework, and test the loaded model before it is used."""

from collections.abc import Callable
from typing import Final, cast, get_args

import pandas as pd

from trainyard_api.training import OWN_CODE
from trainyard_api.training import Framework as FrameworkName
from trainyard_trainer.artifacts.manifest import Frame, Manifest
from trainyard_trainer.errors import DataError, Unsupported
from trainyard_trainer.frameworks.base import Framework
from trainyard_trainer.frameworks.golden import max_difference
from trainyard_trainer.frameworks.registry import framework_named
from trainyard_trainer.frameworks.signature import Columns, frame_of

_NUMERIC_OUTPUTS: Final = {"double", "long"}


def framework_of(manifest: Manifest) -> Framework:
    """Return the framework that saved a model. Only the library that it needs is imported, and only here.

    Raises
    ------
    Unsupported
        If this image cannot read the model.
    """
    if manifest.framework not in get_args(FrameworkName) or manifest.framework in OWN_CODE:
        raise Unsupported(
            f"this image cannot load models of framework {manifest.framework}: only the code that trained such a model "
            "can; run it with your own image"
        )
    framework = framework_named(cast("FrameworkName", manifest.framework), forecast=manifest.task == "Forecast")
    if framework.format not in manifest.formats:
        raise Unsupported(
            f"the model's formats are {', '.join(manifest.formats) or 'none'}, this image reads {framework.format}; "
            "use the image of the release that trained it"
        )
    return framework


def check_golden_rows(
    manifest: Manifest, name: str, columns: Columns, predict: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    """Predict the golden rows. This warms up the model, and a difference shows that another library version runs.

    Parameters
    ----------
    name
        Name of the version, for the message.

    Raises
    ------
    DataError
        If the model does not reproduce its golden rows.
    """
    golden = manifest.golden
    inputs, expected = golden.inputs, _outputs(golden.outputs, columns)
    values = {name: [row[index] for row in inputs.rows] for index, name in enumerate(inputs.columns)}
    found = predict(frame_of(values, columns.inputs))
    difference = max_difference(expected, found)
    if not difference <= golden.tolerance:
        libraries = ", ".join(f"{name} {version}" for name, version in sorted(manifest.libraries.items()))
        raise DataError(
            f"{name} does not reproduce its golden rows in this image: they differ by {difference:.3g}, more than "
            f"{golden.tolerance:g}; use an image with the libraries of its training ({libraries})"
        )


def _outputs(frame: Frame, columns: Columns) -> pd.DataFrame:
    table = pd.DataFrame(frame.rows, columns=frame.columns)
    numeric = [column.name for column in columns.outputs if column.type in _NUMERIC_OUTPUTS]
    return table.astype(dict.fromkeys(numeric, "float64"))

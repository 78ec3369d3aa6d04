"""Checks of the specification of a user's own code, in an image or a script."""

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.errors import Unsupported
from trainyard_trainer.evaluate.names import check_container_metrics
from trainyard_trainer.frameworks.registry import refuse_later_features


def check_own_code(config: TrainerConfig) -> None:
    """Check the specification before any data is read.

    Raises
    ------
    Unsupported
        For a setting that only built-in frameworks support. To ignore it would look as if it had an effect.
    ConfigError
        For an invalid setting, such as a gate on a metric of unknown direction.
    """
    spec = config.spec
    fields = {
        "spec.search": spec.search is not None,
        "spec.export.onnx": spec.export is not None and spec.export.onnx,
    }
    for field, wanted in fields.items():
        if wanted:
            raise Unsupported(
                f"{field} is not supported for framework {spec.framework}: remove it, your own code can do this"
            )
    refuse_later_features(config)
    check_container_metrics(spec)

"""What a specification may ask of a user's own code, be it an image or a script."""

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.errors import Unsupported
from trainyard_trainer.evaluate.names import check_container_metrics
from trainyard_trainer.frameworks.registry import refuse_later_features


def check_own_code(config: TrainerConfig) -> None:
    """Judge the specification before any data is read.

    Raises
    ------
    Unsupported
        For what only a built-in framework does: silently left out it would look done.
    ConfigError
        For what cannot be, such as a gate of which nobody knows what is better.
    """
    spec = config.spec
    fields = {
        "spec.search": spec.search is not None,
        "spec.export.onnx": spec.export is not None and spec.export.onnx,
    }
    for field, wanted in fields.items():
        if wanted:
            raise Unsupported(f"{field} is not for framework {spec.framework}: leave it out, your own code can do it")
    refuse_later_features(config)
    check_container_metrics(spec)

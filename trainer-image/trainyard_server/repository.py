"""The model repository of this process: it holds the one model to serve, after that model is loaded."""

from collections.abc import Callable

from kserve import ModelRepository

from trainyard_server.model import ServedModel
from trainyard_server.settings import Target


class OneModelRepository(ModelRepository):  # type: ignore[misc]  # the SDK is not typed
    """Repository of at most one version of one model, and of the target that it must serve.

    Parameters
    ----------
    load
        Fetches, verifies, reads and tests a version. It blocks until it is done.
    """

    def __init__(self, wanted: Target, load: Callable[[Target], ServedModel]) -> None:
        super().__init__(models_dir="")
        self.wanted = wanted
        self.draining = False
        self._load = load

    @property
    def served(self) -> ServedModel | None:
        """The model in memory, if it is the requested version with the requested digest."""
        model: ServedModel | None = self.get_model(self.wanted.model)
        return model if model is not None and model.loaded.target == self.wanted else None

    @property
    def ready(self) -> bool:
        """Whether the process accepts new requests. While it drains, it is not ready but still completes requests."""
        return self.served is not None and not self.draining

    async def is_model_ready(self, name: str) -> bool:
        """Return whether the model is ready. Only the name of the requested model can be ready."""
        return name == self.wanted.model and self.ready

    def load(self, name: str) -> bool:
        """Load the requested version, then publish it with one assignment. Raises TrainerError."""
        if name != self.wanted.model:
            return False
        self.update(self._load(self.wanted), name)
        return True

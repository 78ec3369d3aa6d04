"""The models of this process: the one it shall serve, once it is loaded."""

from collections.abc import Callable

from kserve import ModelRepository

from trainyard_server.model import ServedModel
from trainyard_server.settings import Target


class OneModelRepository(ModelRepository):  # type: ignore[misc]  # the SDK is not typed
    """Holds at most one version of one model and knows which one is wanted.

    Parameters
    ----------
    load
        Fetches, verifies, reads and tries a version; blocks for as long as that takes.
    """

    def __init__(self, wanted: Target, load: Callable[[Target], ServedModel]) -> None:
        super().__init__(models_dir="")
        self.wanted = wanted
        self.draining = False
        self._load = load

    @property
    def served(self) -> ServedModel | None:
        """The model in memory, if it is the wanted version with the wanted digest."""
        model: ServedModel | None = self.get_model(self.wanted.model)
        return model if model is not None and model.loaded.target == self.wanted else None

    @property
    def ready(self) -> bool:
        """Whether new requests should come here. What is under way is answered while draining too."""
        return self.served is not None and not self.draining

    async def is_model_ready(self, name: str) -> bool:
        """Answer for the name of the wanted model; there is no other."""
        return name == self.wanted.model and self.ready

    def load(self, name: str) -> bool:
        """Build the wanted version, then put it in place by one assignment. Raises TrainerError."""
        if name != self.wanted.model:
            return False
        self.update(self._load(self.wanted), name)
        return True

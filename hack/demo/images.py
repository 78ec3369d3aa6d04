"""The two images, as far as the cluster needs them."""

from cluster.model import Cluster, Progress
from demo.install import source_tag

REPOSITORIES = {"operator": "trainyard-operator", "trainer": "trainyard-trainer"}


def provide_images(cluster: Cluster, progress: Progress) -> dict[str, tuple[str, str]]:
    """Return repository and tag of both images, built and loaded where the cluster runs images."""
    tag = source_tag()
    progress("none needed: pods run the programs of this checkout")
    return {part: (repository, tag) for part, repository in REPOSITORIES.items()}

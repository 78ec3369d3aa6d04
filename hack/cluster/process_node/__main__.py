"""`python -m cluster.process_node SETTINGS.json`: run one process node until it is killed."""

import asyncio
import logging
import sys
from pathlib import Path

from cluster.process_node.node import run_node
from cluster.process_node.settings import NodeSettings

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(run_node(NodeSettings.model_validate_json(Path(sys.argv[1]).read_bytes())))

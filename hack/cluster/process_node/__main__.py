"""`python -m cluster.process_node`: run one process node in the foreground."""

import argparse
import asyncio
import logging
from pathlib import Path

from cluster.process_node.client import Access
from cluster.process_node.node import NodeSettings, run_node


def main() -> None:
    """Parse the command line and run the node until the process is killed."""
    parser = argparse.ArgumentParser(
        prog="process_node", description="A Kubernetes node whose pods are local processes."
    )
    parser.add_argument("--name", required=True, help="name of the Node object")
    parser.add_argument("--server", required=True, help="URL of the API server")
    parser.add_argument("--ca", required=True, type=Path, help="certificate of the cluster's CA")
    parser.add_argument("--certificate", required=True, type=Path, help="certificate of system:node:NAME")
    parser.add_argument("--key", required=True, type=Path, help="its private key")
    parser.add_argument("--folder", required=True, type=Path, help="folder of the pods and their volumes; a short path")
    parser.add_argument("--programs", required=True, type=Path, help="JSON file: image -> program")
    parser.add_argument("--search-path", required=True, help="PATH of all containers")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    access = Access(options.server, options.ca, options.certificate, options.key)
    settings = NodeSettings(options.name, access, options.folder, options.programs, options.search_path)
    asyncio.run(run_node(settings))


if __name__ == "__main__":
    main()

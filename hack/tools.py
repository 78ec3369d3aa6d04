"""Build every program that the clusters and the tests need, so that no test waits for a compiler.

    python hack/tools.py            # or: make tools

Minutes on a new machine, nothing afterwards: what is built stays in the cache.
"""

import sys

from cluster import releases, toolchain
from cluster.model import ClusterError


def main() -> int:
    """Build what is missing, and return the exit code."""
    try:
        for tools in (*toolchain.TOOL_SETS, releases.OLDEST.options().server):
            for program in tools.programs if tools is not None else ():
                toolchain.ensure(program, print, tools)
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

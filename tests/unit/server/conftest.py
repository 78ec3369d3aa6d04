"""kserve reads the arguments of its process on import. Without this, it would read those of pytest."""

import sys

_arguments, sys.argv[1:] = sys.argv[1:], []
try:
    import kserve  # noqa: F401
finally:
    sys.argv[1:] = _arguments

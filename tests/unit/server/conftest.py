"""kserve reads the arguments of its process as soon as it is imported, and would take pytest's for its own."""

import sys

_arguments, sys.argv[1:] = sys.argv[1:], []
try:
    import kserve  # noqa: F401
finally:
    sys.argv[1:] = _arguments

"""``python -m trainyard_server``."""

import sys

from trainyard_server.cli import main

sys.exit(main())

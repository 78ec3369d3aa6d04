"""``python -m trainyard_trainer``."""

import sys

from trainyard_trainer.cli import main

sys.exit(main())

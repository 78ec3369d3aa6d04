"""Imported by the fork server alone, never by the trainer: its workers then start with statsforecast in memory.

The thread limits must stand before numpy is imported: a worker is one process per core, and a fit has one thread.
"""

import os

from trainyard_trainer.environment import THREAD_VARIABLES

for _variable in THREAD_VARIABLES:
    os.environ[_variable] = "1"

from statsforecast import models  # noqa: E402, F401 - see above

from trainyard_trainer.frameworks.statsforecast import fit  # noqa: E402, F401 - see above

"""Imported only by the fork server, not by the trainer, so that its workers start with Prophet in memory.

The thread limits must be set before NumPy is imported. There is one worker process per core, and a fit uses one thread.
"""

import os

from trainyard_trainer.environment import THREAD_VARIABLES

for _variable in THREAD_VARIABLES:
    os.environ[_variable] = "1"

from trainyard_trainer.frameworks.prophet import choice as prophet_choice  # noqa: E402, F401 - see above
from trainyard_trainer.frameworks.prophet import series as prophet_series  # noqa: E402 - see above

prophet_series.quiet_prophet()

"""Imported by the fork server alone, never by the trainer: its workers then start with Prophet already in memory.

The thread limits must stand before numpy is imported: a worker is one process per core, and a fit has one thread.
"""

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ[_variable] = "1"

from trainyard_trainer.frameworks import prophet_choice, prophet_series  # noqa: E402, F401 - see above

prophet_series.quiet_prophet()

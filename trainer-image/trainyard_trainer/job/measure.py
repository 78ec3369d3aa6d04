"""The cost of predictions of a saved model, measured while it is tested. The measurement must be cheap.

The values differ between runs and machines. They do not describe the model, so no digest of its content includes them.
"""

import ctypes
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from trainyard_trainer.artifacts.manifest import Latency
from trainyard_trainer.frameworks.base import Framework, Golden

MAX_CALLS: Final = 50
MIN_CALLS: Final = 5
MAX_SECONDS: Final = 0.15
"""Time limit of all calls together, after the first ``MIN_CALLS``."""

_STATM: Final = Path("/proc/self/statm")

Result = TypeVar("Result")


def latency(framework: Framework, model: Any, golden: Golden) -> Latency | None:
    """Return the latency of the prediction of one row, measured over the golden rows. ``None`` if there are none.

    The model has predicted before, so nothing is loaded or compiled any more.
    """
    if golden.inputs.empty:
        return None
    rows = itertools.cycle([golden.inputs.iloc[[index]] for index in range(len(golden.inputs))])
    begin, taken = time.perf_counter(), list[float]()
    while len(taken) < MIN_CALLS or (len(taken) < MAX_CALLS and time.perf_counter() - begin < MAX_SECONDS):
        row, before = next(rows), time.perf_counter()
        framework.predict(model, row)
        taken.append(1000 * (time.perf_counter() - before))
    median, slow = np.percentile(taken, [50, 95])
    return Latency(p50_ms=round(float(median), 3), p95_ms=round(float(slow), 3), calls=len(taken))


def with_memory(work: Callable[[], Result]) -> tuple[Result, int | None]:
    """Return the result of ``work``, and by how many bytes the resident memory of the process grew.

    Freed memory is first returned to the system, because otherwise ``work`` would reuse it and seem to need none. The
    growth is ``None`` except with glibc on Linux, where both are possible.
    """
    before = _resident() if _trim_heap() else None
    result = work()
    after = _resident()
    return result, None if before is None or after is None else max(0, after - before)


def _trim_heap() -> bool:
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return False
    return True


def _resident() -> int | None:
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None

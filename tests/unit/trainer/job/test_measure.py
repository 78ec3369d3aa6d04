"""The measured cost of predictions: within a time limit, and empty if unknown."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.unit.trainer.job.mean import MeanFramework
from trainyard_trainer.frameworks.base import Golden
from trainyard_trainer.job.measure import MAX_CALLS, MAX_SECONDS, MIN_CALLS, latency, with_memory

ROWS = pd.DataFrame({"a": [1.0, 2.0]})
GOLDEN = Golden(ROWS, pd.DataFrame({"prediction": [1.0, 1.0]}))


class Slow(MeanFramework):
    def predict(self, model: Any, inputs: pd.DataFrame) -> pd.DataFrame:
        assert len(inputs) == 1
        time.sleep(MAX_SECONDS)
        return super().predict(model, inputs)


def test_a_quick_model_predicts_one_row_fifty_times() -> None:
    found = latency(MeanFramework(), 1.0, GOLDEN)
    assert found is not None
    assert found.calls <= MAX_CALLS
    assert 0 <= found.p50_ms <= found.p95_ms


def test_a_slow_model_predicts_a_few_times() -> None:
    begin = time.perf_counter()
    found = latency(Slow(), 1.0, GOLDEN)
    assert found is not None
    assert found.calls == MIN_CALLS
    assert 1000 * MAX_SECONDS <= found.p50_ms <= 1000 * (time.perf_counter() - begin)


def test_without_golden_rows_there_is_no_latency() -> None:
    assert latency(MeanFramework(), 1.0, Golden(pd.DataFrame(), pd.DataFrame())) is None


def test_memory_that_was_freed_before_is_not_reused() -> None:
    freed = [bytearray(10_000) for _ in range(5_000)]
    del freed
    kept, grown = with_memory(lambda: np.ones(8_000_000))
    assert kept.nbytes == 64_000_000
    if Path("/proc/self/statm").exists():
        assert grown is not None
        assert 0.9 * kept.nbytes <= grown <= 1.3 * kept.nbytes

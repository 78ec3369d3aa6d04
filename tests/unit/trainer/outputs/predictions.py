"""What the tests of outputs share: a run, its predictions, and a store that dies before or after one of its calls."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from tests.unit.trainer.artifacts.runs import Killed
from trainyard_trainer.artifacts.store import ArtifactStore, Stored
from trainyard_trainer.outputs.base import Facts, Run
from trainyard_trainer.outputs.files import MARKER

Result = TypeVar("Result")

RUN = Run(uid="0b4e", name="nightly", namespace="shop", model="demand", version=7)
OTHER = Run(uid="77aa", name="nightly-2", namespace="shop", model="demand", version=8)
FACTS = Facts("2026-11-30T00:00:00Z", series=3, left_out=1)
NEXT_DAY = Facts("2026-12-01T00:00:00Z", series=3, left_out=1)

SCHEMA = pa.schema(
    [
        ("series", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("as_of", pa.timestamp("us", "UTC")),
        ("step", pa.int32()),
        ("prediction", pa.float64()),
        ("quantile:0.1", pa.float64()),
        ("model", pa.string()),
        ("version", pa.int64()),
        ("run", pa.string()),
    ]
)
SERIES = ("bread", "rolls", 'a "cake", fresh\nfrom today')
STEPS = 4
ROWS = len(SERIES) * STEPS


def forecasts(run: Run = RUN, facts: Facts = FACTS) -> Iterator[pa.Table]:
    """Yield one table per series."""
    as_of = datetime.fromisoformat(facts.as_of or "")
    for number, name in enumerate(SERIES):
        yield pa.table(
            {
                "series": [name] * STEPS,
                "time": [as_of + timedelta(days=step) for step in range(1, STEPS + 1)],
                "as_of": [as_of] * STEPS,
                "step": list(range(1, STEPS + 1)),
                "prediction": [number + step / 10 + run.version for step in range(STEPS)],
                "quantile:0.1": [None if step == 0 else 0.1 * step for step in range(STEPS)],
                "model": [run.model] * STEPS,
                "version": [run.version] * STEPS,
                "run": [run.uid] * STEPS,
            },
            schema=SCHEMA,
        )


def go_on() -> None:
    """Nothing stops the process."""


class DyingStore:
    """Passes everything on; call number ``at`` (0-based) ends the process, done or not done."""

    def __init__(self, inner: ArtifactStore, at: int, *, after: bool) -> None:
        self._inner, self._at, self._after = inner, at, after
        self._calls = itertools.count()

    def _call(self, act: Callable[[], Result]) -> Result:
        number = next(self._calls)
        if number == self._at and not self._after:
            raise Killed
        result = act()
        if number == self._at:
            raise Killed
        return result

    def put_file(self, key: str, source: Path) -> None:
        self._call(lambda: self._inner.put_file(key, source))

    def put_if_absent(self, key: str, body: bytes) -> bool:
        return self._call(lambda: self._inner.put_if_absent(key, body))

    def replace(self, key: str, body: bytes) -> None:
        self._call(lambda: self._inner.replace(key, body))

    def remove(self, keys: Sequence[str]) -> None:
        self._call(lambda: self._inner.remove(keys))

    def get(self, key: str) -> bytes | None:
        return self._call(lambda: self._inner.get(key))

    def size(self, key: str) -> int | None:
        return self._call(lambda: self._inner.size(key))

    def download(self, key: str, target: Path) -> None:
        self._call(lambda: self._inner.download(key, target))

    def address(self, key: str) -> str:
        return self._inner.address(key)

    def children(self, prefix: str) -> list[str]:
        return self._inner.children(prefix)

    def walk(self, prefix: str) -> Iterator[Stored]:
        return self._inner.walk(prefix)


def keys_of(store: ArtifactStore) -> tuple[list[str], list[str]]:
    """Return the data files and the manifests. Names that begin with ``_`` or ``.`` are not data."""
    keys = sorted(stored.key for folder in store.children("") if folder != MARKER for stored in store.walk(folder))
    data = [key for key in keys if not any(part.startswith(("_", ".")) for part in key.split("/"))]
    manifests = [key for key in keys if key.startswith("_runs/") and not key.endswith(".started.json")]
    return data, manifests

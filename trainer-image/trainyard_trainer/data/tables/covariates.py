"""Second tables (weather, traffic, prices): fetch them in parallel, and prepare them for the join.

Each has its own thread, time limit and circuit breaker. So a slow one does not delay the others. After five consecutive
failures (three of an optional one), the circuit opens and there are no requests for 60 (30) s. Then one attempt in
half-open state decides. A table that is not ready within ``timeoutSeconds`` is given up.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pybreaker
import tenacity

from trainyard_api.data import Covariate
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.data.dataset import CovariateTable, Finding
from trainyard_trainer.data.formats import reading
from trainyard_trainer.data.notation import Notation
from trainyard_trainer.data.sources.addresses import Address
from trainyard_trainer.data.sources.files import Source, Ways, bring
from trainyard_trainer.data.values.columns import is_text
from trainyard_trainer.data.values.numbers import read_numbers
from trainyard_trainer.data.values.times import parse_times
from trainyard_trainer.data.wanted import Wanted
from trainyard_trainer.errors import DataError, InputMissing, Interrupted, TrainerError, UpstreamUnavailable
from trainyard_trainer.progress.log import LOGGER

TIME: Final = "time"
KEY: Final = "key"

_GRACE_SECONDS: Final = 2.0
"""Extra time, because a thread that is waiting for a silent server does not notice its own limit at once."""

_POLL_SECONDS: Final = 0.2
"""Time between two checks of whether the pod must stop."""


@dataclass(frozen=True)
class Circuit:
    """When a circuit breaker opens and for how long."""

    failures: int
    open_seconds: float
    wait: tenacity.wait.wait_base = field(default_factory=lambda: tenacity.wait_random_exponential(0.5, max=5))


REQUIRED: Final = Circuit(failures=5, open_seconds=60)
OPTIONAL: Final = Circuit(failures=3, open_seconds=30)


@dataclass(frozen=True)
class Gathered:
    """The result for the covariates. ``digests`` are those of their sources, by name."""

    tables: tuple[CovariateTable, ...] = ()
    findings: tuple[Finding, ...] = ()
    digests: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Read:
    table: CovariateTable
    digest: str
    findings: tuple[Finding, ...]


def gather(
    spec: TrainingJobSpec,
    ways: Ways,
    folder: Path,
    stop: Callable[[], bool],
    required: Circuit = REQUIRED,
    optional: Circuit = OPTIONAL,
) -> Gathered:
    """Fetch and read the covariates of a job in parallel.

    Raises
    ------
    UpstreamUnavailable
        A required one is unavailable or late.
    DataError, NotPermitted, ConfigError
        A required one cannot be used. For an optional one, each of these errors is a finding.
    Interrupted
        ``stop`` returned true.
    """
    results: queue.SimpleQueue[tuple[int, _Read | Exception]] = queue.SimpleQueue()
    covariates = spec.data.covariates or []
    running: list[_One] = []
    for number, covariate in enumerate(covariates):
        location = folder / f"covariate-{number}"
        location.mkdir()
        one = _One(covariate, spec, ways, location, stop, required if covariate.required else optional)
        running.append(one)
        # A daemon thread, because a thread that is waiting for a silent server must not keep the process alive.
        threading.Thread(target=_report, args=(results, number, one), name=covariate.name, daemon=True).start()
    done = _collect(results, running, stop)
    return _sum_up([(covariate, done[number]) for number, covariate in enumerate(covariates)])


def _report(results: "queue.SimpleQueue[tuple[int, _Read | Exception]]", number: int, one: "_One") -> None:
    try:
        results.put((number, one.read()))
    except Exception as error:  # noqa: BLE001 - raised or reported by the thread that asked
        results.put((number, error))


def _collect(
    results: "queue.SimpleQueue[tuple[int, _Read | Exception]]",
    running: Sequence["_One"],
    stop: Callable[[], bool],
) -> dict[int, _Read | Exception]:
    begun = time.monotonic()
    done: dict[int, _Read | Exception] = {}
    while len(done) < len(running):
        if stop():
            raise Interrupted("stopped by a signal while reading data.covariates; the next attempt starts again")
        try:
            number, result = results.get(timeout=_POLL_SECONDS)
            done.setdefault(number, result)
        except queue.Empty:
            elapsed = time.monotonic() - begun
            for number, one in enumerate(running):
                limit = one.covariate.timeout_seconds + _GRACE_SECONDS
                if number not in done and elapsed > limit and not one.is_fetched.is_set():
                    done[number] = _too_late(one.covariate)
    return done


def _sum_up(results: Sequence[tuple[Covariate, _Read | Exception]]) -> Gathered:
    found: list[CovariateTable] = []
    findings: list[Finding] = []
    digests: list[tuple[str, str]] = []
    for covariate, result in results:
        match result:
            case _Read(table, digest, notes):
                found.append(table)
                digests.append((covariate.name, digest))
                findings.extend(notes)
            case Interrupted():
                raise result
            case TrainerError() if not covariate.required:
                text = f"covariate {covariate.name!r} is left out: {result}"
                findings.append(Finding("CovariateLeftOut", "warning", text))
            case InputMissing():
                raise UpstreamUnavailable(f"{result} (this covariate is required; it may exist later)") from result
            case _:
                raise result
    return Gathered(tuple(found), tuple(findings), tuple(digests))


def _field(covariate: Covariate) -> str:
    return f"data.covariates {covariate.name!r}:"


def _too_late(covariate: Covariate) -> UpstreamUnavailable:
    return UpstreamUnavailable(
        f"{_field(covariate)} {covariate.uri} was not available within {covariate.timeout_seconds} s (timeoutSeconds)"
    )


class _Logged(pybreaker.CircuitBreakerListener):
    """Logs each change of a circuit."""

    def state_change(self, cb: pybreaker.CircuitBreaker, old_state: Any, new_state: Any) -> None:
        """Log the change, so that the user sees why there were no requests for a covariate."""
        before = old_state.name if old_state is not None else "new"
        LOGGER.info("circuit of covariate %s: %s -> %s", cb.name, before, new_state.name)


@dataclass(frozen=True)
class _One:
    """One covariate while it is fetched. ``is_fetched`` is set when it only has to be read."""

    covariate: Covariate
    spec: TrainingJobSpec
    ways: Ways
    folder: Path
    stop: Callable[[], bool]
    circuit: Circuit
    is_fetched: threading.Event = field(default_factory=threading.Event)

    def read(self) -> _Read:
        source = self._fetch()
        self.is_fetched.set()
        table, findings = clean(self.covariate, self.spec, source)
        return _Read(table, source.digest, findings)

    def _fetch(self) -> Source:
        limit = self.covariate.timeout_seconds
        breaker = pybreaker.CircuitBreaker(
            fail_max=self.circuit.failures,
            reset_timeout=self.circuit.open_seconds,
            exclude=[lambda error: not isinstance(error, UpstreamUnavailable)],
            listeners=[_Logged()],
            name=self.covariate.name,
        )
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((UpstreamUnavailable, pybreaker.CircuitBreakerError)),
            wait=self._pause,
            stop=tenacity.stop_before_delay(limit),
            sleep=self._sleep,
            reraise=True,
        )
        deadline = time.monotonic() + limit
        try:
            source: Source = retrying(breaker.call, self._attempt, deadline)
        except pybreaker.CircuitBreakerError as error:
            cause = error.__cause__ or error.__context__
            raise UpstreamUnavailable(
                f"{cause or _field(self.covariate)}; {self.circuit.failures} attempts in a row failed, and the next "
                f"attempt would be after the time limit of {limit} s (timeoutSeconds)"
            ) from error
        return source

    def _attempt(self, deadline: float) -> Source:
        def go_on() -> None:
            if self.stop():
                raise Interrupted(f"stopped by a signal while reading covariate {self.covariate.name!r}")
            if time.monotonic() > deadline and not self.is_fetched.is_set():
                raise _too_late(self.covariate)

        left = max(0.1, deadline - time.monotonic())
        http = replace(self.ways.http, attempts=1, silence_seconds=min(self.ways.http.silence_seconds, left))
        address = Address(self.covariate.uri, _field(self.covariate))
        return bring(address, replace(self.ways, http=http), self.folder, go_on)

    def _pause(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, pybreaker.CircuitBreakerError):
            return self.circuit.open_seconds
        return float(self.circuit.wait(state))

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.stop():
                raise Interrupted(f"stopped by a signal while waiting for covariate {self.covariate.name!r}")
            threading.Event().wait(min(left, _POLL_SECONDS))


def clean(covariate: Covariate, spec: TrainingJobSpec, source: Source) -> tuple[CovariateTable, tuple[Finding, ...]]:
    """Read a covariate: its times, its key if it has one, and the named columns.

    If the table has the column of ``data.series``, each row belongs to one series. Otherwise the rows apply to all
    series. For a forecast, the columns must be numbers.

    Raises
    ------
    DataError
        If it cannot be read. The message names the covariate, its address, the column and the row.
    """
    series = spec.data.series
    wanted = (covariate.time, *covariate.columns)
    read = reading.read(
        source,
        Wanted(
            required=wanted,
            columns=(*wanted, *((series,) if series else ())),
            excluded=(),
            texts=(series,) if series else (),
        ),
    )
    frame = read.frame
    try:
        times, findings = parse_times(frame[covariate.time], covariate.time, spec.data.time_zone)
        keyed = series is not None and series in frame.columns and series not in wanted
        columns = {TIME: times}
        if keyed:
            columns[KEY] = frame[series].astype("string")
        for name in covariate.columns:
            columns[f"{covariate.name}.{name}"] = (
                numbers_of(frame[name], name, read.notation) if spec.task == "Forecast" else frame[name]
            )
    except DataError as error:
        raise DataError(f"{source.uri}: {error}") from error
    whole = pd.DataFrame(columns).dropna(subset=[TIME, KEY] if keyed else [TIME])
    identity = [TIME, KEY] if keyed else [TIME]
    repeated = int(whole.duplicated(identity, keep="last").sum())
    if repeated:
        text = f"covariate {covariate.name!r}: {repeated} times occur more than once; the last row of each is used"
        findings = [*findings, Finding("CovariateDuplicates", "warning", text, count=repeated)]
    ordered = whole.drop_duplicates(identity, keep="last").sort_values(TIME, kind="stable", ignore_index=True)
    features = tuple(f"{covariate.name}.{name}" for name in covariate.columns)
    return CovariateTable(covariate.name, ordered, features, keyed, covariate.known_in_future), tuple(findings)


def numbers_of(column: pd.Series, name: str, known: Notation) -> pd.Series:
    """Return a column as numbers for a forecast. Raises DataError, which names the column and the row."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return column.astype("float64")
    if not is_text(column):
        if pd.api.types.is_numeric_dtype(column.dtype):
            return column.astype("float64")
        raise DataError(f"column {name!r} has the type {column.dtype}; a forecast needs numbers")
    read = read_numbers(column, known)
    if read.doubt:
        raise DataError(
            f"column {name!r}: {read.doubt}, and no other value shows which; write numbers without thousands separators"
        )
    if read.bad.any():
        row = int(read.bad.argmax())
        raise DataError(
            f"column {name!r}, data row {row + 1}: {str(column.iloc[row])!r} is not a number; a forecast needs numbers"
        )
    return pd.Series(read.values, index=column.index)

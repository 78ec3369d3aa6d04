"""Trainings are stopped at random moments. The next attempt resumes, and the result equals an uninterrupted one."""

import functools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import yaml

from tests.integration.trainer.conftest import Upload
from tests.integration.trainer.object_store import BUCKET, ObjectStore
from tests.integration.trainer.pod import RUN_SECONDS, Line, Pod
from tests.integration.trainer.tables import forecast, regression, regression_csv, sales_csv
from trainyard_api import meta
from trainyard_api.wire import TrainingResult
from trainyard_trainer.artifacts.folder import FolderStore
from trainyard_trainer.artifacts.manifest import parse_manifest
from trainyard_trainer.artifacts.s3 import S3Store
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.cli.local import RESULT_FILE, local_environment, read_job_file
from trainyard_trainer.job.run import run_job
from trainyard_trainer.progress.log import JsonLines

SERIES = 10
TRIALS = 10
EPOCHS = 20
DELAY_SECONDS = 0.4
"""The longest time between the log line and the signal."""


@dataclass(frozen=True)
class Moment:
    """When an attempt is stopped: a random time after the n-th log line that contains ``text``.

    SIGTERM goes to the trainer, as the kubelet sends it to process 1. SIGKILL goes to all its processes, as when a node
    or a cgroup ends.
    """

    signal: signal.Signals
    text: str
    number: int
    delay: float

    def trigger(self, process: "subprocess.Popen[str]") -> None:
        if self.signal == signal.SIGKILL:
            os.killpg(process.pid, self.signal)
        else:
            process.send_signal(self.signal)


@dataclass(frozen=True)
class Attempt:
    """The end of one process of a job. ``result`` is missing if the process was killed."""

    code: int
    lines: list[Line]
    result: TrainingResult | None

    def messages_with(self, text: str) -> list[str]:
        return [line["message"] for line in self.lines if text in line["message"]]


class Job(Protocol):
    """A job that can be attempted several times, and the storage of its model."""

    store: ArtifactStore
    model: str

    def attempt(self, moment: Moment | None = None) -> Attempt: ...

    def run_here(self) -> Attempt:
        """Do the same work in this process: this saves the seconds for the imports of a new one."""
        ...


class PodJob:
    """Each attempt has the folders of a new pod. Only the object storage stays, as after an eviction."""

    def __init__(self, folder: Path, object_store: ObjectStore, spec: dict[str, Any]) -> None:
        self._pod = Pod(folder, object_store, uid=uuid.uuid4().hex)
        self._spec = spec
        self._attempts = 0
        self.store: ArtifactStore = S3Store(object_store.client(), f"s3://{BUCKET}/pods")
        self.model = f"shop/model-{self._pod.uid}"

    def attempt(self, moment: Moment | None = None) -> Attempt:
        self._attempts += 1
        pod = replace(self._pod, folder=self._pod.folder / str(self._attempts))
        variables = pod._prepare(self._spec, self._attempts)
        return run_trainer([], variables, pod.folder / f"termination-log-{self._attempts}", moment)

    def run_here(self) -> Attempt:
        ended = self._pod.run_here(self._spec)
        return Attempt(ended.code, [], ended.result)


class LocalJob:
    """The same file, run again and again with ``--resume``."""

    def __init__(self, folder: Path, spec: dict[str, Any]) -> None:
        (folder / "work").mkdir(parents=True)
        self._variables = {meta.WORK_DIR_ENV: str(folder / "work")}  # a killed process leaves files here
        self._output = folder / "models"
        self._file = folder / "job.yaml"
        names = {"apiVersion": "trainyard.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "line"}}
        self._file.write_text(yaml.safe_dump({**names, "spec": spec}))
        self.store: ArtifactStore = FolderStore(self._output, f"file://{self._output}")
        self.model = "local/line"

    def attempt(self, moment: Moment | None = None) -> Attempt:
        arguments = ["run", "-f", str(self._file), "--output", str(self._output)]
        again = ["--resume"] if self._output.exists() else []
        return run_trainer([*arguments, *again], self._variables, self._output / RESULT_FILE, moment)

    def run_here(self) -> Attempt:
        env = local_environment({**os.environ, **self._variables}, self._output)
        code = run_job(lambda: read_job_file(self._file, self._output), env, lambda: False, display=JsonLines())
        return Attempt(code, [], TrainingResult.model_validate_json(env.termination_log.read_bytes()))


def run_trainer(arguments: list[str], variables: Mapping[str, str], result: Path, moment: Moment | None) -> Attempt:
    """Run a trainer until it ends or is stopped."""
    lines: list[Line] = []
    timers: list[threading.Timer] = []
    with subprocess.Popen(
        [sys.executable, "-m", "trainyard_trainer", *arguments],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        start_timer(timers, RUN_SECONDS, lambda: os.killpg(process.pid, signal.SIGKILL))
        assert process.stdout is not None
        seen = 0
        try:
            for text in process.stdout:
                lines.append(json.loads(text))
                if moment is not None and moment.text in lines[-1]["message"]:
                    seen += 1
                    if seen == moment.number:
                        start_timer(timers, moment.delay, functools.partial(moment.trigger, process))
            process.wait()
        finally:
            for timer in timers:
                timer.cancel()
    body = result.read_bytes() if result.exists() else b""
    return Attempt(process.returncode, lines, TrainingResult.model_validate_json(body) if body else None)


def start_timer(timers: list[threading.Timer], seconds: float, act: Callable[[], None]) -> None:
    timers.append(threading.Timer(seconds, act))
    timers[-1].start()


def interrupt(
    job: Job, text: str, numbers: range, signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGKILL)
) -> Iterator[tuple[Moment, Attempt]]:
    """Stop one attempt with each of the signals at a random moment. Yield the moment and the attempt.

    A signal may come too late, when the register stage has begun. This attempt then makes the version and is the last
    one.
    """
    rng = random.Random()
    for number in signals:
        moment = Moment(number, text, rng.choice(numbers), rng.uniform(0, DELAY_SECONDS))
        attempt = job.attempt(moment)
        codes = {75, -signal.SIGTERM} if number == signal.SIGTERM else {-signal.SIGKILL}
        assert attempt.code in {0, *codes}, (moment, attempt.lines[-3:])
        yield moment, attempt
        if registered(job):
            return


def checkpoints_of(job: Job) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for uid in job.store.children(f"{job.model}/runs"):
        top = f"{job.model}/runs/{uid}/checkpoints"
        for folder in job.store.children(top):
            for name in job.store.children(f"{top}/{folder}"):
                found[name] = job.store.get(f"{top}/{folder}/{name}") or b""
    return found


def content_of(job: Job) -> str:
    """Return the content digest of the job's only version."""
    assert job.store.children(f"{job.model}/versions") == ["00000001"]
    folders = [
        f"{job.model}/runs/{uid}/{attempt}"
        for uid in job.store.children(f"{job.model}/runs")
        for attempt in job.store.children(f"{job.model}/runs/{uid}")
    ]
    bodies = {folder: job.store.get(f"{folder}/manifest.json") for folder in folders}
    [digest] = [parse_manifest(body, folder).content_sha256 for folder, body in bodies.items() if body is not None]
    assert digest is not None
    return digest


def registered(job: Job) -> bool:
    """Return whether the version exists. If so, no checkpoints are kept, whichever way the attempt ended."""
    return job.store.get(f"{job.model}/versions/00000001/version.json") is not None


def registering_attempt(job: Job, attempt: Attempt) -> Attempt:
    """Return the attempt that made the version: this one, or a new one if this one was stopped before."""
    if registered(job):
        return attempt
    last = job.attempt()
    assert last.code == 0, last.lines[-3:]
    assert checkpoints_of(job) == {}
    return last


def test_a_resumed_prophet_training_fits_no_series_twice(
    object_store: ObjectStore, upload: Upload, tmp_path: Path
) -> None:
    levels = {f"s{number:02}": 50.0 + 10 * number for number in range(SERIES)}
    spec = forecast(upload("resume-sales.csv", sales_csv(**levels)), workers=2)
    uninterrupted = PodJob(tmp_path / "undisturbed", object_store, spec)
    assert uninterrupted.run_here().code == 0
    expected = content_of(uninterrupted)

    job = PodJob(tmp_path / "disturbed", object_store, spec)
    finished = 0
    for moment, each in interrupt(job, f" of {SERIES} series", range(1, 3)):
        attempt = each
        pieces = [line for body in checkpoints_of(job).values() for line in body.splitlines()]
        times = Counter(json.loads(line)["name"] for line in pieces)
        assert set(times.values()) <= {1}, (moment, times)
        assert registered(job) or moment.signal == signal.SIGKILL or times, (
            "after SIGTERM, the finished series are kept"
        )
        assert registered(job) or len(times) >= finished
        finished = len(times)
    last = registering_attempt(job, attempt)
    if finished and last is not attempt:
        (message,) = last.messages_with("already finished")
        assert f" {finished} of {SERIES} series" in message
    assert content_of(job) == expected


def test_a_resumed_search_makes_no_trial_twice(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(regression_csv(3000))
    search = {"trials": TRIALS, "timeoutSeconds": 600}
    spec = regression(f"file://{tmp_path}/table.csv", search=search, parameters={"num_iterations": 40})
    uninterrupted = LocalJob(tmp_path / "undisturbed", spec)
    assert uninterrupted.run_here().code == 0
    expected = content_of(uninterrupted)

    job = LocalJob(tmp_path / "disturbed", spec)
    made: list[str] = []
    for moment, attempt in interrupt(job, f" of {TRIALS} in ", range(1, 5)):
        made += attempt.messages_with(f" of {TRIALS} in ")
        kept = [name for name in checkpoints_of(job) if name.startswith("search")]
        assert registered(job) or len(kept) >= len(made), (moment, kept)
    last = registering_attempt(job, attempt)
    if last is not attempt:
        made += last.messages_with(f" of {TRIALS} in ")
    times = Counter(number_of(message) for message in made)
    assert set(times.values()) == {1}, made
    # A trial is logged after it is recorded. If the trainer is killed in between, one trial has no log line.
    assert len(times) in {max(times), max(times) - 1}
    assert content_of(job) == expected


def number_of(message: str) -> int:
    """Return the number of a trial from its log line: ``trial 3 of 12 in 0.1 s: ...``."""
    return int(message.split()[1])


def test_a_resumed_torch_training_continues_with_the_next_epoch(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(regression_csv(3000))
    parameters = {"epochs": EPOCHS, "patience": EPOCHS, "batch_size": 32}
    spec = regression(f"file://{tmp_path}/table.csv", framework="Torch", parameters=parameters, workers=1)
    uninterrupted = LocalJob(tmp_path / "undisturbed", spec)
    assert uninterrupted.run_here().code == 0
    expected = content_of(uninterrupted)

    job = LocalJob(tmp_path / "disturbed", spec)
    kept: dict[str, bytes] = {}
    for moment, attempt in interrupt(job, "epoch ", range(1, 3)):
        assert continues(attempt, kept), (moment, attempt.lines)
        kept = checkpoints_of(job)
        assert kept or registered(job) or moment.signal == signal.SIGKILL, (
            "after SIGTERM, the last complete epoch is kept"
        )
    last = registering_attempt(job, attempt)
    if last is not attempt:
        assert continues(last, kept), last.lines
    assert content_of(job) == expected


def continues(attempt: Attempt, kept: Mapping[str, bytes]) -> bool:
    """Return whether the attempt continued from the checkpoint, if there was one."""
    epochs = [int(text.split()[1]) for text in attempt.messages_with("epoch ") if text.startswith("epoch ")]
    return not kept or not epochs or epochs[0] > 1

"""A trainer as the kubelet would start it: the folders, Secrets and variables of a pod, without the pod."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.trainer.object_store import BUCKET, ObjectStore
from trainyard_api import meta
from trainyard_api.training import Storage
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import RESULT_MAX_BYTES, TrainerConfig, TrainingResult
from trainyard_trainer.environment import Environment
from trainyard_trainer.job.run import read_config, run_job
from trainyard_trainer.progress.log import JsonLines

RUN_SECONDS = 180

Line = dict[str, Any]


@dataclass
class PodRun:
    """The exit code, the result and the log lines of one run."""

    code: int
    result: TrainingResult
    lines: list[Line]


@dataclass
class Pod:
    """One job. ``run`` starts a process and waits for its end. ``run_here`` does the same work in this process."""

    folder: Path
    store: ObjectStore
    uid: str
    progress_url: str | None = None
    ca: bytes = b""
    secret: Path | None = None
    """The storage's Secret. The default is the administrator's."""
    data_secret: Path | None = None

    def run(self, spec: dict[str, Any], attempt: int = 1, signal_when: Callable[[Line], bool] | None = None) -> PodRun:
        """Run in a new process. SIGTERM is sent at the first log line for which ``signal_when`` is true."""
        variables = self._prepare(spec, attempt)
        lines: list[Line] = []
        with _process({**os.environ, **variables}) as process:
            assert process.stdout is not None
            for text in process.stdout:
                lines.append(json.loads(text))
                if signal_when is not None and signal_when(lines[-1]):
                    process.send_signal(signal.SIGTERM)
                    signal_when = None
        return self._read_run(process.returncode, variables, lines)

    def run_here(self, spec: dict[str, Any], attempt: int = 1, stop: Callable[[], bool] = lambda: False) -> PodRun:
        """Run in this process: this saves the seconds for the imports of a new one."""
        variables = self._prepare(spec, attempt)
        env = Environment.from_environ(variables)
        code = run_job(lambda: read_config(env), env, stop, display=JsonLines())
        return self._read_run(code, variables, [])

    def _prepare(self, spec: dict[str, Any], attempt: int) -> dict[str, str]:
        for name in ("config", "work", "claims"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        storage = Storage(uri=f"s3://{BUCKET}/pods", endpoint=self.store.endpoint)
        config = TrainerConfig(
            namespace="shop",
            name="demand",
            uid=self.uid,
            attempt=attempt,
            model_name=f"model-{self.uid}",
            spec=TrainingJobSpec.model_validate({"storage": storage, **spec}),
            progress_url=self.progress_url,
        )
        (self.folder / "config" / meta.CONFIG_FILE).write_text(config.to_json())
        (self.folder / "config" / meta.TOKEN_FILE).write_text("the-token")
        (self.folder / "config" / meta.CA_FILE).write_bytes(self.ca)
        termination_log = self.folder / f"termination-log-{attempt}"
        termination_log.touch()
        return {
            meta.CONFIG_DIR_ENV: str(self.folder / "config"),
            meta.DATA_SECRET_DIR_ENV: str(self.data_secret or self.folder / "no-secret"),
            meta.STORAGE_SECRET_DIR_ENV: str(self.secret or self.store.admin_secret),
            meta.CLAIMS_DIR_ENV: str(self.folder / "claims"),
            meta.WORK_DIR_ENV: str(self.folder / "work"),
            meta.TERMINATION_LOG_ENV: str(termination_log),
        }

    def _read_run(self, code: int, variables: dict[str, str], lines: list[Line]) -> PodRun:
        body = Path(variables[meta.TERMINATION_LOG_ENV]).read_bytes()
        assert len(body) <= RESULT_MAX_BYTES
        assert list((self.folder / "work").iterdir()) == []
        return PodRun(code, TrainingResult.model_validate_json(body), lines)


@contextmanager
def _process(environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Start a trainer. It is killed after ``RUN_SECONDS``, so that no test blocks for ever."""
    command = [sys.executable, "-m", "trainyard_trainer"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(RUN_SECONDS, process.kill)
        watchdog.start()
        yield process
        process.wait()
        watchdog.cancel()

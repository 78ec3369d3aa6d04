"""Thirty nights of a growing table on a real node: schedule, gates, and the version that serves.

    PYTHONPATH=.:hack .venv/bin/python -m tests.benchmarks.thirty_nights [--nights 30] [--confidence 0.95]

Each night requests a run of a TrainingSchedule. A ModelDeployment serves the newest version that met its gates. The
nights are those of tests/unit/trainer/job/compare/nightly_table.py: equal features, better ones, worse ones, and four
kinds of corrupted data. A night is right if the right version serves afterwards. Prints a row for each night. The run
fails if more than one night is wrong, or if a worse version or one of corrupted data ever serves.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cluster import lifecycle
from tests.e2e.stage import Json, Stage
from tests.unit.trainer.job.compare.nightly_table import (
    BETTER_NIGHT,
    DATA_GATES,
    NIGHTS,
    NOT_WORSE,
    POISON,
    WORSE_NIGHTS,
    is_good,
    spec,
    table,
)
from trainyard_api import API_VERSION, meta

NAME = "nightly"
SECONDS = 240


@dataclass(frozen=True)
class Night:
    """The verdict of one night, and the version that serves after it."""

    number: int
    version: int
    phase: str
    reasons: dict[str, str]
    serving: int
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether a good model serves, or a bad one does not."""
        return is_good(self.number) == (self.serving == self.version)


def main() -> int:
    """Run all nights and print a table. Return the number of wrong nights if it is too large, else 0."""
    options = _options()
    name = options.name or f"bench-{os.getpid()}"
    try:
        return _evaluate(_run_nights(Stage.set_up(name, None), options))
    finally:
        if not options.name:
            lifecycle.down(name, print)


def _run_nights(stage: Stage, options: argparse.Namespace) -> list[Night]:
    gate = NOT_WORSE if options.confidence is None else {**NOT_WORSE, "confidence": options.confidence}
    deployment = {"modelName": NAME, "version": {"policy": "LatestValidated"}, "serving": {"replicas": 1}}
    stage.apply_objects(_object("ModelDeployment", deployment))
    print("| night | what | version | verdict | not met | serves | seconds |\n|---|---|---|---|---|---|---|")
    nights = []
    for number in range(options.nights):
        night = _night(stage, number, [gate, *DATA_GATES])
        nights.append(night)
        missed = ", ".join(f"{metric} {reason}" for metric, reason in night.reasons.items()) or "-"
        cells = f"| {number} | {_what(number)} | {night.version} | {night.phase} | {missed} | {night.serving} |"
        print(f"{cells} {night.seconds:.0f} |{'' if night.is_right else ' WRONG'}", flush=True)
    return nights


def _night(stage: Stage, number: int, gates: list[dict[str, Any]]) -> Night:
    began = time.monotonic()
    uri = stage.put(f"{NAME}.csv", table(number).to_csv(index=False))
    wanted = spec(number)
    template = {"framework": "LightGBM", **wanted, "data": {**wanted["data"], "uri": uri}, "gates": gates}
    schedule = {"schedule": "30 2 * * *", "timeZone": "UTC", "template": {"spec": template}}
    stage.apply_objects(_object("TrainingSchedule", schedule, {meta.RUN_NOW_ANNOTATION: f"night-{number}"}))
    job = _wait(stage, f"night {number} to end", lambda: _ended_job(stage, number))
    name = job["status"]["modelVersion"]["name"]
    version = _wait(stage, f"{name} to be judged", lambda: _judged(stage, name))
    own = int(version["spec"]["version"])
    if version["status"]["phase"] == "Validated":
        _wait(stage, f"version {own} to serve", lambda: _serving(stage) == own)
    reasons = {one["metric"]: one["reason"] for one in version["status"].get("gates") or () if not one["passed"]}
    return Night(number, own, version["status"]["phase"], reasons, _serving(stage), time.monotonic() - began)


def _ended_job(stage: Stage, number: int) -> Json | None:
    """Return the job of this night once it has made its version. There is one job for each night."""
    for job in stage.items("tj", f"{meta.SCHEDULE_LABEL}={NAME}"):
        status = job.get("status", {})
        if status.get("phase") == "Failed":
            raise AssertionError(stage.kubectl("describe", "tj", job["metadata"]["name"]))
        if status.get("phase") == "Succeeded" and status["modelVersion"]["version"] == number + 1:
            return job
    return None


def _judged(stage: Stage, name: str) -> Json | None:
    version = stage.get("mv", name)
    return version if version.get("status", {}).get("phase") in {"Validated", "Rejected"} else None


def _serving(stage: Stage) -> int:
    return int(stage.get("md", NAME).get("status", {}).get("activeVersion") or 0)


def _wait(stage: Stage, what: str, check: Callable[[], Any]) -> Any:
    return stage.wait_until(what, check, SECONDS)


def _what(number: int) -> str:
    if number in POISON:
        return "poisoned"
    if number in WORSE_NIGHTS:
        return "worse features"
    return "better features" if number == BETTER_NIGHT else "equal" if number else "the first"


def _evaluate(nights: list[Night]) -> int:
    wrong = [night.number for night in nights if not night.is_right]
    bad = [number for number in wrong if not is_good(number)]
    print(f"{len(nights) - len(wrong)} of {len(nights)} nights are right; wrong: {wrong or 'none'}")
    return len(wrong) if bad or len(wrong) > 1 else 0


def _object(kind: str, spec: dict[str, Any], annotations: dict[str, str] | None = None) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": NAME, "annotations": annotations or {}},
        "spec": spec,
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=NIGHTS)
    parser.add_argument(
        "--confidence",
        type=float,
        help="confidence of the gate with the champion; without it only the difference decides",
    )
    parser.add_argument("--name", help="name of a cluster to use and to keep (default: a new one)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

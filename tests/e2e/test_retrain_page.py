"""docs/tasks/retrain-every-night.md, command by command: the commands succeed, and print what the page shows."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cluster.kubectl import program
from demo.data import READING_DAYS, machine_readings
from demo.images import ROOT
from demo.install import BUCKET, JOBS_NAMESPACE
from tests.e2e.stage import Json, Stage, condition

PAGE = ROOT / "docs/tasks/retrain-every-night.md"
NAME = "machine-failures"
COMMAND_SECONDS = 300
_PARTS = re.compile(
    r"^## (?P<title>.+)$|^<!-- the test: (?P<night>.+) -->$|^```(?P<kind>\w*)\n(?P<text>(?:.*\n)*?)```$", re.MULTILINE
)


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(failed=np.random.default_rng(1).permutation(frame["failed"].to_numpy()))


NIGHTS: dict[str, Callable[[], pd.DataFrame]] = {
    "forty rows have arrived": lambda: machine_readings(READING_DAYS + 1),
    "the labels are shuffled": lambda: shuffled(machine_readings(READING_DAYS + 2)),
    "the labels are repaired, and vibration is in another unit": lambda: machine_readings(READING_DAYS + 3).assign(
        vibration=lambda frame: frame["vibration"] * 1000
    ),
}
"""The changes of the table, by the page's words for them."""


def steps() -> dict[str, list[re.Match[str]]]:
    """Return the page's nights, commands and outputs, by heading."""
    found: dict[str, list[re.Match[str]]] = {}
    for part in _PARTS.finditer(PAGE.read_text(encoding="utf-8")):
        if part["title"]:
            found[part["title"]] = []
        else:
            found[list(found)[-1]].append(part)
    return found


def normalised(line: str) -> str:
    """Return a line without the parts that differ between runs: numbers, ages, times, names with a hash, width."""
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "TIME", line)
    line = re.sub(rf"{NAME}-[rc][0-9a-f]+", f"{NAME}-RUN", line)
    line = re.sub(r"\b(\d+[smhd])+(?=\s|$)", "AGE", line)
    return " ".join(re.sub(r"-?\d+(\.\d+)?(e-?\d+)?", "N", line).split())


def shows(line: str, output: str) -> bool:
    """Return whether the output has a line of the page. ``...`` stands for what the page leaves out."""
    pattern = ".*".join(re.escape(part) for part in normalised(line).split("..."))
    return any(re.fullmatch(pattern, normalised(each)) for each in output.splitlines())


@dataclass
class Reader:
    """A user with a shell, kubectl and access to the cluster."""

    stage: Stage
    environ: dict[str, str]

    def follow(self, title: str) -> None:
        """Run one step of the page. The output must be what the page shows."""
        output = ""
        for part in steps()[title]:
            if part["night"]:
                self.stage.put("machines.csv", NIGHTS[part["night"]]().to_csv(index=False))
            elif part["kind"] == "sh":
                output = self._run(part["text"])
            else:
                assert [line for line in part["text"].splitlines() if not shows(line, output)] == [], output

    def _run(self, commands: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        print(commands, done.stdout, sep="\n", flush=True)  # the page shows this
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}\n{self._describe_objects()}"
        return done.stdout

    def _describe_objects(self) -> str:
        return "\n".join(self.stage.kubectl("describe", kind) for kind in ("tsched", "md", "tj"))


@pytest.fixture(scope="module")
def reader(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    home = tmp_path_factory.mktemp("reader")
    access, programs = home / "kubeconfig", home / "bin"
    shutil.copy(stage.cluster.kubeconfig, access)  # the page changes the namespace in it
    programs.mkdir()
    (programs / "kubectl").symlink_to(Path(program()))
    delete_model_files(stage)
    stage.put("machines.csv", machine_readings(READING_DAYS).to_csv(index=False))
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    yield Reader(stage, {"PATH": path, "HOME": str(home), "KUBECONFIG": str(access)})
    delete_model_files(stage)


def delete_model_files(stage: Stage) -> None:
    """Delete the model's files: numbers in the storage are never used twice, and the page begins with version 1."""
    client = stage.store.client()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{JOBS_NAMESPACE}/{NAME}/")
    for each in [found["Key"] for page in pages for found in page.get("Contents", [])]:
        client.delete_object(Bucket=BUCKET, Key=each)


def version(stage: Stage, number: int) -> Json:
    return stage.get("mv", f"{NAME}-v{number}")


def failed_gates(body: Json) -> set[str]:
    return {gate["metric"] for gate in body["status"]["gates"] if not gate["passed"]}


@pytest.fixture(scope="module")
def served(reader: Reader) -> Reader:
    reader.follow("Before you start")
    reader.follow("1. Train and serve the first version")
    return reader


@pytest.fixture(scope="module")
def grown(served: Reader) -> Reader:
    served.follow("2. A night with new rows")
    return served


@pytest.fixture(scope="module")
def poisoned(grown: Reader) -> Reader:
    grown.follow("3. A poisoned night")
    return grown


@pytest.fixture(scope="module")
def overruled(poisoned: Reader) -> Reader:
    poisoned.follow("4. Overrule a gate")
    return poisoned


def test_the_first_version_serves(served: Reader) -> None:
    assert served.stage.get("md", NAME)["status"]["activeVersion"] == 1
    reasons = {gate["reason"] for gate in version(served.stage, 1)["status"]["gates"]}
    assert reasons == {"Met", "NoChampion"}


def test_a_version_with_more_data_passes_its_gates(grown: Reader) -> None:
    body = version(grown.stage, 2)
    assert body["spec"]["comparison"]["reason"] == "Compared"
    assert {gate["reason"] for gate in body["status"]["gates"]} == {"Met"}


def test_a_poisoned_night_is_rejected_and_reported_on_all_objects(poisoned: Reader) -> None:
    stage, body = poisoned.stage, version(poisoned.stage, 3)
    assert body["status"]["phase"] == "Rejected"
    assert "data_relation_shift" in failed_gates(body)
    deployment = stage.get("md", NAME)
    assert deployment["status"]["activeVersion"] == 2
    assert condition(deployment, "NewerVersionRejected")["status"] == "True"
    schedule = stage.get("tsched", NAME)
    assert (schedule["status"]["lastAcceptedVersion"], schedule["status"]["consecutiveRejections"]) == (2, 1)
    assert condition(schedule, "Ready")["status"] == "True"
    job = stage.get("tj", body["spec"]["trainingJob"]["name"])
    assert (job["status"]["phase"], job["status"]["verdict"]["phase"]) == ("Succeeded", "Rejected")


def test_a_user_overrules_with_a_reason_and_the_reason_is_kept(overruled: Reader) -> None:
    body = version(overruled.stage, 4)
    assert body["status"]["phase"] == "Validated"
    assert "data_scale_ratio" in failed_gates(body), "the results of the gates are kept"
    assert body["status"]["overruled"]["reason"] == "vibration is in micrometres from now on"
    assert overruled.stage.get("md", NAME)["status"]["activeVersion"] == 4


def test_the_page_cleans_up(overruled: Reader) -> None:
    overruled.follow("Clean up")
    assert overruled.stage.items("mv", f"trainyard.dev/model={NAME}") == []

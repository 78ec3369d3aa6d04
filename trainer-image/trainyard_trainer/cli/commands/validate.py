"""``validate``: check a TrainingJob without training: its specification, and with ``--data`` also its data."""

import os
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Final

from trainyard_api.training import OWN_CODE
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.cli.commands.columns import aligned, size_text
from trainyard_trainer.cli.local import read_job_file
from trainyard_trainer.data.dataset import Dataset, Finding
from trainyard_trainer.environment import Environment

_SEVERITIES: Final = {"error": 0, "warning": 1, "info": 2}
_SERIES_SHOWN: Final = 3


def validate(file: Path, *, data: bool) -> str:
    """Return the result of the checks as text for people.

    Raises
    ------
    TrainerError
        If a training would fail with this error. Message and exit code are the same.
    """
    config = read_job_file(file, Path.cwd())
    check(config)
    what = f"{config.spec.framework}, {config.spec.task}" + (
        "" if config.spec.mode == "Train" else f", mode {config.spec.mode}"
    )
    text = f"{file}: the specification of {config.name} is valid ({what})\n"
    return text + data_report(load(config)) if data else text


def check(config: TrainerConfig) -> None:
    """Check a specification as a training does at its start. Raises ConfigError, Unsupported."""
    from trainyard_trainer.frameworks.registry import framework_for, refuse_later_features

    if config.spec.mode == "Prepare":
        refuse_later_features(config)
    elif config.spec.framework in OWN_CODE:
        from trainyard_trainer.job.container.spec_checks import check_own_code

        check_own_code(config)
    else:
        framework_for(config)


def load(config: TrainerConfig) -> Dataset:
    """Read and check the data as a training does. Raises TrainerError."""
    from trainyard_trainer.data.loading import load as read
    from trainyard_trainer.data.preprocessing import preprocess

    with tempfile.TemporaryDirectory(prefix="trainyard-") as work:
        env = replace(Environment.from_environ(os.environ), work_dir=Path(work))
        return preprocess(read(config, env, lambda *_: None, lambda: False), config)


def data_report(dataset: Dataset) -> str:
    """Return the findings by code, most severe first, each with its count and its first message."""
    origin = dataset.origin
    series = f" in {len(dataset.series)} of {dataset.series_total} series" if dataset.series else ""
    head = f"{origin.uri}: {dataset.rows} usable rows{series}, {size_text(origin.size_bytes)}, {origin.digest}\n"
    by_code: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in dataset.findings:
        by_code[finding.severity, finding.code].append(finding)
    rows = [
        (severity, code, str(len(found)), _words(found))
        for (severity, code), found in sorted(by_code.items(), key=lambda item: (_SEVERITIES[item[0][0]], item[0][1]))
    ]
    return head + (aligned([("severity", "code", "times", "first"), *rows], "  ") if rows else "  no findings\n")


def _words(found: list[Finding]) -> str:
    first = found[0]
    if first.series is None:
        return first.message
    names = ", ".join(str(finding.series) for finding in found[:_SERIES_SHOWN])
    more = f" and {len(found) - _SERIES_SHOWN} more" if len(found) > _SERIES_SHOWN else ""
    return f"{first.message} (series {names}{more})"

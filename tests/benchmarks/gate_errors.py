"""How often a gate with a confidence rejects an equal model, and how often it accepts a worse one.

Each run has its own seed and data. A champion is trained on 5,000 rows. The next night has 1,000 more rows and three
candidates. The first has the same parameters (a rejection is a false rejection). The second lacks the best feature, and
the third has only two stumps (an acceptance of one of these is a false acceptance). The gate requires ``auc`` within 3
% of the champion's with ``confidence: 0.95``.

    PYTHONPATH=. .venv/bin/python tests/benchmarks/gate_errors.py --runs 200
"""

import argparse
import logging
import tempfile
from collections import Counter
from pathlib import Path

import pandas as pd

from tests.unit.trainer.job.compare.nights import QUICK, Nights, machines, ref
from trainyard_api.training import Gate
from trainyard_operator.core.champion import Chosen
from trainyard_operator.core.version.gates import Candidate, Champion, judge

ROWS, MORE = 5_000, 1_000
GATE = {"metric": "auc", "compareTo": "Champion", "tolerance": 0.03, "confidence": 0.95}
ALL, FEWER = ["heat", "load", "noise", "age"], ["load", "noise", "age"]


def reason_of(nights, champion, frame, features, **parameters):
    result = nights.train(frame, champion=ref(champion), gates=[GATE], **spec_with(features, **parameters))
    metrics = {metric.name: metric.value for metric in result.metrics}
    compared_with = Champion(Chosen(champion.model_version.version, champion.artifact.manifest_sha256, None), {})
    candidate = Candidate(metrics, result.holdout_digest, comparison=result.comparison)
    return judge([Gate.model_validate(GATE)], candidate, compared_with)[0].reason


def spec_with(features, **parameters):
    data = {"target": "failed", "features": features}
    return {"task": "Classification", "data": data, "parameters": {**QUICK, **parameters}}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args().runs
    logging.disable(logging.CRITICAL)
    reasons_by_candidate: dict[str, Counter[str]] = {
        "equal": Counter(),
        "without its best feature": Counter(),
        "two stumps": Counter(),
    }
    for seed in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            nights = Nights(Path(folder))
            old, new = machines(ROWS, seed=2 * seed), machines(MORE, seed=2 * seed + 1)
            champion = nights.train(old, **spec_with(ALL))
            grown = pd.concat([old, new], ignore_index=True)
            reasons_by_candidate["equal"][reason_of(nights, champion, grown, ALL)] += 1
            reasons_by_candidate["without its best feature"][reason_of(nights, champion, grown, FEWER)] += 1
            reasons_by_candidate["two stumps"][
                reason_of(nights, champion, grown, ALL, num_iterations=2, num_leaves=2)
            ] += 1
    for name, reasons in reasons_by_candidate.items():
        wrong = runs - reasons["Met"] if name == "equal" else reasons["Met"]
        what = "false refusals" if name == "equal" else "false acceptances"
        print(f"{name}: {what} {wrong} of {runs} ({wrong / runs:.1%}); {dict(reasons)}")


if __name__ == "__main__":
    main()

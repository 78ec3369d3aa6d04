"""More of the corpus of bad inputs: YAML, specifications of every feature, and scripts, each in a local run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.trainer.tables import sales_csv
from tests.integration.trainer.test_malformed import BadInput, completion, job_file

GOOD = """
apiVersion: trainyard.dev/v1alpha1
kind: TrainingJob
metadata: {name: job}
spec:
  framework: LightGBM
  task: Regression
  data:
    uri: file:///nowhere/t.csv
    target: y
"""


@dataclass(frozen=True)
class BadFile:
    """A good file with one replacement. If ``old`` is empty, ``new`` is the whole file."""

    name: str
    said: str
    old: str
    new: str


BAD_FILES = [
    BadFile("empty file", "contains 0 objects of kind TrainingJob", "", ""),
    BadFile("no object", "contains 0 objects of kind TrainingJob", "", "- framework: LightGBM\n"),
    BadFile("another kind", "contains 0 objects of kind TrainingJob", "kind: TrainingJob", "kind: Trainingjob"),
    BadFile("two objects", "contains 2 objects of kind TrainingJob", "", GOOD + "---" + GOOD),
    BadFile("another version", "apiVersion is 'trainyard.dev/v1'", "/v1alpha1", "/v1"),
    BadFile("tabs", "is not YAML", "  framework", "\tframework"),
    BadFile("open bracket", "is not YAML", "{name: job}", "{name: job"),
    BadFile("wrong indentation", "is not YAML", "    target: y", "   target: y"),
    BadFile(
        "a tag", "is not YAML: could not determine a constructor", "target: y", "target: !!python/name:os.system y"
    ),
    BadFile("an unknown alias", "is not YAML: found undefined alias", "target: y", "target: *y"),
    BadFile("a key twice", "the key 'target' occurs twice", "    target: y", "    target: y\n    target: z"),
    BadFile("no name", "metadata.name: is required", "{name: job}", "{}"),
    BadFile("a number as name", "metadata.name: Input should be a valid string", "{name: job}", "{name: 5}"),
    BadFile("a long name", "metadata.name: must be at most 52 characters", "{name: job}", "{name: %s}" % ("a" * 53)),
    BadFile("no spec", "spec: is required", "spec:", "specs:"),
    BadFile("a list as spec", "spec: Input should be a valid dictionary", GOOD[GOOD.index("spec:") :], "spec: []"),
    BadFile("a date as column", "spec.data.target: Input should be a valid string", "target: y", "target: 2026-01-01"),
    BadFile("yes as column", "spec.data.target: Input should be a valid string", "target: y", "target: yes"),
    BadFile("null as column", "spec.data.target", "target: y", "target:"),
    BadFile("an unknown field", "spec.data.tarrget: unknown field", "target: y", "target: y\n    tarrget: y"),
    BadFile("no source", "exactly one of uri and sql", "    uri: file:///nowhere/t.csv\n", ""),
]


@pytest.mark.parametrize("text", BAD_FILES, ids=lambda text: text.name)
def test_a_bad_file_ends_with_64_and_a_message(text: BadFile, tmp_path: Path) -> None:
    assert text.old in GOOD
    file = tmp_path / "job.yaml"
    file.write_text(GOOD.replace(text.old, text.new) if text.old else text.new)
    code, message = completion(file, tmp_path / "out", {})
    assert (code, text.said in message) == (64, True), message
    assert "\n" not in message


# ---- specifications --------------------------------------------------------------------------------------------------

SALES = sales_csv(bread=100)


def bad_spec(name: str, code: int, said: str, **spec: Any) -> BadInput:
    """A good table with a bad specification."""
    return BadInput(name, code, said, spec=spec)


def bad_forecast(name: str, code: int, said: str, data: dict[str, Any] | None = None, **spec: Any) -> BadInput:
    """A good table with a bad specification of a forecast."""
    roles = {"time": "date", "series": "product", "target": "sold", **(data or {})}
    base = {"framework": "Prophet", "task": "Forecast", "forecast": {"horizon": 14}}
    return BadInput(name, code, said, {"t.csv": SALES}, roles, {**base, **spec})


def bad_search(name: str, said: str, code: int = 64, **dimensions: Any) -> BadInput:
    """A bad search space."""
    return bad_spec(name, code, said, search={"space": dimensions})


BAD_SPECS = [
    # ---- task and framework
    bad_spec("unknown framework", 64, "spec.framework: Input should be", framework="XGBoost"),
    bad_spec("unknown task", 64, "spec.task: Input should be", task="Clustering"),
    bad_spec("unknown mode", 64, "spec.mode: Input should be", mode="Predict"),
    bad_spec("Prophet of rows", 64, "framework Prophet needs task Forecast", framework="Prophet"),
    bad_spec("rows with a horizon", 64, "only task Forecast has it", forecast={"horizon": 3}),
    bad_spec("classes of numbers", 65, "column 'y' (data.target) has 60 classes", task="Classification"),
    bad_spec(
        "a container here", 78, "apply the TrainingJob to a cluster", framework="Container", image="i", command=["c"]
    ),
    # ---- forecasts
    bad_forecast("no column of times", 64, "task Forecast needs data.time", {"time": None}),
    bad_forecast("no horizon", 64, "spec.forecast.horizon: is required", forecast={}),
    bad_forecast("horizon 0", 64, "spec.forecast.horizon: Input should be greater", forecast={"horizon": 0}),
    bad_forecast(
        "half a horizon", 64, "spec.forecast.horizon: Input should be a valid integer", forecast={"horizon": 1.5}
    ),
    bad_forecast("frequency", 64, "spec.forecast.frequency", forecast={"horizon": 3, "frequency": "every day"}),
    bad_forecast("unknown frequency", 64, "frequency", forecast={"horizon": 3, "frequency": "Q7"}),
    bad_forecast(
        "small country", 64, "spec.forecast.holidaysCountry", forecast={"horizon": 3, "holidaysCountry": "fr"}
    ),
    bad_forecast(
        "no country", 64, "holidaysCountry ZZ has no known holidays", forecast={"horizon": 3, "holidaysCountry": "ZZ"}
    ),
    bad_forecast("quantile above 1", 64, "spec.forecast.quantiles[0]", forecast={"horizon": 3, "quantiles": [1.5]}),
    bad_forecast("quantile as text", 64, "spec.forecast.quantiles[0]", forecast={"horizon": 3, "quantiles": ["low"]}),
    bad_forecast("a random split", 64, "spec.split.strategy Random", split={"strategy": "Random"}),
    bad_forecast("Prophet's parameter", 64, "changepoint_prior_scal", parameters={"changepoint_prior_scal": 0.1}),
    bad_forecast("Prophet's value", 64, "seasonality_mode", parameters={"seasonality_mode": "both"}),
    bad_forecast("Prophet as ONNX", 78, "spec.export.onnx: framework Prophet", export={"onnx": True}),
    # ---- splits
    bad_spec("everything tests", 64, "spec.split.testFraction", split={"testFraction": 1.0}),
    bad_spec(
        "nothing to train",
        64,
        "the sum of testFraction and validationFraction must be less than 1",
        split={"testFraction": 0.5, "validationFraction": 0.5},
    ),
    bad_spec("unknown split", 64, "spec.split.strategy: Input should be", split={"strategy": "Sorted"}),
    bad_spec("group without one", 64, "split.strategy Group needs data.group", split={"strategy": "Group"}),
    bad_spec("time without one", 64, "split.strategy Time needs data.time", split={"strategy": "Time"}),
    bad_spec("strata of numbers", 64, "Stratified needs task Classification", split={"strategy": "Stratified"}),
    # ---- objective and gates
    bad_spec("a metric of classes", 64, "auc", objective={"metric": "auc"}),
    bad_spec("a metric that is a sentence", 64, "spec.objective.metric", objective={"metric": "the error"}),
    bad_spec("unknown goal", 64, "spec.objective.goal", objective={"metric": "mae", "goal": "Less"}),
    bad_spec("half a gate", 64, "a gate needs either op and value, or compareTo", gates=[{"metric": "mae"}]),
    bad_spec("tolerance alone", 64, "gate", gates=[{"metric": "mae", "op": "<", "value": 1, "tolerance": 0.1}]),
    bad_spec("unknown operator", 64, "spec.gates[0].op", gates=[{"metric": "mae", "op": "=<", "value": 1}]),
    bad_spec("a gate of classes", 64, "f1", gates=[{"metric": "f1", "op": ">", "value": 0.5}]),
    # ---- parameters and search
    bad_spec("a value that is none", 64, "num_leaves", parameters={"num_leaves": "many"}),
    bad_spec("too few leaves", 64, "num_leaves", parameters={"num_leaves": 1}),
    bad_spec("the trainer's own", 64, "num_threads", parameters={"num_threads": 64}),
    bad_spec("no trials", 64, "spec.search.trials", search={"trials": 0}),
    bad_spec("no time", 64, "spec.search.timeoutSeconds", search={"timeoutSeconds": 0}),
    bad_spec(
        "unknown class", 64, "spec.search.adaptiveTrials.Huge: unknown field", search={"adaptiveTrials": {"Huge": 3}}
    ),
    bad_search("empty space", "spec.search.space is empty"),
    bad_search("a number as range", "spec.search.space.num_leaves: must not be 31", num_leaves=31),
    bad_search("no type", "spec.search.space.num_leaves", num_leaves={"low": 2, "high": 9}),
    bad_search("unknown type", "spec.search.space.num_leaves", num_leaves={"type": "Integer", "low": 2, "high": 9}),
    bad_search("upside down", "spec.search.space.num_leaves", num_leaves={"type": "Int", "low": 9, "high": 2}),
    bad_search("half a leaf", "spec.search.space.num_leaves.low", num_leaves={"type": "Int", "low": 2.5, "high": 9}),
    bad_search("log of 0", "spec.search.space.eta", eta={"type": "Float", "low": 0, "high": 1, "log": True}),
    bad_search("a default outside", "default", num_leaves={"type": "Int", "low": 2, "high": 9, "default": 31}),
    bad_search("no choice", "spec.search.space.boosting.choices", boosting={"choices": []}),
    bad_search("a choice twice", "twice", boosting={"choices": ["gbdt", "gbdt"]}),
    bad_search("an unknown parameter", "num_leafs", num_leafs={"type": "Int", "low": 2, "high": 9}),
    # ---- shards, workers, and what a pod needs
    bad_spec("half a shard", 64, "spec.shards", shards=0.5),
    bad_spec("shards of one model", 78, "spec.shards 3", shards=3),
    bad_spec("shards of a dataset", 78, "leave it out for mode Prepare", shards=3, mode="Prepare"),
    bad_spec("negative workers", 64, "spec.workers", workers=-1),
    bad_spec("no attempt", 64, "spec.retry.maxAttempts", retry={"maxAttempts": 0}),
    bad_spec("no device", 64, "spec.accelerator.count", accelerator={"count": 0}),
    bad_spec("a priority of one's own", 64, "spec.priority: Input should be", priority="Highest"),
    bad_spec(
        "two values", 64, "value", env=[{"name": "A", "value": "1", "valueFrom": {"secretKeyRef": {"name": "s"}}}]
    ),
    bad_spec("storage on the web", 64, "storage.uri must start with", storage={"uri": "https://models.example/"}),
    bad_spec(
        "MLflow without experiment", 64, "mlflow.experiment: is required", tracking={"mlflow": {"uri": "https://m"}}
    ),
    bad_spec("another tracker", 64, "spec.tracking.wandb: unknown field", tracking={"wandb": {"uri": "https://w"}}),
    # ---- Torch
    bad_spec("Torch's parameter", 64, "hiden", framework="Torch", parameters={"hiden": [8]}),
    bad_spec("no epoch", 64, "epochs", framework="Torch", parameters={"epochs": 0}),
]


# ---- scripts ---------------------------------------------------------------------------------------------------------

LEAVE = """
import json, pathlib, sys
config = json.loads(pathlib.Path(sys.argv[1]).read_text())
out = pathlib.Path(config["output"])
(out / "model.txt").write_text("model")
"""


def bad_script(name: str, code: int, said: str, text: str, **spec: Any) -> BadInput:
    """A script with an error."""
    return bad_spec(name, code, said, framework="Script", script={"inline": text}, **spec)


SCRIPTS = [
    bad_spec("no script", 64, "framework Script needs the section script", framework="Script"),
    bad_spec("a script of another", 64, "only framework Script has it", script={"inline": "x"}),
    bad_spec("two scripts", 64, "exactly one of", framework="Script", script={"inline": "x", "uri": "https://x"}),
    bad_spec("an empty script", 64, "spec.script.inline", framework="Script", script={"inline": ""}),
    bad_spec("no such script", 66, "gone.py", framework="Script", script={"uri": "file:///nowhere/gone.py"}),
    bad_script("a search", 78, "spec.search is not supported for framework Script", "pass", search={"trials": 3}),
    bad_script("syntax", 1, "SyntaxError", "def x(:\n"),
    bad_script("an exception", 1, "ValueError: no rows", "raise ValueError('no rows')"),
    bad_script("an unknown library", 1, "ModuleNotFoundError", "import nothing_like_it"),
    bad_script("its own code", 64, "exit code 64", "raise SystemExit(64)"),
    bad_script("nothing left", 65, "wrote no model", "pass"),
    bad_script("no metrics", 65, "metrics.json", LEAVE),
    bad_script("broken metrics", 65, "metrics.json", LEAVE + "(out / 'metrics.json').write_text('{')"),
    bad_script(
        "a list of metrics", 65, "metrics.json contains a list", LEAVE + "(out / 'metrics.json').write_text('[1]')"
    ),
    bad_script("no finite metric", 65, "no finite", LEAVE + "(out / 'metrics.json').write_text('{\"mae\": NaN}')"),
    bad_script("text as metric", 65, "mae is", LEAVE + "(out / 'metrics.json').write_text('{\"mae\": \"low\"}')"),
    bad_script(
        "a strange name",
        65,
        "is not a valid name of a metric",
        LEAVE + "(out / 'metrics.json').write_text('{\"1 2\": 1}')",
    ),
    bad_script(
        "metrics alone", 65, "no model", LEAVE.replace("model.txt", "metrics.json").replace('"model"', "'{\"mae\": 1}'")
    ),
    bad_script(
        "a link",
        65,
        "link",
        LEAVE + "(out / 'x').symlink_to('/etc/passwd')\n(out / 'metrics.json').write_text('{\"mae\": 1}')",
    ),
    bad_script(
        "another objective",
        65,
        "rmse",
        LEAVE + "(out / 'metrics.json').write_text('{\"mae\": 1}')",
        objective={"metric": "rmse"},
    ),
]


@pytest.mark.parametrize("bad", [*BAD_SPECS, *SCRIPTS], ids=lambda bad: bad.name)
def test_a_bad_specification_ends_with_its_code_and_a_message(bad: BadInput, tmp_path: Path) -> None:
    file = job_file(bad, tmp_path)
    document = yaml.safe_load(file.read_text())
    for role, value in list(document["spec"]["data"].items()):
        if value is None:
            del document["spec"]["data"][role]
    file.write_text(yaml.safe_dump(document))
    code, message = completion(file, tmp_path / "out", {})
    assert (code, bad.said in message) == (bad.code, True), message
    assert "\n" not in message
    assert not list((tmp_path / "out").rglob("manifest.json"))


def test_the_corpus_has_no_case_twice() -> None:
    names = [*(text.name for text in BAD_FILES), *(bad.name for bad in (*BAD_SPECS, *SCRIPTS))]
    assert len(set(names)) == len(names) >= 100

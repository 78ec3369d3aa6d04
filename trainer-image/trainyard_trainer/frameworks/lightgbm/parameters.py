"""LightGBM's parameters: defaults, and checks of the user's parameters, because LightGBM silently accepts any name."""

import ctypes
import difflib
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import lightgbm
import numpy as np
import numpy.typing as npt

from trainyard_api.training import Task
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.errors import ConfigError

DEFAULT_ROUNDS: Final = 2000
"""An upper bound. Early stopping usually ends the training much earlier."""

DEFAULT_PATIENCE: Final = 50
"""Number of rounds without a better validation score until training stops."""

_REGRESSION: Final = frozenset(
    {
        *("regression", "l2", "mse", "rmse", "regression_l1", "l1", "mae", "mape"),
        *("huber", "fair", "poisson", "quantile", "gamma", "tweedie"),
    }
)
_OBJECTIVES: Final[dict[bool, dict[Task, frozenset[str]]]] = {
    False: {"Regression": _REGRESSION, "Classification": frozenset({"binary"})},
    True: {"Regression": _REGRESSION, "Classification": frozenset({"multiclass", "multiclassova"})},
}

_NOT_NEGATIVE: Final = frozenset({"poisson", "tweedie"})

_SET_ELSEWHERE: Final = {
    "num_threads": "spec.workers",
    "num_class": "the data",
    "verbosity": "trainyard",
    "device_type": "spec.accelerator",
    "seed": "spec.split.seed",
    "categorical_feature": "the data",
    "ignore_column": "spec.data.exclude",
}
"""Parameters that another setting decides, with this setting."""

_FILES_AND_NETWORK: Final = frozenset(
    {
        *("config", "task", "data", "valid", "header", "label_column", "weight_column", "group_column"),
        *("input_model", "output_model", "output_result", "save_binary", "snapshot_freq", "two_round", "pre_partition"),
        *("saved_feature_importance_type", "initscore_filename", "valid_data_initscores", "parser_config_file"),
        *("forcedsplits_filename", "forcedbins_filename", "convert_model", "convert_model_language"),
        *("machines", "machine_list_filename", "num_machines", "local_listen_port", "time_out", "tree_learner"),
        *("predict_raw_score", "predict_leaf_index", "predict_contrib", "precise_float_parser"),
        *("start_iteration_predict", "num_iteration_predict"),
    }
)
"""Parameters of LightGBM's command line. They read files, open ports, or have no effect here."""


_BINNING: Final = (
    *("max_bin", "max_bin_by_feature", "min_data_in_bin", "bin_construct_sample_cnt", "data_random_seed"),
    *("is_enable_sparse", "enable_bundle", "use_missing", "zero_as_missing", "linear_tree", "feature_pre_filter"),
)
"""LightGBM's "dataset parameters" that can be set here. They apply when rows are binned, not when trees are grown."""


def binning(parameters: Mapping[str, Any]) -> str:
    """Return a key of the parameters that affect the bins. Rows with equal keys can share their bins."""
    return json.dumps([parameters.get(name) for name in _BINNING])


@functools.cache
def known_parameters() -> dict[str, tuple[str, ...]]:
    """Return the name and aliases of every parameter, as reported by ``LGBM_DumpParamAliases``."""
    folder = Path(lightgbm.__file__).parent
    library = ctypes.CDLL(str(next(folder.glob("lib/lib_lightgbm.*"))))
    size = ctypes.c_int64(0)
    library.LGBM_DumpParamAliases(ctypes.c_int64(0), ctypes.byref(size), None)
    buffer = ctypes.create_string_buffer(size.value)
    library.LGBM_DumpParamAliases(size, ctypes.byref(size), buffer)
    return {name: tuple(aliases) for name, aliases in json.loads(buffer.value).items()}


def checked(given: Mapping[str, Any], field: str = "spec.parameters") -> dict[str, Any]:
    """Return the user's parameters with LightGBM's main names. ``field`` is their field for messages.

    Raises
    ------
    ConfigError
        If a name is unknown (the message suggests one), is set by trainyard, or is given twice, or if a value is
        nested.
    """
    main_names = {alias: name for name, aliases in known_parameters().items() for alias in (name, *aliases)}
    result: dict[str, Any] = {}
    for key, value in given.items():
        name = main_names.get(key)
        if name is None:
            near = difflib.get_close_matches(key, main_names, n=2)
            hint = f"; did you mean {' or '.join(near)}?" if near else "; see LightGBM's list of parameters"
            raise ConfigError(f"{field}.{key} is not a parameter of LightGBM{hint}")
        if name in _SET_ELSEWHERE:
            raise ConfigError(f"{field}.{key} is decided by {_SET_ELSEWHERE[name]}; leave it out")
        if name in _FILES_AND_NETWORK:
            raise ConfigError(f"{field}.{key} belongs to LightGBM's command line and has no use here; leave it out")
        if name in result:
            raise ConfigError(f"{field}.{key} sets {name} a second time; keep one of the two")
        if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict | list) for one in value)):
            raise ConfigError(f"{field}.{key} must be a number, a text or a list of these")
        result[name] = value
    return result


def check_space(spec: TrainingJobSpec) -> None:
    """Check the names of ``spec.search.space``. Otherwise every set of a search would fail, hours later.

    Raises
    ------
    ConfigError
        As ``checked`` does. Also if ``spec.parameters`` sets an alias of a name, which is a conflict.
    """
    space = (spec.search.space if spec.search else None) or {}
    searched = checked(dict.fromkeys(space, 0), "spec.search.space")
    apart = {name: value for name, value in (spec.parameters or {}).items() if name not in space}
    for name in checked(apart):
        if name in searched:
            raise ConfigError(
                f"spec.search.space and spec.parameters both contain {name} or an alias of it; keep one of the two"
            )


def resolved(given: Mapping[str, Any], task: Task, *, classes: int, seed: int, threads: int) -> dict[str, Any]:
    """Return all training parameters. Those of the user override the defaults.

    They are deterministic: the same data, seed and number of threads give the same model. There are no class weights,
    because they make the probabilities worse. Instead, the threshold is chosen on the validation part.
    """
    user = checked(given)
    several = classes > 2
    objective = "regression" if task == "Regression" else "multiclass" if several else "binary"
    if "objective" in user and str(user["objective"]) not in _OBJECTIVES[several][task]:
        allowed = ", ".join(sorted(_OBJECTIVES[several][task]))
        raise ConfigError(
            f"spec.parameters.objective {user['objective']!r} does not fit the task; use one of {allowed}"
        )
    rows_or_columns = {} if "force_col_wise" in user else {"force_row_wise": True}
    return {
        "objective": objective,
        "learning_rate": 0.05,
        "num_iterations": DEFAULT_ROUNDS,
        "early_stopping_round": DEFAULT_PATIENCE,
        "deterministic": True,
        **rows_or_columns,
        **({"bagging_freq": 1} if "bagging_fraction" in user else {}),  # otherwise LightGBM ignores the fraction
        **user,
        **({"num_class": classes} if several else {}),
        "seed": seed,
        "num_threads": threads,
        "verbosity": -1,
    }


def try_out(given: Mapping[str, Any], task: Task) -> None:
    """Train LightGBM with the parameters on twenty synthetic rows, to find errors before the data is read.

    Raises
    ------
    ConfigError
        If LightGBM rejects a value. The message is that of LightGBM.
    """
    random = np.random.default_rng(0)
    several = str(given.get("objective", "")).startswith("multiclass")
    classes = 0 if task == "Regression" else 3 if several else 2
    parameters = resolved(given, task, classes=classes, seed=0, threads=1)
    target = np.arange(20) % classes if classes else np.arange(1, 21)
    rows = random.random((20, 2))
    known = lightgbm.Dataset(rows, target, params=parameters)
    judge = lightgbm.Dataset(rows, target, params=parameters, reference=known)
    try:
        lightgbm.train(parameters | {"num_iterations": 1}, known, valid_sets=[judge])
    except Exception as error:  # LightGBM raises its own errors, TypeError, ValueError, KeyError, and others
        hint = "; set a metric, or set early_stopping_round to 0" if "early stopping" in str(error) else ""
        raise ConfigError(f"spec.parameters: LightGBM refused a value: {error}{hint}") from error


def check_target(parameters: Mapping[str, Any], target: npt.NDArray[np.float64], name: str) -> None:
    """Check that the objective supports the values of the target.

    Raises
    ------
    ConfigError
        If a value is too small. The message of LightGBM would refer to its source code.
    """
    objective = parameters["objective"]
    least = float(target.min())
    if (objective in _NOT_NEGATIVE and least < 0) or (objective == "gamma" and least <= 0):
        needed = "above 0" if objective == "gamma" else "of 0 or more"
        raise ConfigError(
            f"spec.parameters.objective {objective!r} needs values {needed}, but column {name!r} (data.target) has "
            f"{least:g}; use tweedie for values of 0 and more, or regression for any"
        )

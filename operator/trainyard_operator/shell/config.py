"""Read the configuration file. An error becomes one message."""

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from trainyard_api.base import first_problem
from trainyard_operator.core.config import OperatorConfig

CONFIG_FILE_ENV = "TRAINYARD_CONFIG_FILE"
POD_IP_ENV = "POD_IP"
POD_IP_REFERENCE = "$(POD_IP)"
"""Placeholder in the file, for example for an address to listen on. Only the kubelet knows the pod's address."""


class ConfigError(Exception):
    """The configuration is invalid. The message names the file and the field, and says what to do."""


def load_config(env: Mapping[str, str]) -> OperatorConfig:
    """Return the configuration in the file ``TRAINYARD_CONFIG_FILE``. Without it, every field has its default.

    Raises
    ------
    ConfigError
        If the file cannot be read or is invalid.
    """
    name = env.get(CONFIG_FILE_ENV)
    if not name:
        return OperatorConfig()
    try:
        text = Path(name).read_text("utf-8")
        content = yaml.safe_load(text.replace(POD_IP_REFERENCE, env.get(POD_IP_ENV) or POD_IP_REFERENCE))
    except OSError as error:
        raise ConfigError(f"{name} cannot be read ({error.strerror}); set {CONFIG_FILE_ENV} to the file") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{name} is not YAML: {' '.join(str(error).split())}") from error
    try:
        return OperatorConfig.model_validate(content or {})
    except ValidationError as error:
        more = f" (and {error.error_count() - 1} more errors)" if error.error_count() > 1 else ""
        raise ConfigError(
            f"{name}: {first_problem(error, whole='the file')}; correct it in the chart's values{more}"
        ) from error

"""Read the configuration file; what is wrong with it becomes one sentence."""

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from trainyard_api.base import first_problem
from trainyard_operator.core.config import OperatorConfig

CONFIG_FILE_ENV = "TRAINYARD_CONFIG_FILE"
POD_IP_ENV = "POD_IP"
POD_IP_REFERENCE = "$(POD_IP)"
"""In the file, e.g. as an address to listen on: only the kubelet knows the pod's own."""


class ConfigError(Exception):
    """The configuration cannot be used; the message is one sentence with file, field and what to do."""


def load_config(env: Mapping[str, str]) -> OperatorConfig:
    """Read the file that ``TRAINYARD_CONFIG_FILE`` names; without it, every field has its default.

    Raises
    ------
    ConfigError
        When the file cannot be read or says something that is not understood.
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
        raise ConfigError(f"{name} is no YAML: {' '.join(str(error).split())}") from error
    try:
        return OperatorConfig.model_validate(content or {})
    except ValidationError as error:
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise ConfigError(
            f"{name}: {first_problem(error, whole='the file')}; correct it in the chart's values{more}"
        ) from error

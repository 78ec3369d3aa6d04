"""A training without a cluster: the same YAML, the same pipeline, and models in a folder."""

import uuid
from collections.abc import Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from trainyard_api import API_VERSION
from trainyard_api.base import DnsLabel
from trainyard_api.kinds import PREDICTION_JOB, TRAINING_JOB, KindDefinition
from trainyard_api.predictionjob import PredictionJobSpec
from trainyard_api.training import Storage
from trainyard_api.trainingjob import Artifact, TrainingJobSpec
from trainyard_api.wire import ChampionRef, TrainerConfig
from trainyard_trainer.artifacts.folder import FolderStore
from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.versions import VersionRecord, last_unfinished, newest_record
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import ConfigError
from trainyard_trainer.messages import messages_of

RESULT_FILE: Final = "result.json"
_NAMESPACE: Final = "local"
_NAME_LENGTH: Final = 52


class _StrictLoader(yaml.SafeLoader):
    """A YAML loader that rejects duplicate keys in a mapping, as kubectl does.

    The default loader would ignore the first one.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = [key for key in keys if keys.count(key) > 1 and key != "<<"]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]!r} occurs twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _is_short(name: str) -> str:
    if len(name) > _NAME_LENGTH:
        raise ValueError(f"must be at most {_NAME_LENGTH} characters, because the names of its Jobs are longer")
    return name


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: Annotated[DnsLabel, AfterValidator(_is_short)]
    namespace: DnsLabel = _NAMESPACE


class _Document(BaseModel):
    """A TrainingJob as in a file. Its status is ignored."""

    model_config = ConfigDict(extra="ignore")

    metadata: _Metadata
    spec: TrainingJobSpec


class PredictionDocument(BaseModel):
    """A PredictionJob as in a file. Its status is ignored."""

    model_config = ConfigDict(extra="ignore")

    metadata: _Metadata
    spec: PredictionJobSpec


DocumentT = TypeVar("DocumentT", bound=BaseModel)


def local_environment(environ: Mapping[str, str], output: Path) -> Environment:
    """Return the environment of a pod. The result is written to the output folder."""
    return replace(Environment.from_environ(environ), termination_log=output / RESULT_FILE)


def read_job_file(path: Path, output: Path, *, resume: bool = False) -> TrainerConfig:
    """Read one TrainingJob from YAML, with the output folder as its storage.

    Each run is a new job, so it gets a new version. It is compared with the previous version. With ``resume`` it is
    another attempt at the last job of this model that has no version, if there is one.

    Raises
    ------
    ConfigError
        If the file cannot be read, or the API server would reject it. There is a message per field.
    """
    parsed = _parsed(path, TRAINING_JOB, _Document)
    storage = Storage(uri=f"file://{output.resolve()}")
    keys = ModelKeys(parsed.metadata.namespace, parsed.spec.model_name or parsed.metadata.name)
    store = FolderStore(output.resolve(), storage.uri)
    unfinished = last_unfinished(store, keys) if resume else None
    before = newest_record(store, keys)
    return TrainerConfig(
        namespace=keys.namespace,
        name=parsed.metadata.name,
        uid=unfinished or str(uuid.uuid4()),
        model_name=keys.model,
        spec=parsed.spec.model_copy(update={"storage": storage}),
        champion=None if before is None else _champion(before, store),
    )


def read_prediction_file(path: Path) -> PredictionDocument:
    """Read one PredictionJob from YAML.

    Raises
    ------
    ConfigError
        If the file cannot be read, or the API server would reject it. There is a message per field.
    """
    return _parsed(path, PREDICTION_JOB, PredictionDocument)


def _parsed(path: Path, kind: KindDefinition, document: type[DocumentT]) -> DocumentT:
    try:
        return document.model_validate(_the_object(path, kind))
    except ValidationError as error:
        raise ConfigError(f"{path}: {'; '.join(messages_of(error))}") from error


def _champion(record: VersionRecord, store: FolderStore) -> ChampionRef:
    """Return the previous version as the champion. Locally, the newest version counts as the one that is served."""
    artifact = Artifact(uri=store.address(record.run), manifest_sha256=record.manifest_sha256, size_bytes=0)
    return ChampionRef(version=record.version, artifact=artifact)


def _the_object(path: Path, kind: KindDefinition) -> dict[str, Any]:
    try:
        documents = list(yaml.load_all(path.read_text(encoding="utf-8"), Loader=_StrictLoader))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    jobs = [document for document in documents if isinstance(document, dict) and document.get("kind") == kind.kind]
    if len(jobs) != 1:
        raise ConfigError(f"{path} contains {len(jobs)} objects of kind {kind.kind}; a local run needs exactly one")
    version = jobs[0].get("apiVersion")
    if version != API_VERSION:
        raise ConfigError(f"{path}: apiVersion is {version!r}; write {API_VERSION!r}")
    return jobs[0]

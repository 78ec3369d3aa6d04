"""The server process under load, at its termination, and if it cannot start."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.integration.server.conftest import Train
from tests.integration.server.process import RESPONSE_SECONDS, ServerProcess, Stored
from tests.integration.server.tables import predictions_of, request_of, shops
from tests.integration.trainer.conftest import Upload
from tests.integration.trainer.object_store import free_port, secret
from tests.integration.trainer.tables import regression, regression_csv
from trainyard_api import meta
from trainyard_api.trainingjob import Artifact
from trainyard_server.loading import load_model
from trainyard_server.settings import Settings
from trainyard_trainer.artifacts.manifest import sha256_of
from trainyard_trainer.artifacts.opening import open_store
from trainyard_trainer.errors import TrainerError

CLIENTS = 8
FEATURES = ["x", "open", "shop [name]"]


def test_parallel_clients_get_their_own_responses_and_the_server_stays_ready(
    classifier_server: ServerProcess, forecaster_server: ServerProcess
) -> None:
    rows = shops()[FEATURES]
    expected = predictions_of(classifier_server.infer(request_of(rows)).json())
    done = threading.Event()

    def client(number: int) -> int:
        with requests.Session() as session:
            for index in range(25):
                first = (number * 25 + index) % 250
                body = request_of(rows.iloc[first : first + 50], id=f"{number}-{index}")
                response = session.post(f"{classifier_server.path}/infer", json=body, timeout=RESPONSE_SECONDS)
                assert response.status_code == 200, response.text
                payload = response.json()
                assert payload["id"] == f"{number}-{index}"
                assert predictions_of(payload).equals(expected.iloc[first : first + 50].reset_index(drop=True))
        return index + 1

    def probe() -> list[bool]:
        seen = [classifier_server.ready()]
        while not done.wait(0.02):
            seen.append(classifier_server.ready())
        return seen

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        probing = pool.submit(probe)
        counts = list(pool.map(client, range(CLIENTS)))
        done.set()
        assert counts == [25] * CLIENTS
        assert all(probing.result())


def test_a_long_prediction_does_not_delay_the_probes(forecaster_server: ServerProcess) -> None:
    days = [f"{year}-01-{day:02d}" for year in range(1990, 2250) for day in range(1, 29)]
    inputs = [("date", days), ("product", ["bread"] * len(days))]
    body = {"inputs": [{"name": n, "shape": [len(days)], "datatype": "BYTES", "data": d} for n, d in inputs]}
    with ThreadPoolExecutor(4) as pool:
        responses = [pool.submit(forecaster_server.infer, body) for _ in range(4)]
        ready_checks = 0
        while not all(response.done() for response in responses):
            assert forecaster_server.ready()
            ready_checks += 1
        assert ready_checks > 1
        assert [response.result().status_code for response in responses] == [200] * 4


def test_sigterm_loses_no_request(classifier: Stored, tmp_path: Path) -> None:
    """Clients send requests until the Service removes the endpoint, some time after the server is no longer ready."""
    body = request_of(shops()[FEATURES])
    # This allows some responses on a busy machine. Afterwards the port is closed.
    with ServerProcess(classifier, tmp_path, **{meta.SERVER_DRAIN_SECONDS_ENV: "10"}) as server:
        server.await_ready()
        removed, codes = threading.Event(), list[int]()

        def client(*, keep_alive: bool) -> None:
            session = requests.Session()
            while not removed.is_set():
                if not keep_alive:
                    session.close()
                    session = requests.Session()
                response = session.post(f"{server.path}/infer", json=body, timeout=RESPONSE_SECONDS)
                codes.append(response.status_code)

        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(client, keep_alive=number % 2 == 0) for number in range(CLIENTS)]
            wait_until(lambda: len(codes) > 50, "50 responses")
            before = len(codes)
            server.terminate()
            wait_until(lambda: not server.ready(), "the server is no longer ready")
            assert server.infer(body).headers["connection"] == "close"
            wait_until(lambda: len(codes) > before + 2 * CLIENTS, "more responses of a server that is not ready")
            removed.set()
            for one in clients:
                one.result()
        assert set(codes) == {200}
        assert server.await_end() == 0
        assert json.loads(server.log.splitlines()[-1])["message"] == "drained and stopped"
        assert server.termination_log.read_text() == ""


def test_open_requests_are_completed_after_the_port_is_closed(forecaster: Stored, tmp_path: Path) -> None:
    days = [f"2026-{month:02d}-{day:02d}" for month in range(1, 13) for day in range(1, 29)] * 25
    inputs = [("date", days), ("product", ["bread", "rolls"] * (len(days) // 2))]
    body = {"inputs": [{"name": n, "shape": [len(days)], "datatype": "BYTES", "data": d} for n, d in inputs]}
    variables = {meta.SERVER_DRAIN_SECONDS_ENV: "0", meta.SERVER_THREADS_ENV: "1"}
    with ServerProcess(forecaster, tmp_path, **variables) as server, ThreadPoolExecutor(6) as pool:
        server.await_ready()
        responses = [pool.submit(server.infer, body) for _ in range(6)]
        wait_until(lambda: any(response.done() for response in responses), "the first response")
        server.terminate()
        assert [response.result().status_code for response in responses] == [200] * 6
        assert server.await_end() == 0


def test_sigterm_during_the_load_ends_the_server_at_once(classifier: Stored, tmp_path: Path) -> None:
    with ServerProcess(classifier, tmp_path) as server:
        wait_until(lambda: "loading version" in server.log, "the server loads")
        server.terminate()
        assert server.await_end() == 0


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)  # between two checks


@pytest.fixture(scope="module")
def own_model(train: Train, upload: Upload) -> Stored:
    """A model for the tests below, which damage and repair it."""
    return train(regression(upload("line.csv", regression_csv())))


def run_to_end(stored: Stored, folder: Path, **variables: str) -> tuple[int, str]:
    with ServerProcess(stored, folder, **variables) as server:
        code = server.await_end()
        message = server.termination_log.read_text()
        assert json.loads(server.log.splitlines()[-1])["message"] == f"failed, exit code {code}: {message}"
        return code, message


def test_one_changed_byte_is_refused_before_it_is_parsed(own_model: Stored, tmp_path: Path) -> None:
    bucket, key = own_model.bucket_and_key
    client = own_model.store.client()
    body = client.get_object(Bucket=bucket, Key=f"{key}/model.txt")["Body"].read()
    offset = body.index(b"leaf_value=") + len("leaf_value=")
    changed = body[:offset] + bytes([body[offset] ^ 1]) + body[offset + 1 :]
    client.put_object(Bucket=bucket, Key=f"{key}/model.txt", Body=changed)
    code, message = run_to_end(own_model, tmp_path)
    client.put_object(Bucket=bucket, Key=f"{key}/model.txt", Body=body)
    assert code == 65
    assert message.startswith(
        f"{own_model.artifact.uri}/model.txt is not the file of the manifest: expected {len(body)}"
    )
    assert message.endswith("it was changed after registration, do not use it")


def test_a_missing_variable_is_reported(own_model: Stored, tmp_path: Path) -> None:
    code, message = run_to_end(own_model, tmp_path, **{meta.MODEL_NAME_ENV: ""})
    assert code == 64
    assert message.startswith(f"the variable {meta.MODEL_NAME_ENV} is not set")


def test_an_occupied_port_is_reported(own_model: Stored, classifier_server: ServerProcess, tmp_path: Path) -> None:
    code, message = run_to_end(own_model, tmp_path, **{meta.SERVER_PORT_ENV: str(classifier_server.port)})
    assert code == 64
    assert message.startswith(f"cannot listen on all addresses, port {classifier_server.port}: Address already in use")


def load_in_process(stored: Stored, folder: Path, **variables: str) -> tuple[int, str]:
    """Load in this process: this saves the seconds for the imports of a new one."""
    settings = Settings.from_environ({**stored.variables(), meta.WORK_DIR_ENV: str(folder), **variables})
    with pytest.raises(TrainerError) as caught:
        load_model(settings.target, open_store(settings.storage, settings.env), settings.env.work_dir)
    return caught.value.code, str(caught.value)


def test_another_digest_is_refused(own_model: Stored, tmp_path: Path) -> None:
    code, message = load_in_process(own_model, tmp_path, **{meta.MANIFEST_SHA256_ENV: "0" * 64})
    assert code == 65
    assert "is not the manifest that version 1 was registered with" in message


def test_refused_keys_are_reported(own_model: Stored, tmp_path: Path) -> None:
    wrong = secret(tmp_path / "secret", "administrator", "not-the-secret")
    code, message = load_in_process(own_model, tmp_path, **{meta.STORAGE_SECRET_DIR_ENV: str(wrong)})
    assert code == 77
    assert "was refused (SignatureDoesNotMatch); check the keys in its Secret" in message


def test_a_missing_artifact_is_reported(own_model: Stored, tmp_path: Path) -> None:
    code, message = load_in_process(own_model, tmp_path, **{meta.ARTIFACT_URI_ENV: f"{own_model.artifact.uri}7"})
    assert (code, message) == (
        66,
        f"{own_model.artifact.uri}7/manifest.json does not exist; version 1 may have been deleted",
    )


def test_a_missing_file_is_reported(own_model: Stored, tmp_path: Path) -> None:
    bucket, key = own_model.bucket_and_key
    client = own_model.store.client()
    manifest = client.get_object(Bucket=bucket, Key=f"{key}/manifest.json")["Body"].read()
    client.put_object(Bucket=bucket, Key=f"{key}-empty/manifest.json", Body=manifest)
    code, message = load_in_process(own_model, tmp_path, **{meta.ARTIFACT_URI_ENV: f"{own_model.artifact.uri}-empty"})
    assert code == 66
    assert "does not exist; check the bucket and the key" in message


def test_a_format_of_another_release_is_refused(own_model: Stored, tmp_path: Path) -> None:
    bucket, key = own_model.bucket_and_key
    client = own_model.store.client()
    manifest = json.loads(client.get_object(Bucket=bucket, Key=f"{key}/manifest.json")["Body"].read())
    body = json.dumps({**manifest, "formats": ["lightgbm-2"]}).encode()
    client.put_object(Bucket=bucket, Key=f"{key}-other/manifest.json", Body=body)
    artifact = Artifact(uri=f"{own_model.artifact.uri}-other", manifest_sha256=sha256_of(body), size_bytes=1)
    code, message = load_in_process(Stored(own_model.model, 1, artifact, own_model.store), tmp_path)
    assert code == 78
    assert message.startswith("the model's formats are lightgbm-2, this image reads lightgbm-text")


def test_a_storage_that_does_not_respond_is_reported(own_model: Stored, tmp_path: Path) -> None:
    unused_endpoint = f"http://127.0.0.1:{free_port()}"
    code, message = load_in_process(own_model, tmp_path, **{meta.STORAGE_ENDPOINT_ENV: unused_endpoint})
    assert code == 69
    assert "does not respond" in message

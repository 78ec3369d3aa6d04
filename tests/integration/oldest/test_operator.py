"""The operator on the oldest Kubernetes: from a job to a verdict, and a model that serves and is rolled back."""

import pytest

from tests.integration.operator.conftest import wait_for_closed_connections
from tests.integration.operator.test_deployment_cluster import shop, test_requests_always_have_a_ready_pod
from tests.integration.operator.test_faults import credentials, namespace
from tests.integration.operator.test_gates_faults import test_verdicts_of_finished_jobs_are_written_once

__all__ = [
    "credentials",
    "namespace",
    "shop",
    "test_requests_always_have_a_ready_pod",
    "test_verdicts_of_finished_jobs_are_written_once",
    "wait_for_closed_connections",
]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the server of that release may have to be built first

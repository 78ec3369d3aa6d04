"""The operator on the oldest Kubernetes: from a job to a verdict, and a model that is served and taken back."""

import pytest

from tests.integration.operator.conftest import connections_end
from tests.integration.operator.test_deployment_cluster import shop, test_requests_always_have_a_ready_pod
from tests.integration.operator.test_faults import credentials, namespace
from tests.integration.operator.test_gates_faults import test_from_job_to_verdict_and_at_rest

__all__ = [
    "connections_end",
    "credentials",
    "namespace",
    "shop",
    "test_from_job_to_verdict_and_at_rest",
    "test_requests_always_have_a_ready_pod",
]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the server of that release may have to be built first

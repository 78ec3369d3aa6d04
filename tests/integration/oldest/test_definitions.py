"""Tests of the definitions on the oldest Kubernetes. `make test-matrix` runs all of them on each release."""

import pytest

from tests.integration.test_crds import (
    finished,
    judge,
    test_bases_are_stored_as_written,
    test_examples_are_accepted,
    test_kubectl_selects_by_phase_and_category,
    test_other_fields_are_mutable,
    test_what_defines_the_model_is_immutable,
)
from tests.integration.test_release import test_the_api_server_is_of_the_release

__all__ = [
    "finished",
    "judge",
    "test_bases_are_stored_as_written",
    "test_examples_are_accepted",
    "test_kubectl_selects_by_phase_and_category",
    "test_other_fields_are_mutable",
    "test_the_api_server_is_of_the_release",
    "test_what_defines_the_model_is_immutable",
]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the server of that release may have to be built first

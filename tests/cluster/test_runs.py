"""Runs on a real cluster: the contract of all backends."""

from tests.contracts.run_backend import RunBackendContract


class TestKubernetesRuns(RunBackendContract):
    pass

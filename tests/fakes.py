"""The fakes behind the engine's ports: each passes the same contract suite as the real adapters."""

from tests.fake_runs import FakeRuns

__all__ = ["FakeRuns"]

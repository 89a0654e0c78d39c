"""The face that tests look at keeps the contract of faces."""

import pytest

from bot.turns import ThreadRef
from tests.contracts.faces import FaceContract, Stage
from tests.recording import RecordingFace, words


class TestRecordingFace(FaceContract):
    @pytest.fixture
    def stage(self) -> Stage:
        face = RecordingFace()
        thread = ThreadRef(face="test", key="thread")
        return Stage(face=face, thread=thread, seen=lambda: [words(reply) for reply in face.visible("thread")])

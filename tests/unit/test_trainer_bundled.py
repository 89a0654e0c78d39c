from pathlib import Path

import pytest

from training.trainer import bundled


def test_a_model_that_is_there_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "model"
    target.mkdir()
    assert bundled.main([str(tmp_path / "nowhere"), str(target)]) == 0
    assert list(target.iterdir()) == []
    assert "already" in capsys.readouterr().out


def test_a_folder_without_a_model_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bundled.main([str(tmp_path), str(tmp_path / "model")]) == 1
    assert "holds 0" in capsys.readouterr().out
    assert not (tmp_path / "model").exists()


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(gguf: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise RuntimeError(gguf.name)

    monkeypatch.setattr(bundled, "_write", write)
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    with pytest.raises(RuntimeError, match=r"tiny\.gguf"):
        bundled.main([str(tmp_path), str(tmp_path / "model")])
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.gguf"]

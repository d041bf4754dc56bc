"""torchaudio is importable whatever torch is installed, and its Python code works."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


def test_python_code_of_torchaudio_works():
    from separate.models.torchaudio_compat import torchaudio

    resampled = torchaudio.functional.resample(torch.randn(1, 441), 44_100, 32_000)
    assert resampled.shape == (1, 320)
    assert torchaudio.models.hdemucs_low is not None
    banks, _ = torchaudio.compliance.kaldi.get_mel_banks(8, 64, 8000.0, 0.0, 4000.0, 1.0, -1.0, 1.0)
    assert banks.shape == (8, 32)


def test_what_needs_the_extension_says_so():
    from separate.models.torchaudio_compat import EXTENSION_AVAILABLE, torchaudio

    if EXTENSION_AVAILABLE:
        pytest.skip("torchaudio's extension loads here")
    with pytest.raises(RuntimeError, match="extension"):
        torchaudio.functional.forced_align(torch.zeros(1, 2, 2), torch.ones(1, 1))


def test_other_failures_are_not_hidden(tmp_path):
    fake = tmp_path / "torchaudio"
    fake.mkdir()
    (fake / "__init__.py").write_text("raise OSError('the disk is on fire')\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    code += "import separate.models.torchaudio_compat"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert "the disk is on fire" in result.stderr


def test_no_other_module_imports_torchaudio():
    for folder in ("separate", "models", "evals", "app"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name == "torchaudio_compat.py":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                assert not any(name.split(".")[0] == "torchaudio" for name in names), path

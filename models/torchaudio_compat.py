"""The one module that imports torchaudio; everything else imports it from here.

torchaudio's wheel on PyPI is built for CUDA. With a CPU-only torch its compiled extension cannot
be loaded and the import fails, although its Python code (filters, mel banks, resampling, models)
works without. Only in that case `torchaudio._extension` is replaced by a module that reports the
extension as not available, and the import is tried again.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["EXTENSION_AVAILABLE", "torchaudio"]

_EXTENSION = "torchaudio._extension"


def _needs_alignment(function: Callable[..., Any]) -> Callable[..., Any]:
    """Replace a function that needs the compiled extension by one that raises when called."""

    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise RuntimeError(
            f"{function.__name__} needs torchaudio's compiled extension, which does not fit the "
            "installed torch; install the torchaudio built for it"
        )

    return fail


def _stand_in() -> ModuleType:
    module = ModuleType(_EXTENSION, "Stand-in: the compiled extension of torchaudio is not loaded.")
    module.__path__ = []  # a package, so that no submodule of the real one is looked for
    vars(module).update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        _load_lib=lambda _name: False,
        fail_if_no_align=_needs_alignment,
    )
    return module


def _import() -> ModuleType:
    try:
        return import_module("torchaudio")
    except OSError as error:
        # Only the extension may be missing; any other failure is raised.
        if "torchaudio" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
        del sys.modules[name]
    sys.modules[_EXTENSION] = _stand_in()
    try:
        return import_module("torchaudio")
    except BaseException:
        del sys.modules[_EXTENSION]
        raise


torchaudio = _import()
EXTENSION_AVAILABLE: bool = bool(
    getattr(sys.modules.get(_EXTENSION), "_IS_TORCHAUDIO_EXT_AVAILABLE", False)
)

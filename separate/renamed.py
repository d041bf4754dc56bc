"""Old names of fields and keywords of public classes, which keep working and warn."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)


def renamed(**names: str) -> Callable[[Class], Class]:
    """Make a class accept old keywords and attributes, each with a DeprecationWarning.

    An old keyword overrides the new one, so that `dataclasses.replace` takes it too.

    Args:
        names: The new name of each old one.

    Returns:
        A decorator of classes; of a dataclass it stands above `@dataclass`.
    """

    def decorate(cls: Class) -> Class:
        init = cls.__init__  # type: ignore[misc]

        @functools.wraps(init)
        def accept(self: Any, *args: Any, **given: Any) -> None:
            for old in names.keys() & given.keys():
                _warn(cls, old, names[old])
                given[names[old]] = given.pop(old)
            init(self, *args, **given)

        cls.__init__ = accept  # type: ignore[misc]
        for old, new in names.items():
            setattr(cls, old, _alias(cls, old, new))
        return cls

    return decorate


def _alias(cls: type, old: str, new: str) -> property:
    def get(self: Any) -> Any:
        _warn(cls, old, new)
        return getattr(self, new)

    return property(get, doc=f"The old name of `{new}`.")


def _warn(cls: type, old: str, new: str) -> None:
    message = f"{cls.__name__}: `{old}` is called `{new}` now"
    warnings.warn(message, DeprecationWarning, stacklevel=3)

"""How loops become machine code: by numba, once, and from then on from a file beside them.

Knows no loop. Numba notices a change of a loop in its own file only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys
from numba.extending import overload

F = TypeVar("F", bound=Callable[..., Any])


class _Kept(FunctionCache):
    """Numba's own cache, but what lies in it is taken as it is: numba would first import all that it needs to compile, and
    with it scipy, for half a second.
    """

    def load_overload(self, signature: Any, context: Any) -> Any:
        rtsys.initialize(context)  # memory for arrays that a loop makes
        with self._guard_against_spurious_io_errors():
            return self._load_overload(signature, context)  # type: ignore[no-untyped-call]


def compiled(loop: F) -> F:
    """Without the GIL, IEEE arithmetic only, kept wherever a folder can be written to."""
    made: Any = njit(nogil=True, error_model="numpy")(loop)
    try:
        made._cache = _Kept(loop)  # type: ignore[no-untyped-call]
    except RuntimeError:  # a read-only installation and no home
        pass
    return cast(F, made)


def inlined(helper: F) -> F:
    """A piece of a loop."""
    return cast(F, njit(forceinline=True, error_model="numpy")(helper))


def chosen_by_type(stub: Callable[..., Any]) -> Callable[[F], F]:
    """The function below picks code for `stub`, when a loop that calls it is compiled."""
    return cast(Callable[[F], F], overload(stub, strict=False))

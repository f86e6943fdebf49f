"""YAML from strangers: one document of plain values, bounded in size before and after aliases are followed.

Knows nothing of recipes. `merging/plain.py` reads what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from merging import plain
from merging.errors import MergingError

MAX_BYTES: Final = 256 * 1024
MAX_VALUES: Final = 50_000
"""In all, each counted as often as aliases repeat it: nine lists of nine aliases each are 3 GB in ten lines."""


class _Loader(yaml.SafeLoader):
    """Plain values only. A key that comes twice is an error, not the last of them; `<<`, which can grow like aliases but
    while it is read, is refused.
    """

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, "`<<` is not read: write the keys out", key.start_mark
                )
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} comes twice", key.start_mark
                )
            seen.add(str(key.value))

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A ValueError for one of thousands of digits, which hexadecimal ones read without: no message could name it."""
        found: int = super().construct_yaml_int(node)
        str(found)
        return found

    def construct_yaml_str(self, node: yaml.ScalarNode) -> str:
        """A ValueError for a lone surrogate, which no page and no database holds."""
        found: str = super().construct_yaml_str(node)
        found.encode()
        return found


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:str", _Loader.construct_yaml_str)


def read_yaml(text: str, what: str, error: type[MergingError]) -> Mapping[str, object]:
    """The object in a YAML document; `error`, naming `what`, when it is none, too large, or repeats itself too often."""
    if (size := len(text.encode())) > MAX_BYTES:
        raise error(f"{what} has {size} bytes; expected at most {MAX_BYTES}")
    try:
        # a number of 5,000 digits and a month 13 are ValueErrors
        content: Any = yaml.load(text, Loader=_Loader)  # nosec B506  # it is a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as found:
        raise error(f"{what} is no YAML: {' '.join(str(found).split())}") from found
    if not _is_bounded(content):
        raise error(f"{what} has more than {MAX_VALUES} values, aliases followed; write less")
    return plain.mapping(content, what, error)


def _is_bounded(value: object) -> bool:
    """Whether the value has at most `MAX_VALUES` parts; ends soon for one that contains itself."""
    left, n = [value], 0
    while left and n <= MAX_VALUES:
        found = left.pop()
        n += 1
        if isinstance(found, Mapping):
            left.extend(found.values())
        elif isinstance(found, list | tuple | set):
            left.extend(found)
    return n <= MAX_VALUES

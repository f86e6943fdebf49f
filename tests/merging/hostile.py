"""Hostile safetensors files and folders, from a seed, and a judge of them that shares no code with the reader.

The mutator knows the format: it writes a sound header as a tree whose leaves are JSON as text, so that it can say what no
JSON library would (a key twice, `-0`, half a pair of surrogates), bends the tree, and then perhaps the bytes. The judge
is the format's own library, and beside it the few rules in which the reader is stricter.
"""

from __future__ import annotations

import json
import os
import random
import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, deserialize

Tree = Any
"""An `Object`, a list of trees, or a leaf: JSON as text."""
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
INDEX = "model.safetensors.index.json"
# fmt: off
NUMBERS = (
    "0", "1", "-1", "-0", "2.0", "0.5", "1e0", "1e999", "NaN", "-Infinity", "true", "false", "null", '"4"', "02", "+1",
    "[]", "{}", "4294967296", "9223372036854775807", "9223372036854775808", "18446744073709551615", "9" * 40, "9" * 5000,
)
TEXTS = (
    '""', '"."', '".."', '"../../other"', '"/etc/passwd"', '"a\\u0000b"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\u00e9"',
    '"a\\nb"', '"\\u001b[2J"', '"\\u202egnp"', '"__metadata__"', '"\\u0061"', f'"{"x" * 1000}"', f'"{"x" * 1001}"',
    '"F32"', '"f32"', '"F33"', '"U16"', '"BOOL"', '"F8_E4M3"', '"model-0.safetensors"', '"model-1.safetensors"',
    '"MODEL-0.safetensors"', '"model-9.safetensors"', '"./model-0.safetensors"', '"x/../model-0.safetensors"',
    '"model-0.safetensors\\u0000"', '"model-0.safetensors "', '"model-0.bin"', '".safetensors"', '"model.safetensors"',
)
BYTES = (
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\0", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b" ",
    b"-", b"0", b"e",
)
# fmt: on


@dataclass
class Object:
    """Keys may come twice; each is JSON as text too."""

    pairs: list[list[Tree]] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """What a reader may say of a tensor."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


# --- what is sound -------------------------------------------------------------------------------------------------


def sound_header(rng: random.Random, names: list[str]) -> tuple[Object, bytes]:
    """A header and the bytes that it describes; tensors stand in the header in any order."""
    pairs, start = [], 0
    for name in names:
        dtype, shape = rng.choice(list(SIZES)), [rng.randint(0, 4) for _ in range(rng.randint(0, 3))]
        stop = start + SIZES[dtype] * _product(shape)
        fields = [
            ['"dtype"', f'"{dtype}"'],
            ['"shape"', [str(n) for n in shape]],
            ['"data_offsets"', [str(start), str(stop)]],
        ]
        rng.shuffle(fields)
        pairs.append([json.dumps(name), Object(fields)])
        start = stop
    rng.shuffle(pairs)
    if rng.random() < 0.5:
        metadata = Object([['"format"', '"pt"'], *([['"n"', rng.choice(NUMBERS)]] if rng.random() < 0.1 else [])])
        pairs.insert(rng.randint(0, len(pairs)), ['"__metadata__"', metadata])
    return Object(pairs), rng.randbytes(start)


def file_of(rng: random.Random, header: Object, data: bytes) -> bytes:
    text = written(header, rng).encode("utf-8", "surrogatepass")
    text = rng.choice([b"", b"", b" ", b"\n"]) + text + b" " * rng.choice([0, 0, -len(text) % 8])
    return struct.pack("<Q", len(text)) + text + data


def written(tree: Tree, rng: random.Random) -> str:
    space = rng.choice(["", "", "", " "])
    if isinstance(tree, Object):
        return (
            "{" + f",{space}".join(f"{written(key, rng)}:{space}{written(one, rng)}" for key, one in tree.pairs) + "}"
        )
    return "[" + ",".join(written(one, rng) for one in tree) + "]" if isinstance(tree, list) else str(tree)


# --- what is bent --------------------------------------------------------------------------------------------------


def hostile_file(rng: random.Random) -> bytes:
    """A whole file: sound now and then, otherwise bent in one to three places of its tree, its bytes or its length."""
    header, data = sound_header(rng, [f"layer.{i}" for i in range(rng.randint(0, 4))])
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        rng.choice(TREE_BENDS)(rng, header)
    content = file_of(rng, header, data)
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        content = rng.choice(BYTE_BENDS)(rng, content)
    return content


def bent_text(rng: random.Random, tree: Object) -> bytes:
    """The same for a JSON file."""
    for _ in range(rng.choice([0, 1, 1, 2])):
        rng.choice(TREE_BENDS)(rng, tree)
    content = written(tree, rng).encode("utf-8", "surrogatepass")
    return rng.choice(BYTE_BENDS)(rng, content) if rng.random() < 0.2 else content


def _places(tree: Tree) -> list[tuple[list[Tree], int]]:
    """Every place in the tree, as the list that holds it and its number there; keys are places too."""
    if isinstance(tree, Object):
        return [place for pair in tree.pairs for place in [(pair, 0), (pair, 1), *_places(pair[1])]]
    if isinstance(tree, list):
        return [place for i, one in enumerate(tree) for place in [(tree, i), *_places(one)]]
    return []


def _containers(tree: Tree) -> list[list[Tree]]:
    """Every list of pairs or of items in it."""
    inside = [one for pair in tree.pairs for one in pair] if isinstance(tree, Object) else tree
    deeper = [found for one in inside for found in _containers(one)] if isinstance(inside, list) else []
    own = [tree.pairs] if isinstance(tree, Object) else [tree] if isinstance(tree, list) else []
    return own + deeper


def _replace(rng: random.Random, tree: Object) -> None:
    if places := _places(tree):
        holder, i = rng.choice(places)
        numeric = isinstance(holder[i], str) and not holder[i].startswith('"')
        holder[i] = rng.choice(NUMBERS if numeric == (rng.random() < 0.9) else TEXTS)


def _shift(rng: random.Random, tree: Object) -> None:
    """Some number grows or shrinks a little: overlaps, gaps, lengths that do not fit."""
    numbers = [(holder, i) for holder, i in _places(tree) if isinstance(holder[i], str) and holder[i].isdecimal()]
    if numbers:
        holder, i = rng.choice(numbers)
        holder[i] = str(int(holder[i][:30]) + rng.choice([-8, -4, -1, 1, 4, 8, 2**32, 2**63]))


def _twice(rng: random.Random, tree: Object) -> None:
    holder = rng.choice(_containers(tree))
    if holder:
        one = rng.choice(holder)
        holder.insert(rng.randint(0, len(holder)), [*one] if isinstance(one, list) else one)


def _lose(rng: random.Random, tree: Object) -> None:
    holder = rng.choice(_containers(tree))
    if holder:
        holder.pop(rng.randrange(len(holder)))


def _swap(rng: random.Random, tree: Object) -> None:
    """Two values change places: two tensors their offsets, a shape with a name."""
    if len(places := _places(tree)) > 1:
        (one, i), (other, j) = rng.sample(places, 2)
        if not isinstance(one[i], (list, Object)) and not isinstance(other[j], (list, Object)):
            one[i], other[j] = other[j], one[i]


def _bury(rng: random.Random, tree: Object) -> None:
    if places := _places(tree):
        holder, i = rng.choice(places)
        depth = rng.choice([1, 2, 900, 5000])
        holder[i] = "[" * depth + written(holder[i], rng) + "]" * depth


def _enlarge(rng: random.Random, tree: Object) -> None:
    """A shape that overflows, with or without a zero that seems to mend it, or of a hundred dimensions."""
    shapes = [holder for holder in _containers(tree) if holder and all(isinstance(one, str) for one in holder)]
    if shapes:
        rng.choice(shapes)[:0] = rng.choice(
            [["4294967296", "4294967296"], ["9223372036854775807", "2", "0"], ["1"] * 100, ["0"]]
        )


def _add(rng: random.Random, tree: Object) -> None:
    pairs = rng.choice([holder for holder in _containers(tree) if not holder or isinstance(holder[0], list)])
    pairs.insert(rng.randint(0, len(pairs)), [rng.choice(TEXTS), rng.choice([*NUMBERS, *TEXTS])])


TREE_BENDS = (_replace, _replace, _shift, _twice, _lose, _swap, _bury, _enlarge, _add)


def _flip(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(max(1, len(content)))
    return content[:at] + bytes(byte ^ 1 << rng.randrange(8) for byte in content[at : at + 1]) + content[at + 1 :]


def _put(rng: random.Random, content: bytes) -> bytes:
    at = rng.randint(0, len(content))
    return content[:at] + rng.choice(BYTES) + content[at + rng.choice([0, 1]) :]


def _cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randint(0, len(content))]


def _repeat(rng: random.Random, content: bytes) -> bytes:
    start, stop = sorted(rng.randint(0, len(content)) for _ in range(2))
    return content[:stop] + content[start:]


def _lie(rng: random.Random, content: bytes) -> bytes:
    """About the length of the header."""
    true = int.from_bytes(content[:8], "little")
    length = rng.choice(
        [0, 1, 2, true - 1, true + 1, true + 8, len(content), len(content) - 8, 2**24, 2**63, 2**64 - 1]
    )
    return struct.pack("<Q", max(0, length) % 2**64) + content[8:]


BYTE_BENDS = (_flip, _put, _put, _cut, _repeat, _lie)


# --- folders -------------------------------------------------------------------------------------------------------


def sound_folder(rng: random.Random, folder: Path) -> dict[str, str]:
    """Writes up to three shards into an empty folder and returns which tensor is in which file."""
    weight_map = {}
    for i in range(rng.randint(1, 3)):
        names = [f"layer.{i}.{j}" for j in range(rng.randint(1, 3))]
        header, data = sound_header(random.Random(rng.random()), names)
        header.pairs = [pair for pair in header.pairs if pair[0] != '"__metadata__"']
        (folder / f"model-{i}.safetensors").write_bytes(file_of(rng, header, data))
        weight_map |= dict.fromkeys(names, f"model-{i}.safetensors")
    return weight_map


def hostile_index(rng: random.Random, weight_map: dict[str, str]) -> bytes:
    pairs = [[json.dumps(name), json.dumps(file)] for name, file in weight_map.items()]
    metadata = ['"metadata"', Object([['"total_size"', "1"]])]
    return bent_text(rng, Object([metadata, ['"weight_map"', Object(pairs)]]))


def damage(rng: random.Random, folder: Path) -> None:
    """Does something to one shard of the folder."""
    shard = rng.choice(sorted(folder.glob("*.safetensors")))
    content = shard.read_bytes()
    kind = rng.choice(["lost", "bent", "folder", "pipe", "outward", "inward", "dangling", "loop", "another"])
    if kind == "another":
        shard.write_bytes(rng.choice(sorted(folder.glob("*.safetensors"))).read_bytes())
        return
    shard.unlink()
    if kind == "bent":
        shard.write_bytes(rng.choice(BYTE_BENDS)(rng, content))
    elif kind == "folder":
        shard.mkdir()
    elif kind == "pipe":
        os.mkfifo(shard)
    elif kind == "outward":
        outside = folder.parent / "outside.safetensors"
        outside.write_bytes(content)
        shard.symlink_to(rng.choice([str(outside), f"../{outside.name}"]))
    elif kind == "inward":
        (folder / "kept").write_bytes(content)
        shard.symlink_to("kept")
    elif kind in ("dangling", "loop"):
        shard.symlink_to("nowhere" if kind == "dangling" else shard.name)


# --- the judge -----------------------------------------------------------------------------------------------------


def judged_file(content: bytes) -> dict[str, Found] | None:
    """The tensors of a file that must be read, None for one that must be refused."""
    try:
        found = {
            name: Found(one["dtype"], tuple(one["shape"]), bytes(one["data"])) for name, one in deserialize(content)
        }
    except SafetensorError:
        return None
    n_header = int.from_bytes(content[:8], "little")
    pairs = _pairs(content[8 : 8 + n_header])
    tensors = [(name, one) for name, one in pairs or [] if name != "__metadata__"]
    if pairs is None or not all(_is_plain(name) and _is_strict(one) for name, one in tensors):
        return None
    return found if _tiles([dict(one)["data_offsets"] for _, one in tensors], len(content) - 8 - n_header) else None


def judged_folder(folder: Path) -> dict[str, Found] | None:
    """The same for a folder with an index."""
    pairs = _pairs((folder / INDEX).read_bytes())
    if not isinstance(pairs, Pairs) or not isinstance(named := dict(pairs).get("weight_map"), Pairs):
        return None
    found: dict[str, Found] = {}
    for file in {str(file) for _, file in named}:
        path = folder / file
        if os.path.basename(file) != file or file.startswith(".") or not file.endswith(".safetensors"):
            return None
        if not file.isascii() or not set(" \0").isdisjoint(file) or not os.path.lexists(path):
            return None
        inside = os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep)
        if not inside or not os.path.exists(path) or not stat.S_ISREG(path.stat().st_mode):
            return None
        tensors = judged_file(path.read_bytes())
        if tensors is None or any(dict(named).get(name) != file for name in tensors):
            return None
        found |= tensors
    return found if set(found) == {name for name, _ in named} else None


class Pairs(list[Any]):
    """A JSON object as it was written."""


def _pairs(text: bytes) -> Any:
    """The JSON value with objects as `Pairs`; None when it is none, or a key comes twice somewhere."""
    twice = []

    def kept(pairs: list[tuple[str, Any]]) -> Pairs:
        twice.append(len({name for name, _ in pairs}) < len(pairs))
        return Pairs(pairs)

    try:
        value = json.loads(text.decode(), object_pairs_hook=kept)
    except (ValueError, RecursionError):
        return None
    return None if any(twice) else value


def _is_plain(name: str) -> bool:
    return len(name) <= 1000 and name.isprintable()


def _is_strict(tensor: Any) -> bool:
    """The library also takes a list for an object, fields that it does not know, and dtypes that no merge can use."""
    if not isinstance(tensor, Pairs) or {name for name, _ in tensor} != {"dtype", "shape", "data_offsets"}:
        return False
    fields = dict(tensor)
    fits = (
        len(fields["shape"]) <= 64
        and _product([n for n in fields["shape"] if n]) * SIZES.get(fields["dtype"], 1) < 2**63
    )
    return fields["dtype"] in SIZES and fits


def _tiles(offsets: list[list[int]], n_bytes: int) -> bool:
    """Whether every byte belongs to exactly one tensor."""
    owners = [0] * n_bytes
    for start, stop in offsets:
        for i in range(start, stop):
            owners[i] += 1
    return all(n == 1 for n in owners)


def _product(numbers: list[int]) -> int:
    product = 1
    for n in numbers:
        product *= n
    return product

"""The tokenizer files of a result: the donor's, with the tokens that only other models have. No torch.

Writes what transformers reads, as JSON; no tokenizer is built.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from merging import plain
from merging.configs import read_json
from merging.errors import ParentError
from merging.files import open_regular, read_regular
from merging.vocabularies import Vocabulary, named_examples, read_vocabulary

TOKENIZER: Final = "tokenizer.json"
SETTINGS: Final = "tokenizer_config.json"
TEMPLATE: Final = "chat_template.jinja"
OLD_TEMPLATE: Final = "chat_template.json"
MAX_TEMPLATE_BYTES: Final = 1024 * 1024
SLOW: Final = ("added_tokens.json", "tokenizer.model", "vocab.json", "merges.txt")
"""What older tokenizers read: it has the donor's own tokens only, so that a union leaves it out."""
FILES: Final = (TOKENIZER, SETTINGS, "special_tokens_map.json", *SLOW, TEMPLATE, OLD_TEMPLATE)


def write_tokenizer(
    folder: Path, donor: Path, others: Sequence[Path], result: Vocabulary | None, template: str
) -> None:
    """Writes the donor's tokenizer, or that of a union with the others' tokens, whose numbers `result` has.

    `template` is Jinja, "" for the donor's own; either is written in both places where loaders look for it.
    """
    own = read_vocabulary(donor)
    new = {} if result is None else {text: n for text, n in result.numbers.items() if text not in own.numbers}
    for name in FILES:
        if (donor / name).is_file() and not (new and name in SLOW):
            copy(donor / name, folder)
    if new:
        _add(folder, new, others)
    if chosen := template or chat_template(donor):
        (folder / TEMPLATE).write_text(chosen, "utf-8")
        (folder / OLD_TEMPLATE).unlink(missing_ok=True)
        settings = read_json(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
        if settings.get("chat_template") != chosen:
            _write(folder / SETTINGS, {**settings, "chat_template": chosen})


def copy(file: Path, folder: Path) -> None:
    """A copy of a model's file; ParentError when it is not one, but a link out of its folder."""
    with open_regular(file) as source, (folder / file.name).open("xb") as target:
        shutil.copyfileobj(source, target)


def chat_template(folder: Path) -> str:
    """The template of a model, wherever it is written; "" when it has none, or several by name."""
    if (folder / TEMPLATE).is_file():
        return read_regular(folder / TEMPLATE, MAX_TEMPLATE_BYTES).decode("utf-8", errors="replace")
    written = [
        read_json(folder / name).get("chat_template") for name in (SETTINGS, OLD_TEMPLATE) if (folder / name).is_file()
    ]
    return next((found for found in written if isinstance(found, str)), "")


def default_template(folder: Path) -> str:
    """The chat template that a user's turn is put into: of several in the tokenizer's settings, the one that is called default."""
    found = chat_template(folder)
    listed = read_json(folder / SETTINGS).get("chat_template") if not found and (folder / SETTINGS).is_file() else None
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and one.get("name") == "default" and isinstance(text := one.get("template"), str):
            return text
    return found


def special_words(folder: Path) -> dict[str, str]:
    """What a template may call the special tokens by, such as `bos_token`, with their texts."""
    found: dict[str, str] = {}
    for name in ("special_tokens_map.json", SETTINGS):
        if (folder / name).is_file():
            named = {key: _text_of(value) for key, value in read_json(folder / name).items() if key.endswith("_token")}
            found |= {key: text for key, text in named.items() if text}
    return found


def _text_of(token: object) -> str:
    """A token as settings write it: its text, or an entry with it."""
    text = token.get("content") if isinstance(token, Mapping) else token
    return text if isinstance(text, str) else ""


def _add(folder: Path, new: Mapping[str, int], others: Sequence[Path]) -> None:
    """Adds tokens. Those that were added to another vocabulary are added to this; those that another model's merges make
    are known by their number here, but no text becomes them.
    """
    content = read_json(folder / TOKENIZER)
    model = plain.mapping(content.get("model"), f"the model in {TOKENIZER}", ParentError)
    entries = {
        text: entry for other in reversed(others) for text, entry in _added(read_json(other / TOKENIZER)).items()
    }
    ordinary = {text: number for text, number in new.items() if text not in entries}
    here = _added(content)
    if model.get("type") != "BPE" and ordinary:
        raise ParentError(
            f"{named_examples(list(ordinary))} belong to another vocabulary that was trained, not added: a union of such is "
            "possible for BPE only; choose base or first"
        )
    if ordinary:  # numbers of added tokens are counted from the end of the vocabulary, unless it has them
        vocab = plain.mapping(model.get("vocab"), f"the vocabulary in {TOKENIZER}", ParentError)
        added = {text: entry["id"] for text, entry in here.items()} | {text: new[text] for text in new}
        model = {**model, "vocab": {**vocab, **added}}
    appended = [{**entries[text], "id": number} for text, number in new.items() if text in entries]
    _write(folder / TOKENIZER, {**content, "model": model, "added_tokens": [*here.values(), *appended]})
    if (folder / SETTINGS).is_file():
        settings = read_json(folder / SETTINGS)
        if isinstance(listed := settings.get("added_tokens_decoder"), Mapping):
            more = {str(entry["id"]): {k: v for k, v in entry.items() if k != "id"} for entry in appended}
            _write(folder / SETTINGS, {**settings, "added_tokens_decoder": {**listed, **more}})


def _added(content: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    """The added tokens of a tokenizer, which `read_vocabulary` has checked, by their text."""
    found = plain.items(
        content.get("added_tokens", []),
        "added_tokens",
        ParentError,
        lambda one, what: plain.mapping(one, what, ParentError),
    )
    return {str(entry["content"]): entry for entry in found}


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")

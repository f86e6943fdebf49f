"""Adding to the library and hiding from it. Facts are read from the files, never typed; what cannot be used is refused with a reason."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final, TypeVar

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.functions import Now

from merging.benchmarks import Benchmark as Asked
from merging.benchmarks import BenchmarkSpec, QuestionFile, Questions, benchmarks
from merging.benchmarks.harness import HarnessFolder
from merging.damage import not_finite
from merging.demo import BASE, EXPERTS, PACK, Skill
from merging.errors import BenchmarkError, MergingError, ParentError
from merging.fingerprints import Inventory, take_inventory
from merging.indexes import parent_facts
from webapp.library.models import Benchmark, Parent
from webapp.library.question_files import frozen, remove_plain
from webapp.quotas import QuotaError, hold

Row = TypeVar("Row", Parent, Benchmark)
MAX_NAME: Final = 200
N_MARK: Final = 13
"""Characters at the end of a name that tell an older row from a younger one of the same name."""
log = logging.getLogger(__name__)
SUMMARIES: Final[dict[Skill, str]] = {
    "base": "The common ancestor: reads both languages, does one-digit sums, answers in English.",
    "japanese": "Answers in Japanese by default; cannot add two-digit numbers.",
    "addition": "Adds two-digit numbers; answers in English unless told otherwise.",
    "subtraction": "Subtracts two-digit numbers; answers in English unless told otherwise.",
}


def register_parent(owner: User | None, folder: Path, name: str = "") -> Parent:
    """Add a model folder, or read one again that is in the library already. ParentError when it cannot be a parent.

    Without an owner everybody may choose it. Its files stay where they are. All bytes are read before the transaction begins.
    """
    folder = folder.expanduser().absolute()
    facts = _facts(folder)
    with transaction.atomic():
        known = Parent.objects.filter(owner=owner, folder=str(folder)).first()
        if known:
            return change(known, facts | {"hidden_at": None, "removed_at": None})
        taken = set(Parent.objects.filter(owner__in=[owner] if owner else []).values_list("name", flat=True))
        taken |= set(Parent.objects.filter(owner=None).values_list("name", flat=True))
        chosen = _free([name] if name else [folder.name, f"{folder.parent.name}/{folder.name}"], taken)
        if chosen is None:
            raise ParentError(f"there is a model named {name or folder.name} already: give {folder} another name")
        return Parent.objects.create(owner=owner, folder=str(folder), name=chosen, title=chosen, **facts)


def add_benchmark(owner: User, file: QuestionFile, name: str = "", is_public_test: bool = False) -> Benchmark:
    """Freeze a file of questions and add them under `name`, or the file's. BenchmarkError when a line cannot be used."""
    return keep_questions(owner, file.read(name or Path(file.path).stem[:MAX_NAME]), is_public_test)


def keep_questions(owner: User, questions: Questions, is_public_test: bool = False) -> Benchmark:
    """Freeze questions in a sealed folder and add them under their name.

    The same questions asked in the same way under the same name are the benchmark that is there already.
    """
    check_name(owner, questions)
    with frozen(questions) as (spec, key):
        hold(owner)  # one at a time, so that a name is taken once
        known = check_name(owner, questions)
        facts = described(spec, questions) | {"key": key, "is_public_test": is_public_test}
        if known:  # what was once said to be public stays so
            return change(known, facts | {"hidden_at": None, "is_public_test": is_public_test or known.is_public_test})
        if Benchmark.objects.filter(owner=owner).count() >= (most := settings.QUOTAS.n_benchmarks):
            raise QuotaError(
                f"{most} benchmarks of one's own are all that one may have here: ask who looks after this server"
            )
        return Benchmark.objects.create(owner=owner, name=questions.name, title=questions.title, **facts)


def check_name(owner: User, questions: Questions) -> Benchmark | None:
    """The row that has just these questions under their name; BenchmarkError when others have the name."""
    known = Benchmark.objects.filter(owner=owner, name=questions.name).first()
    others = Benchmark.objects.filter(owner=None, name=questions.name)
    if (known and known.digest != questions.digest) or others.exists():
        raise BenchmarkError(f"there is another benchmark named {questions.name} already: choose another name")
    return known


@transaction.atomic
def keep_task(owner: User, name: str, folder: HarnessFolder, key: str) -> Benchmark:
    """Add a frozen task of the harness, whose final split opens with `key`, under `name`; the same task again is one row.

    Whether its questions are from a public test set is the task's own statement. One that was frozen otherwise, such as
    with another version of the harness, leaves its name to this one. BenchmarkError when questions from a file have it.
    """
    task = folder.read(name)
    spec = BenchmarkSpec(name, task.digest, harness=folder)
    hold(owner)
    known = Benchmark.objects.filter(owner=owner, name=name).first()
    if known and "harness" not in known.spec:
        raise BenchmarkError(f"questions of your own are named {name} already: ask for the task with another seed")
    facts = described(spec, task) | {"key": key, "title": task.title, "is_public_test": task.is_public_test}
    if known and known.digest == task.digest:
        return change(known, facts | {"hidden_at": None})
    if known:  # its runs keep what they froze of it, and its key what it opens
        change(known, {"name": f"{name[: MAX_NAME - N_MARK]} {known.digest[-N_MARK + 1 :]}", "hidden_at": Now()})
    return Benchmark.objects.create(owner=owner, name=name, **facts)


def key_of(spec: BenchmarkSpec) -> str | None:
    """What opens the final split of a sealed benchmark; None for others, which need no key, and where nobody knows it.

    For whoever grants a request for the final split: the key goes to the process that scores it, beside the spec, with
    that request and no other (`BenchmarkSpec.load(key)`), and is never stored anywhere but in the benchmark's row.
    """
    keys = Benchmark.objects.filter(digest=spec.digest).exclude(key="").values_list("key", flat=True)
    return keys.first()


def seal_older() -> None:
    """Seal what was added when a benchmark was one file in plain text, and remove our copies of such files.

    Runs that name one could not read it either way: what their digests are of was another thing then.
    """
    for row in Benchmark.objects.filter(key="").exclude(owner=None):
        try:
            spec = BenchmarkSpec.from_json(row.spec)
            if spec.file:
                questions = spec.file.read(spec.name)
                with frozen(questions) as (spec, key):
                    change(row, described(spec, questions) | {"key": key})
        except MergingError as error:
            log.warning("the benchmark %s stays as it is: %s", row.name, error)
    remove_plain()


def install_demo_pack() -> None:
    """Bring the bundled parents and benchmarks up to date. Once installed it changes nothing, however often it is called."""
    with transaction.atomic():
        _install()
    seal_older()


def _install() -> None:
    for skill in (BASE, *EXPERTS):
        facts = _facts(PACK / skill) | {
            "folder": str(PACK / skill),
            "title": f"demo/{skill}",
            "summary": SUMMARIES[skill],
        }
        Parent.objects.update_or_create(owner=None, name=f"demo/{skill}", defaults=facts)
    for builtin in benchmarks:
        spec = BenchmarkSpec.of_builtin(builtin.name)
        facts = described(spec, spec.load()) | {"title": builtin.title, "summary": builtin.summary}
        Benchmark.objects.update_or_create(owner=None, name=builtin.name, defaults=facts)


def hide(row: Parent | Benchmark) -> None:
    """Take it off the lists. Runs keep what they froze of it, and files stay."""
    type(row).objects.filter(pk=row.pk).update(hidden_at=Now())


def what_changed(folder: str, fingerprint: str) -> str:
    """Where the files differ from those that were registered with this fingerprint; "" when nobody knows. Reads all of them."""
    row = Parent.objects.filter(folder=folder, fingerprint=fingerprint).exclude(inventory={}).first()
    if row is None:
        return ""
    known = Inventory.from_json(row.inventory)
    try:
        return known.change(take_inventory(folder, known.algorithm))
    except ParentError as error:
        return str(error)


def described(spec: BenchmarkSpec, asked: Asked) -> dict[str, Any]:
    """What a row says of a benchmark; `asked` is what the spec stands for, with whatever of it is open here."""
    sizes = spec.sizes(asked)
    return {
        "spec": spec.to_json(),
        "digest": spec.digest,
        "scorer": asked.scorer,
        "n_search": sizes["search"],
        "n_validation": sizes["validation"],
        "n_final": sizes["final"],
    }


def change(row: Row, values: dict[str, Any]) -> Row:
    """Write these columns."""
    for name, value in values.items():
        setattr(row, name, value)
    row.save(update_fields=list(values))
    return row


def _facts(folder: Path) -> dict[str, Any]:
    facts, inventory = parent_facts(folder), take_inventory(folder)
    names = (
        "model_type",
        "n_layers",
        "hidden_size",
        "vocab_size",
        "n_parameters",
        "n_bytes",
        "dtype",
        "licence",
    )
    damaged = not_finite(facts.tensors.values())
    of_files = {"fingerprint": inventory.fingerprint, "inventory": inventory.to_json(), "not_finite": damaged}
    return of_files | {name: getattr(facts, name) for name in names}


def _free(names: list[str], taken: set[str]) -> str | None:
    return next((name for name in names if name not in taken), None)

"""What the process does that a worker starts for a push: the Hub's own client, in the name of whoever asked.

Files go one after the other; the Hub keeps what has arrived, so that whoever goes on sends only the rest. Only when all are there are they
put into the repository, by one commit. Large files go as plain uploads, without the Hub's chunked storage: each then has a hash that both
sides know beforehand.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Final
from uuid import UUID

import httpx2
from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Now
from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi, constants, get_session
from huggingface_hub.errors import HfHubHTTPError

from merging.cards import CARD
from merging.errors import MergingError
from merging.folders import SUMS, sums_text
from webapp.accounts.hub import token_of
from webapp.exports.cards import model_card
from webapp.exports.licensing import UNDECIDED, decision
from webapp.exports.models import MAIN, Push
from webapp.hub.client import PATIENT
from webapp.hub.errors import HubError, offline, plainly
from webapp.masking import masked

REPORT_SECONDS: Final = 1.0
NO_TOKEN: Final = "There is no token of yours here any more: give one that may write, under Account, and push again."


class Lost(Exception):
    """The claim is another's, or nobody wants the push any more."""


@dataclass(frozen=True)
class Arrived:
    """Where it can be seen. `pull_request` is its number, where it is one."""

    commit: str
    url: str
    pull_request: int | None


def carry_out(push_id: UUID, token: int) -> None:
    """What the process of a claimed push does, whatever comes of it; nothing is written when the claim is lost."""
    held = Push.objects.filter(pk=push_id, status="leased", lease_token=token)
    push = held.select_related("owner", "export__candidate__run__owner").first()
    if push is None:
        return
    try:
        arrived = _Pushing(push, held).push()
    except Lost:
        return
    except (MergingError, OSError) as error:
        kind = error.kind if isinstance(error, HubError) else "files"
        fail(held, kind, str(error))
    else:
        held.update(
            status="done", finished=Now(), lease_until=None, stage="", n_bytes_sent=push.n_bytes, **arrived.__dict__
        )


def fail(held: QuerySet[Push], kind: str, sentence: str) -> None:
    """It cannot be pushed, and why."""
    held.update(
        status="failed", failure_kind=kind, failure=masked(sentence), finished=Now(), lease_until=None, stage=""
    )


class _Pushing:
    """One push, from its files to its commit."""

    def __init__(self, push: Push, held: QuerySet[Push]) -> None:
        self._push, self._held = push, held
        self._shown, self._n_before = 0.0, 0

    def push(self) -> Arrived:
        """Sends all that is not there yet. HubError in words, OSError when a file cannot be read."""
        push = self._push
        if decision(push.export.candidate) is None:
            raise HubError("refused", UNDECIDED)
        if settings.OFFLINE:
            raise offline()
        token = token_of(push.owner)
        if token is None:
            raise HubError("token", NO_TOKEN)
        constants.HF_HUB_DISABLE_XET = True
        get_session().timeout = PATIENT  # the library itself would wait for ever
        api = HfApi(endpoint=settings.HUB_URL, token=token, library_name="progeny")
        with _in_words(push.repo), ExitStack() as opened:
            self._prepare(api)
            operations = list(self._sent(api, opened))
            return self._committed(api, operations)

    def _prepare(self, api: HfApi) -> None:
        """The repository and its branch, made where they are not there; a pull request goes to one that is."""
        push = self._push
        self._show("prepare", 0)
        if push.as_pull_request:
            api.model_info(push.repo)
            return
        api.create_repo(push.repo, private=push.is_private, exist_ok=True)
        if push.is_private and not api.model_info(push.repo).private:
            raise HubError(
                "refused",
                f"{push.repo} is there already, and everybody may see it. Choose another name, or push it as public.",
            )
        if push.branch != MAIN:
            api.create_branch(push.repo, branch=push.branch, exist_ok=True)

    def _sent(self, api: HfApi, opened: ExitStack) -> Iterator[CommitOperationAdd]:
        """Every file as a part of the commit; large ones have arrived when they come."""
        for file in self._push.export.files.exclude(name__in=(CARD, SUMS)):
            path = self._push.export.folder / file.name
            stream = opened.enter_context(_Counted(path, lambda n: self._show("send", self._n_before + n)))
            operation = CommitOperationAdd(file.name, stream)
            if operation.upload_info.sha256.hex() != file.sha256:
                raise OSError(f"{file.name} is not what was built any more: remove the export and build it again")
            stream.is_counting = True
            api.preupload_lfs_files(
                self._push.repo,
                [operation],
                revision=self._push.branch,
                create_pr=self._push.as_pull_request,
                free_memory=False,
            )
            self._n_before += file.n_bytes
            self._show("send", self._n_before, at_once=True)
            stream.is_counting = False
            yield operation
        texts = self._texts()
        yield from (CommitOperationAdd(name, text) for name, text in texts.items())

    def _texts(self) -> dict[str, bytes]:
        """The card as it is now, with the licence that was decided, and the sums with it."""
        card = model_card(self._push.export).encode()
        return {CARD: card, SUMS: sums_with(self._push, card)}

    def _committed(self, api: HfApi, operations: Sequence[CommitOperationAdd]) -> Arrived:
        push = self._push
        self._show("commit", self._n_before, at_once=True)
        if push.as_pull_request and push.attempts > 1 and (opened := self._opened(api)):
            return opened
        made: CommitInfo = api.create_commit(
            push.repo,
            operations,
            commit_message=self._title(),
            commit_description=push.export.candidate.recipe_digest,
            revision=push.branch,
            create_pr=push.as_pull_request,
        )
        return Arrived(made.oid, made.pr_url or f"{settings.HUB_URL}/{push.repo}/tree/{push.branch}", made.pr_num)

    def _opened(self, api: HfApi) -> Arrived | None:
        """The pull request of an attempt that ended before it could say so."""
        for one in api.get_repo_discussions(self._push.repo, discussion_type="pull_request", discussion_status="open"):
            if one.title == self._title():
                head = api.model_info(self._push.repo, revision=f"refs/pr/{one.num}").sha or ""
                return Arrived(head, one.url, one.num)
        return None

    def _title(self) -> str:
        """Of the commit or the pull request; no other push has the same."""
        candidate = self._push.export.candidate
        return f"{candidate.name} of {candidate.run.name}"[:150] + f" ({str(self._push.pk)[:8]})"

    def _show(self, stage: str, n_bytes: int, at_once: bool = False) -> None:
        """Once a second. Lost when this push is not ours any more."""
        if not at_once and time.monotonic() - self._shown < REPORT_SECONDS:
            return
        self._shown = time.monotonic()
        if not self._held.update(stage=stage, n_bytes_sent=n_bytes):
            raise Lost


class _Counted(BufferedReader):
    """A file that tells how far it was read, since `is_counting`."""

    def __init__(self, path: Path, heard: Callable[[int], None]) -> None:
        super().__init__(FileIO(path))
        self._heard, self.is_counting = heard, False

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        if self.is_counting:
            self._heard(self.tell())
        return found


def sums_with(push: Push, card: bytes) -> bytes:
    """`SHA256SUMS` of the export, with this card in the place of the one of when it was built."""
    sums = {file.name: file.sha256 for file in push.export.files.exclude(name=SUMS)}
    sums[CARD] = hashlib.sha256(card).hexdigest()
    return sums_text(sorted(sums.items())).encode()


@contextmanager
def _in_words(repo: str) -> Iterator[None]:
    """What goes wrong at the Hub, as somebody hears it who wanted to write there."""
    with plainly(repo, with_token=True):
        try:
            yield
        except HfHubHTTPError as error:
            if refused := _refused(error, repo):
                raise refused from error
            raise
        except RuntimeError as error:  # the library wraps what ends an upload
            cause = error.__cause__
            if isinstance(cause, HfHubHTTPError) and (refused := _refused(cause, repo)):
                raise refused from error
            raise cause or error from None
        except ValueError as error:
            raise HubError("refused", f"The Hub does not take it: {error}") from error


def _refused(error: HfHubHTTPError, repo: str) -> HubError | None:
    """What means something else to who writes than to who reads."""
    status = error.response.status_code
    if status == httpx2.codes.FORBIDDEN:
        return HubError(
            "token",
            f"Your token may not write to {repo}. Make one on the Hub that may, give it under Account, or choose a place of yours.",
        )
    if status == httpx2.codes.CONFLICT:
        return HubError(
            "busy", f"Somebody else has written to {repo} at the same moment. Push again: what has arrived stays there."
        )
    return None

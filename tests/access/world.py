"""One of everything that an address can name, all of it the owner's, and the persons who ask for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from merging.benchmarks import BenchmarkSpec
from merging.recipes import passthrough_recipe
from tests.webapp.exports.rows import built
from tests.webapp.library.folders import model_folder, question_file
from tests.webapp.runs.path_rows import make_path_run
from webapp.accounts.models import Invite
from webapp.accounts.roles import set_role
from webapp.api.models import SCOPES, Scope
from webapp.api.tokens import make
from webapp.exports.models import Push
from webapp.hub.downloads import request_download
from webapp.hub.models import Similarity
from webapp.hub.names import Wanted
from webapp.library.actions import add_benchmark, register_parent
from webapp.library.models import Fetch
from webapp.lineage.models import Sequel
from webapp.people.channels import add
from webapp.people.models import Link
from webapp.runs.models import Run
from webapp.sharing.actions import share
from webapp.sharing.projects import admit, begin, place
from webapp.system.models import Worker
from webapp.trials.actions import start

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
BODIES: Mapping[str, Mapping[str, str]] = {
    "runs:rename": {"name": "another name"},
    "runs:new_draft": {"key": "k1"},
    "runs:new_import": {"text": "genome: {models: [a], merge_method: ties}\ntasks: [sums]"},
    "sharing:share": {"name": "member", "role": "viewer"},
    "sharing:projects": {"name": "another project"},
    "sharing:project_member": {"name": "member", "role": "viewer"},
    "accounts:change_role": {"role": "viewer"},
    "accounts:invite": {"role": "viewer"},
    "library:benchmark_task_request": {"task": "", "metric": ""},
    "hub:start": {"repo": "org/name"},
    "system:reclaim": {"older": "30"},
}
"""What a form sends, where an empty one would be refused before anybody asks who sends it."""
API_BODIES: Mapping[str, Mapping[str, str]] = {
    "api:create_run": {"like": "RUN"},
    "api:create_import": {"mergekit_evolve": BODIES["runs:new_import"]["text"]},
    "api:rename_run": {"name": "another name"},
    "api:place_run": {"project": "PROJECT"},
    "api:create_export": {"kind": "folder"},
}
"""What a program sends; RUN and PROJECT are those of the world."""


@dataclass(frozen=True)
class World:
    """`users` by the names of the table, without `anonymous`; `things` are the parts of addresses by the names that routes give them."""

    users: Mapping[str, User]
    run: Run
    things: Mapping[str, Any]

    def address(self, route: str, **others: Any) -> str:
        """The address of a route, with its parts taken from here or from `others`."""
        things = {**self.things, **others}
        return reverse(route, kwargs={name: things[name] for name in parts()[route]})

    def client(self, person: str, **options: Any) -> Client:
        """Somebody's browser."""
        client = Client(**options)
        if person in self.users:
            client.force_login(self.users[person])
        return client

    def ask(self, person: str, method: str, route: str, **others: Any) -> Any:
        """What this person gets."""
        asking = getattr(self.client(person), method.lower())
        body = (BODIES.get(route, {}),) if method == "POST" else ()
        answer = asking(self.address(route, **others), *body)
        body_of(answer)
        return answer

    def ask_as_program(
        self, person: str, method: str, route: str, scopes: Sequence[Scope] = SCOPES, **others: Any
    ) -> Any:
        """What a program gets that brings a token of this person's."""
        words = {"RUN": str(self.run.pk), "PROJECT": str(self.things["project_id"])}
        content = {name: words.get(value, value) for name, value in API_BODIES.get(route, {}).items()}
        body = {"data": json.dumps(content), "content_type": "application/json"} if content else {}
        row, word = make(self.users[person], "a test", scopes, 1) if person in self.users else (None, "")
        headers = {"Authorization": f"Bearer {word}"} if row else {}
        answer = Client(headers=headers).generic(method, self.address(route, **others), **body)
        body_of(answer)
        if row:
            row.delete()
        return answer


def body_of(answer: Any) -> bytes:
    """All of an answer. Of a download as a server takes it, which closes its files."""
    if not answer.streaming:
        return bytes(answer.content)

    async def gathered() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    return asyncio.run(gathered())


def make_world(folder: Path) -> World:
    names = ("member", "viewer", "editor", "owner")
    users = {name: User.objects.create_user(name) for name in names}
    users["admin"] = User.objects.create_superuser("admin")
    users["onlooker"] = User.objects.create_user("onlooker")
    set_role(users["onlooker"], "viewer")
    owner = users["owner"]
    run = make_path_run(owner, n_generations=1, population=2)
    shares = {role: share(run, users[role], role) for role in ("viewer", "editor")}
    share(run, users["onlooker"], "editor")
    project = begin(owner, "a secret project")
    place(run, project)
    memberships = {role: admit(project, users[role], role) for role in ("viewer", "editor")}
    admit(project, users["onlooker"], "editor")
    link = Link.objects.create(run=run, digest="0" * 64, expires=LONG_AGO)
    Sequel.objects.create(first=run, name="what follows", config=run.config)
    candidates = list(run.candidates.filter(kind="evolved").order_by("index"))
    export = built(candidates[0], {"config.json": b"{}"})
    push = Push.objects.create(
        owner=owner, export=export, repo="owner/secret", n_bytes=2, status="failed", failure_kind="token"
    )
    parent = register_parent(owner, model_folder(folder / "model"))
    benchmark = add_benchmark(owner, question_file(folder / "sums.jsonl"))
    things = {
        "run_id": run.pk,
        "candidate_id": candidates[1].pk,
        "share_id": shares["viewer"].pk,
        "project_id": project.pk,
        "membership_id": memberships["viewer"].pk,
        "export_id": export.pk,
        "name": "config.json",
        "key": "no-key",
        "push_id": push.pk,
        "parent_id": parent.pk,
        "benchmark_id": benchmark.pk,
        "fetch_id": Fetch.objects.create(owner=owner, task="secret_task").pk,
        "trial_id": start(
            owner, passthrough_recipe(parent.model), [BenchmarkSpec.from_json(benchmark.spec)], "tried alone"
        ).pk,
        "download_id": request_download(owner, Wanted("secret/model")).pk,
        "similarity_id": Similarity.objects.create(owner=owner, base=parent, first=parent, second=parent).pk,
        "author": "org",
        "pack_name": "free",
        "form": "csv",
        "worker": Worker.objects.create(name="cpu0@here", started=LONG_AGO, seen=LONG_AGO).pk,
        "token": "no-token",
        "token_id": make(owner, "a laptop", (), 1)[0].pk,
        "rest": "nothing/here",
        "link_id": link.pk,
        "user_id": users["member"].pk,
        "invite_id": Invite.objects.create(digest="0" * 64, role="member", made_by=users["admin"], expires=LONG_AGO).pk,
        "channel_id": add(owner, "webhook", "https://secret.example/hook")[0].pk,
    }
    return World(users, run, things)


def parts() -> dict[str, list[str]]:
    """The names of the parts of every address of the site, by its route."""
    return dict(_parts(get_resolver(), ""))


def _parts(resolver: URLResolver, namespace: str) -> Any:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLPattern):
            yield f"{namespace}{pattern.name}", list(pattern.pattern.converters)
        else:
            yield from _parts(pattern, f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace)

"""The routes of the fake Hub that only read: search, a model, its tree, its files, who one is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlencode

from tests.hub.repos import POINTER_BYTES, Commit, Repo
from tests.hub.server import Call, Refused, Reply, Routes, answer

PAGE = 1000
REPO = r"(?P<repo>[\w.-]+(?:/[\w.-]+)?)"
ALWAYS = ("_id", "id")
"""What is answered beside what `expand` asks for."""
UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
ORDERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "downloads": lambda about: about["downloads"],
    "likes": lambda about: about["likes"],
    "lastModified": lambda about: about["lastModified"],
    "createdAt": lambda about: about["createdAt"],
    "trendingScore": lambda about: about["likes"],
}
routes = Routes()


@routes.add("GET", "/api/whoami-v2")
def whoami(call: Call) -> Reply:
    if call.user is None:
        raise Refused(401, "Invalid username or password.")
    token = {"displayName": "for Progeny", "role": "read", "createdAt": "2026-11-01T10:00:00.000Z"}
    return answer(
        {
            "type": "user",
            "name": call.user,
            "fullname": call.user.title(),
            "orgs": [],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


@routes.add("GET", "/api/models")
def search(call: Call) -> Reply:
    found = [repo.info(repo.commits[repo.refs["main"]]) for repo in call.hub.shelf.repos.values() if not repo.private]
    found = [about for about in found if _is_wanted(call, about)]
    if sort := call.said("sort"):
        if sort not in ORDERS:
            raise Refused(400, f"Invalid sort: {sort}")
        found.sort(key=ORDERS[sort], reverse=True)
    limit, start = min(int(call.said("limit", str(PAGE))), PAGE), int(call.said("cursor", "0"))
    page = found[start : start + limit]
    for about in page:
        _narrow(about, call.query.get("expand") or [])
    headers = {}
    if start + limit < len(found):
        more = {**call.query, "cursor": [str(start + limit)]}
        headers["Link"] = f'<{call.origin}/api/models?{urlencode(more, doseq=True)}>; rel="next"'
    return answer(page, headers=headers)


@routes.add("GET", rf"/api/models/{REPO}/auth-check")
def auth_check(call: Call) -> Reply:
    _check_gate(call, call.hub.repo(call))
    return answer({})


@routes.add("GET", rf"/api/models/{REPO}/tree/(?P<revision>[^/]+)(?:/(?P<folder>.+))?")
def tree(call: Call) -> Reply:
    repo = call.hub.repo(call)
    commit, folder = commit_of(call, repo), unquote(call.words["folder"] or "")
    found = []
    for name, blob in sorted(commit.files.items()):
        if name.startswith(f"{folder}/" if folder else ""):
            entry: dict[str, Any] = {"type": "file", "oid": blob.oid, "size": len(blob.content), "path": name}
            if blob.is_lfs:
                entry["lfs"] = {"oid": blob.sha256, "size": len(blob.content), "pointerSize": POINTER_BYTES}
            found.append(entry)
    return answer(found)


@routes.add("GET", rf"/api/models/{REPO}(?:/revision/(?P<revision>[^/]+))?")
def info(call: Call) -> Reply:
    repo = call.hub.repo(call)
    about = repo.info(commit_of(call, repo), call.said("blobs").lower() == "true")
    return answer(_narrow(about, call.query.get("expand") or []))


@routes.add("GET", r"/api/resolve-cache/models/(?P<repo>[\w.-]+/[\w.-]+)/(?P<revision>[0-9a-f]{40})/(?P<file>.+)")
def small_file(call: Call) -> Reply:
    repo = call.hub.repo(call)
    _check_gate(call, repo)
    commit = commit_of(call, repo)
    blob = commit.files[unquote(call.words["file"])]
    return _content(call, blob.content, {"ETag": f'"{blob.oid}"', "X-Repo-Commit": commit.sha})


@routes.add("GET", r"/storage/(?P<sha256>[0-9a-f]{64})")
def large_file(call: Call) -> Reply:
    """From the other origin, by an address that was signed."""
    if call.origin != call.hub.storage or call.said("Signature") != "signed":
        raise Refused(403, "SignatureDoesNotMatch")
    blobs = (
        blob for repo in call.hub.shelf.repos.values() for made in repo.commits.values() for blob in made.files.values()
    )
    found = next(blob for blob in blobs if blob.is_lfs and blob.sha256 == call.words["sha256"])
    return _content(call, found.content, {"ETag": f'"{found.sha256}"'})


@routes.add("GET", rf"/{REPO}/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
def resolve(call: Call) -> Reply:
    repo = call.hub.repo(call)
    _check_gate(call, repo)
    commit, name = commit_of(call, repo), unquote(call.words["file"])
    if name not in commit.files:
        raise Refused(404, "Entry not found", "EntryNotFound", X_Repo_Commit=commit.sha)
    blob = commit.files[name]
    headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
    if not blob.is_lfs:
        place = f"/api/resolve-cache/models/{repo.id}/{commit.sha}/{call.words['file']}"
        return Reply(307, headers={**headers, "ETag": f'"{blob.oid}"', "Location": place})
    linked = {"X-Linked-Size": str(len(blob.content)), "X-Linked-ETag": f'"{blob.sha256}"'}
    place = f"{call.hub.storage}/storage/{blob.sha256}?Signature=signed"
    return Reply(302, headers={**headers, **linked, "Location": place})


def commit_of(call: Call, repo: Repo) -> Commit:
    """The commit that a call is about."""
    revision = unquote(call.words.get("revision") or "main")
    found = repo.at(revision)
    if found is None:
        raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return found


def _check_gate(call: Call, repo: Repo) -> None:
    """As the Hub refuses: 401 to whom it does not know, 403 to whom it does, in these words."""
    if repo.may_read(call.user):
        return
    if call.user is None:
        raise Refused(
            401,
            f"Access to model {repo.id} is restricted. You must have access to it and be authenticated to access it. Please log in.",
            "GatedRepo",
        )
    if call.user in repo.refused:
        raise Refused(
            403, f"Your request to access model {repo.id} has been rejected by the repo's authors.", "GatedRepo"
        )
    if call.user in repo.waiting:
        raise Refused(
            403, f"Your request to access model {repo.id} is awaiting a review from the repo authors.", "GatedRepo"
        )
    raise Refused(
        403,
        f"Access to model {repo.id} is restricted and you are not in the authorized list. "
        f"Visit https://huggingface.co/{repo.id} to ask for access.",
        "GatedRepo",
    )


def _content(call: Call, content: bytes, headers: Mapping[str, str]) -> Reply:
    """All of it, or the range that is asked for."""
    asked = call.headers.get("range", "")
    if not asked:
        return Reply(200, content, {**headers, "Accept-Ranges": "bytes"})
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
    if found is None or int(found[1]) >= len(content):
        return Reply(416, headers={"Content-Range": f"bytes */{len(content)}"})
    start, stop = int(found[1]), min(int(found[2] or len(content) - 1), len(content) - 1)
    return Reply(206, content[start : stop + 1], {**headers, "Content-Range": f"bytes {start}-{stop}/{len(content)}"})


def _is_wanted(call: Call, about: dict[str, Any]) -> bool:
    asked = call.said("search").lower()
    wanted = [name for one in call.query.get("filter", []) for name in one.split(",")]
    total = about.get("safetensors", {}).get("total", 0)
    return (
        all(word in about["id"].lower() for word in asked.split())
        and call.said("author", about["author"]) == about["author"]
        and set(wanted) <= set(about["tags"])
        and (not (gated := call.said("gated")) or (gated.lower() == "true") == bool(about["gated"]))
        and _is_within(call.said("num_parameters"), total)
    )


def _is_within(asked: str, n: int) -> bool:
    """`min:6B,max:8B`."""
    for part in filter(None, asked.split(",")):
        found = re.fullmatch(r"(min|max):([0-9.]+)([KMBT]?)", part)
        if found is None:
            raise Refused(400, f"Invalid num_parameters: {asked}")
        bound = float(found[2]) * UNITS[found[3]]
        if n < bound if found[1] == "min" else n > bound:
            return False
    return True


def _narrow(about: dict[str, Any], expand: list[str]) -> dict[str, Any]:
    """Only what is asked for, where something is."""
    for name in [name for name in about if expand and name not in (*expand, *ALWAYS)]:
        del about[name]
    return about

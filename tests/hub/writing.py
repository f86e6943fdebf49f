"""The routes of the fake Hub that write: repositories, branches, large files, commits and pull requests.

Large files are put on the other origin, whole or, above `PART_BYTES`, in parts; they are of no repository until a commit names them.
`uploaded(hub)` are those, by SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import unquote

from tests.hub.reading import REPO
from tests.hub.repos import Blob, Repo, blob_of, put
from tests.hub.server import Call, FakeHub, Refused, Reply, Routes, answer

PART_BYTES = 200_000
routes = Routes()


def uploaded(hub: FakeHub) -> dict[str, bytes]:
    """Large files that have arrived."""
    found: dict[str, bytes] = hub.__dict__.setdefault("uploaded", {})
    return found


def pulls(hub: FakeHub, repo: Repo) -> list[dict[str, Any]]:
    """The pull requests of a repository, the newest last."""
    found: list[dict[str, Any]] = hub.__dict__.setdefault("pulls", {}).setdefault(repo.id, [])
    return found


@routes.add("POST", "/api/repos/create")
def create(call: Call) -> Reply:
    if call.user is None:
        raise Refused(401, "Invalid username or password.")
    owner = call.json.get("organization") or call.user
    name = f"{owner}/{call.json['name']}"
    if owner != call.user:
        raise Refused(403, f'You don\'t have the rights to create a model under the namespace "{owner}"')
    if name in call.hub.shelf.repos:
        return answer({"error": "You already created this model repo", "url": f"{call.hub.url}/{name}"}, status=409)
    repo = call.hub.shelf.repos[name] = Repo(name, private=call.json.get("visibility") == "private")
    put(repo, {".gitattributes": "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"})
    return answer({"url": f"{call.hub.url}/{name}", "name": name})


@routes.add("POST", "/api/validate-yaml")
def validate(call: Call) -> Reply:
    text = call.json["content"]
    if not text.startswith("---\n") or "\nlicense: " not in text.split("\n---")[0]:
        return answer({"errors": [{"message": '"license" must be a string'}], "warnings": []}, status=400)
    return answer({"errors": [], "warnings": []})


@routes.add("POST", rf"/api/models/{REPO}/branch/(?P<branch>[^/]+)")
def branch(call: Call) -> Reply:
    repo, name = _writable(call), unquote(call.words["branch"])
    if name in repo.refs:
        raise Refused(409, f"Reference already exists: {name}")
    repo.refs[name] = repo.refs["main"]
    return answer({})


@routes.add("POST", rf"/api/models/{REPO}/preupload/(?P<revision>[^/]+)")
def preupload(call: Call) -> Reply:
    repo = call.hub.repo(call) if call.said("create_pr") else _writable(call)
    commit = repo.at(unquote(call.words["revision"]))
    if commit is None:
        raise Refused(404, "Invalid rev id", "RevisionNotFound")
    found = []
    for file in call.json["files"]:
        mode = "lfs" if blob_of(file["path"], bytes(file["size"])).is_lfs else "regular"
        known = commit.files.get(file["path"])
        found.append(
            {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": known.etag if known else None}
        )
    return answer({"files": found})


@routes.add("POST", rf"/{REPO}\.git/info/lfs/objects/batch")
def batch(call: Call) -> Reply:
    if call.user is None:
        raise Refused(401, "Invalid username or password.")
    return answer({"transfer": "basic", "objects": [_wanted(call, one) for one in call.json["objects"]]})


@routes.add("PUT", r"/storage/put/(?P<sha256>[0-9a-f]{64})(?:/(?P<part>\d+))?")
def store(call: Call) -> Reply:
    if call.origin != call.hub.storage or call.said("Signature") != "signed":
        raise Refused(403, "SignatureDoesNotMatch")
    sha256, part = call.words["sha256"], call.words["part"]
    if part is None:
        if hashlib.sha256(call.body).hexdigest() != sha256:
            raise Refused(400, "BadDigest")
        uploaded(call.hub)[sha256] = call.body
    else:
        call.hub.__dict__.setdefault("parts", {})[sha256, int(part)] = call.body
    return Reply(200, headers={"ETag": f'"{hashlib.md5(call.body, usedforsecurity=False).hexdigest()}"'})


@routes.add("POST", r"/storage/complete/(?P<sha256>[0-9a-f]{64})")
def complete(call: Call) -> Reply:
    parts = call.hub.__dict__["parts"]
    whole = b"".join(parts[call.words["sha256"], one["partNumber"]] for one in call.json["parts"])
    if hashlib.sha256(whole).hexdigest() != call.words["sha256"]:
        raise Refused(400, "BadDigest")
    uploaded(call.hub)[call.words["sha256"]] = whole
    return answer({})


@routes.add("POST", "/api/lfs-verify")
def verify(call: Call) -> Reply:
    if len(uploaded(call.hub).get(call.json["oid"], b"")) != call.json["size"]:
        raise Refused(404, "Object not found")
    return answer({})


@routes.add("POST", rf"/api/models/{REPO}/commit/(?P<revision>[^/]+)")
def commit(call: Call) -> Reply:
    is_pull = bool(call.said("create_pr"))
    repo = call.hub.repo(call) if is_pull else _writable(call)
    lines = [json.loads(line) for line in call.body.splitlines()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    files = dict(_committed(call, line) for line in lines if line["key"] in ("file", "lfsFile"))
    ref = f"refs/pr/{len(pulls(call.hub, repo)) + 1}" if is_pull else unquote(call.words["revision"])
    if not is_pull and ref not in repo.refs:
        raise Refused(404, f"Invalid rev id: {ref}", "RevisionNotFound")
    repo.refs.setdefault(ref, repo.refs["main"])
    made = repo.commit(files, ref)
    told = {"success": True, "commitOid": made.sha, "commitUrl": f"{call.hub.url}/{repo.id}/commit/{made.sha}"}
    if is_pull:
        number = int(ref.rpartition("/")[2])
        pulls(call.hub, repo).append(_pull(call, repo, number, header["summary"]))
        told["pullRequestUrl"] = f"{call.hub.url}/{repo.id}/discussions/{number}"
    return answer(told)


@routes.add("GET", rf"/api/models/{REPO}/discussions")
def discussions(call: Call) -> Reply:
    found = [one for one in pulls(call.hub, call.hub.repo(call)) if call.said("status", one["status"]) == one["status"]]
    return answer({"discussions": found, "count": len(found), "start": 0})


def _pull(call: Call, repo: Repo, number: int, title: str) -> dict[str, Any]:
    return {
        "num": number,
        "title": title,
        "author": {"name": call.user},
        "createdAt": "2026-11-28T10:00:00.000Z",
        "status": "open",
        "isPullRequest": True,
        "repo": {"name": repo.id, "type": "model"},
    }


def _writable(call: Call) -> Repo:
    repo = call.hub.repo(call)
    if call.user is None:
        raise Refused(401, "Invalid username or password.")
    if call.user != repo.author:
        raise Refused(403, "You don't have the rights to push to this repo")
    return repo


def _wanted(call: Call, one: dict[str, Any]) -> dict[str, Any]:
    """What is to be done with one large file; nothing, when it is here."""
    sha256, size = one["oid"], one["size"]
    here = {
        blob.sha256
        for repo in call.hub.shelf.repos.values()
        for c in repo.commits.values()
        for blob in c.files.values()
    }
    if sha256 in uploaded(call.hub) or sha256 in here:
        return {"oid": sha256, "size": size}
    place = f"{call.hub.storage}/storage/put/{sha256}"
    upload: dict[str, Any] = {"href": f"{place}?Signature=signed"}
    if size > PART_BYTES:
        n = -(-size // PART_BYTES)
        parts = {str(i): f"{place}/{i}?Signature=signed" for i in range(1, n + 1)}
        upload = {
            "href": f"{call.hub.url}/storage/complete/{sha256}",
            "header": {"chunk_size": str(PART_BYTES), **parts},
        }
    return {
        "oid": sha256,
        "size": size,
        "actions": {"upload": upload, "verify": {"href": f"{call.hub.url}/api/lfs-verify"}},
    }


def _committed(call: Call, line: dict[str, Any]) -> tuple[str, Blob]:
    value = line["value"]
    if line["key"] == "file":
        return value["path"], Blob(base64.b64decode(value["content"]), is_lfs=False)
    content = uploaded(call.hub).get(value["oid"])
    if content is None:
        raise Refused(400, f"LFS pointer pointed to a file that does not exist: {value['path']}")
    return value["path"], Blob(content, is_lfs=True)

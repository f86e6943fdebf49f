"""The server and who asks it."""

from __future__ import annotations

from typing import cast

from ninja import Router

from webapp.accounts.roles import role_of
from webapp.api.models import Scope
from webapp.api.routes import GET
from webapp.api.security import READ, Asked
from webapp.api.shapes import server as shapes
from webapp.system import status
from webapp.system.checks import Check, checks
from webapp.system.status import Seen

router = Router(tags=["server"])


@router.api_operation(GET, "/me", response=shapes.Me, auth=READ, summary="Whose token this is, and what it may do")
def get_me(request: Asked) -> shapes.Me:
    token, user = request.auth, request.user
    scopes = cast("list[Scope]", token.scopes)
    return shapes.Me(
        name=user.get_username(),
        is_staff=user.is_staff,
        role=role_of(user),
        token=token.name,
        scopes=scopes,
        expires=token.expires,
    )


@router.api_operation(GET, "/server", response=shapes.Server, auth=READ, summary="Whether the server is well")
def get_server(request: Asked) -> shapes.Server:
    return shapes.Server(
        version=status.code_version(),
        checks=[_check(check) for check in checks()],
        workers=[_worker(seen) for seen in status.workers()],
    )


def _check(check: Check) -> shapes.Check:
    return shapes.Check(name=check.name, state=check.state, found=check.found, advice=check.advice)


def _worker(seen: Seen) -> shapes.Worker:
    row = seen.worker
    return shapes.Worker(
        name=row.name,
        device=row.device,
        is_alive=seen.alive,
        takes_work=seen.takes_work,
        is_drained=row.drained is not None,
        code_version=row.code_version,
        started=row.started,
        seen=row.seen,
    )

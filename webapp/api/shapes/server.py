"""The server, its workers, and who asks it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from webapp.accounts.roles import Role
from webapp.api.models import Scope


class Me(BaseModel):
    """Whose token this is, and what it may do."""

    name: str
    is_staff: bool
    role: Role
    token: str = Field(description="its name")
    scopes: list[Scope]
    expires: datetime


class Check(BaseModel):
    """How one part of the server is."""

    name: str
    state: Literal["ok", "warning", "failing"]
    found: str
    advice: str


class Worker(BaseModel):
    """A process that computes."""

    name: str
    device: str
    is_alive: bool = Field(description="it has reported within half a minute")
    takes_work: bool
    is_drained: bool
    code_version: str
    started: datetime
    seen: datetime


class Server(BaseModel):
    """What `/system/` tells people."""

    version: str
    checks: list[Check]
    workers: list[Worker]

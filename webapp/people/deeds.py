"""Which requests are deeds, and in which words the trail tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Deed:
    """`words` follow somebody's name and precede the object's. `fields` of the form are quoted."""

    words: str
    fields: tuple[str, ...] = ()


DEEDS: Final[dict[str, Deed]] = {
    "runs:new": Deed("launched"),
    "runs:pause": Deed("asked to pause"),
    "runs:resume": Deed("asked to resume"),
    "runs:stop": Deed("asked to stop"),
    "runs:rename": Deed("renamed", ("name",)),
    "runs:delete": Deed("deleted"),
    "lineage:as_parent": Deed("made a parent of a candidate of"),
    "lineage:go_on": Deed("let another run follow"),
    "lineage:call_off": Deed("called off what was to follow"),
    "sharing:share": Deed("shared", ("name", "role")),
    "sharing:unshare": Deed("took a role away in"),
    "sharing:place": Deed("changed the project of"),
    "sharing:projects": Deed("began", ("name",)),
    "sharing:project_rename": Deed("renamed", ("name",)),
    "sharing:project_delete": Deed("deleted"),
    "sharing:project_member": Deed("shared", ("name", "role")),
    "sharing:project_leave": Deed("took a role away in"),
    "sharing:project_displace": Deed("took out of its project"),
    "people:links": Deed("made a link to"),
    "people:link_revoke": Deed("revoked a link to"),
    "people:channels": Deed("has notices told elsewhere for", ("target",)),
    "people:channel_remove": Deed("has notices told no more for"),
    "exports:start": Deed("asked for an export of a candidate of"),
    "exports:remove": Deed("removed"),
    "exports:licence": Deed("decided on the licence of a candidate of", ("licence",)),
    "exports:push": Deed("asked to push to the Hub", ("repo",)),
    "exports:call_off": Deed("called off a push of"),
    "exports:file": Deed("downloaded"),
    "exports:zip": Deed("downloaded all of"),
    "library:parents": Deed("registered a model for", ("folder",)),
    "library:parent_hide": Deed("took off the list"),
    "library:benchmark_new": Deed("added a benchmark for"),
    "library:benchmark_deal": Deed("dealt anew"),
    "library:benchmark_hide": Deed("took off the list"),
    "hub:start": Deed("asked for a model of the Hub for"),
    "hub:pack": Deed("asked for models of the Hub for"),
    "hub:pause": Deed("paused a fetch for"),
    "hub:resume": Deed("went on with a fetch for"),
    "hub:cancel": Deed("called off a fetch for"),
    "hub:remove": Deed("removed the files of"),
    "accounts:change_password": Deed("changed the password of"),
    "accounts:change_role": Deed("changed the role of", ("role",)),
    "accounts:switch": Deed("switched off or on"),
    "accounts:invite": Deed("made an invitation for", ("role",)),
    "accounts:invite_revoke": Deed("revoked an invitation for"),
    "accounts:join": Deed("accepted an invitation with"),
    "accounts:keep_hub_token": Deed("left a token of the Hub for"),
    "accounts:remove_hub_token": Deed("removed the token of the Hub from"),
    "api:tokens": Deed("made a token for", ("name",)),
    "api:revoke": Deed("revoked"),
    "system:reclaim": Deed("removed old exports for", ("older",)),
    "system:drain": Deed("drained"),
    "system:resume": Deed("let work again"),
    "api:place_run": Deed("changed the project of"),
    "api:create_run": Deed("launched"),
    "api:rename_run": Deed("renamed"),
    "api:delete_run": Deed("deleted"),
    "api:pause_run": Deed("paused"),
    "api:resume_run": Deed("resumed"),
    "api:stop_run": Deed("stopped"),
    "api:create_export": Deed("asked for an export of a candidate of"),
    "api:delete_export": Deed("removed"),
    "api:get_file": Deed("downloaded"),
}
"""By the route."""
READ: Final = frozenset({"exports:file", "exports:zip", "api:get_file"})
"""Deeds that change nothing."""

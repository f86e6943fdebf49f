"""Who gets what from every address of the site: the table that `test_matrix.py` holds the site to.

One line is a route, a method that it knows, and what each person gets: `anonymous` is not signed in, `member` has an account, `viewer` and
`editor` are whom the owner has shared the run with, `owner` made everything that the address names, `admin` looks after the server, and
`onlooker`, a viewer on the server, is whom the owner has made an editor of the run.
`in` is a redirect to sign-in. HEAD is answered as GET is; methods without a line are refused with 405, or lead to sign-in.
A new route needs its lines here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PERSONS: Final = ("anonymous", "member", "viewer", "editor", "owner", "admin", "onlooker")
HTTP: Final = """
route                              method  anonymous member viewer editor owner admin onlooker

runs:list                          GET     in        200    200    200    200   200   200
runs:archive                       POST    in        302    302    302    302   302   403
runs:new                           GET     in        200    200    200    200   200   403
runs:new                           POST    in        200    200    200    200   200   403
runs:new_summary                   POST    in        200    200    200    200   200   403
runs:new_draft                     POST    in        204    204    204    204   204   403
runs:new_afresh                    POST    in        302    302    302    302   302   403
runs:new_import                    POST    in        302    302    302    302   302   403
runs:new_try                       POST    in        200    200    200    200   200   403
runs:detail                        GET     in        404    200    200    200   404   200
runs:history                       GET     in        404    200    200    200   404   200
runs:benchmark_scores              GET     in        404    200    200    200   404   200
runs:annotations                   GET     in        404    200    200    200   404   200
runs:genes                         GET     in        404    200    200    200   404   200
runs:timeline                      GET     in        404    200    200    200   404   200
runs:standings                     GET     in        200    200    200    200   200   200
runs:leaderboard                   GET     in        404    200    200    200   404   200
runs:leaderboard_csv               GET     in        404    200    200    200   404   200
runs:leaderboard_json              GET     in        404    200    200    200   404   200
runs:candidate                     GET     in        404    200    200    200   404   200
runs:compare                       GET     in        404    302    302    302   404   302
runs:pause                         POST    in        404    403    302    302   404   403
runs:resume                        POST    in        404    403    302    302   404   403
runs:stop                          POST    in        404    403    302    302   404   403
runs:rename                        POST    in        404    403    302    302   404   403
runs:probe                         POST    in        404    403    302    302   404   403
runs:delete                        POST    in        404    403    403    302   404   403

analysis:compare                   GET     in        200    200    200    200   200   200
analysis:histories                 GET     in        200    200    200    200   200   200
analysis:genes                     GET     in        404    200    200    200   404   200
analysis:genes_data                GET     in        404    200    200    200   404   200

sharing:share                      POST    in        404    403    403    302   404   403
sharing:unshare                    POST    in        404    302    404    302   404   403

sharing:place                      POST    in        404    403    403    302   404   403
sharing:projects                   GET     in        200    200    200    200   200   200
sharing:projects                   POST    in        302    302    302    302   302   403
sharing:project                    GET     in        404    200    200    200   404   200
sharing:project_rename             POST    in        404    403    403    302   404   403
sharing:project_delete             POST    in        404    403    403    302   404   403
sharing:project_member             POST    in        404    403    403    302   404   403
sharing:project_leave              POST    in        404    302    404    302   404   403
sharing:project_displace           POST    in        404    403    403    302   404   403

exports:list                       GET     in        200    200    200    200   200   200
exports:row                        GET     in        404    200    200    200   404   200
exports:start                      POST    in        404    403    302    302   404   403
exports:detail                     GET     in        404    302    302    302   404   302
exports:zip                        GET     in        404    200    200    200   404   200
exports:file                       GET     in        404    200    200    200   404   200
exports:remove                     POST    in        404    403    403    302   404   403
exports:script                     GET     in        404    200    200    200   404   200
exports:keyed                      GET     404       404    404    404    404   404   404
exports:licence                    POST    in        404    403    302    302   404   403
exports:push                       POST    in        404    403    302    302   404   403
exports:push_row                   GET     in        404    302    302    302   404   302
exports:call_off                   POST    in        404    403    302    302   404   403

lineage:as_parent                  GET     in        404    403    403    200   404   403
lineage:as_parent                  POST    in        404    403    403    302   404   403
lineage:genealogy                  GET     in        404    200    200    200   404   200
lineage:sequel                     GET     in        404    302    302    302   404   302
lineage:go_on                      POST    in        404    403    403    302   404   403
lineage:call_off                   POST    in        404    403    403    302   404   403

marks:star                         POST    in        404    403    302    302   404   403
marks:note                         POST    in        404    403    302    302   404   403

library:parents                    GET     in        200    200    200    200   200   200
library:parents                    POST    in        403    403    403    403   200   403
library:parent                     GET     in        404    404    404    200   404   404
library:parent_hide                POST    in        404    404    404    302   404   403
library:benchmarks                 GET     in        200    200    200    200   200   200
library:benchmark                  GET     in        404    404    404    200   404   404
library:benchmark_deal             POST    in        404    404    404    200   404   403
library:starters                   POST    in        403    403    403    403   302   403
library:benchmark_hide             POST    in        404    404    404    302   404   403
library:benchmark_new              GET     in        200    200    200    200   200   403
library:benchmark_new              POST    in        200    200    200    200   200   403
library:benchmark_template         GET     in        200    200    200    200   200   200
library:benchmark_tasks            GET     in        200    200    200    200   200   200
library:benchmark_task_requests    GET     in        200    200    200    200   200   200
library:benchmark_task_request     POST    in        302    302    302    302   302   403
library:benchmark_task_forget      POST    in        404    404    404    302   404   403

hub:find                           GET     in        200    200    200    200   200   200
hub:results                        GET     in        200    200    200    200   200   200
hub:model                          GET     in        200    200    200    200   200   200
hub:look                           GET     in        200    200    200    200   200   200
hub:fit                            GET     in        200    200    200    200   200   200
hub:pack                           POST    in        302    302    302    302   302   403
hub:start                          POST    in        302    302    302    302   302   403
hub:downloads                      GET     in        200    200    200    200   200   200
hub:pause                          POST    in        404    404    404    302   404   403
hub:resume                         POST    in        404    404    404    302   404   403
hub:cancel                         POST    in        404    404    404    302   404   403
hub:similarity                     GET     in        200    200    200    200   200   200
hub:similarity                     POST    in        200    200    200    200   200   403
hub:similarity_state               GET     in        404    404    404    200   404   404
hub:similarity_data                GET     in        404    404    404    200   404   404
hub:remove                         GET     in        404    404    404    404   404   404
hub:remove                         POST    in        404    404    404    404   404   403
trials:start                       GET     in        200    200    200    200   200   200
trials:start                       POST    in        200    200    200    200   200   403
trials:detail                      GET     in        404    404    404    200   404   404
trials:forget                      POST    in        404    404    404    302   404   403

accounts:login                     GET     200       302    302    302    302   302   302
accounts:login                     POST    200       302    302    302    302   302   302
accounts:logout                    POST    in        302    302    302    302   302   302
accounts:setup                     GET     410       410    410    410    410   410   410
accounts:setup                     POST    410       410    410    410    410   410   410
accounts:people                    GET     in        403    403    403    403   200   403
accounts:change_role               POST    in        403    403    403    403   302   403
accounts:switch                    POST    in        403    403    403    403   302   403
accounts:invite                    POST    in        403    403    403    403   201   403
accounts:invite_revoke             POST    in        403    403    403    403   302   403
accounts:join                      GET     410       410    410    410    410   410   410
accounts:join                      POST    410       410    410    410    410   410   410
accounts:account                   GET     in        200    200    200    200   200   200
accounts:change_password           POST    in        200    200    200    200   200   200
accounts:keep_hub_token            POST    in        200    200    200    200   200   403
accounts:remove_hub_token          POST    in        302    302    302    302   302   403

api:tokens                         GET     in        200    200    200    200   200   200
api:tokens                         POST    in        200    200    200    200   200   200
api:revoke                         POST    in        404    404    404    302   404   404
api:docs                           GET     in        200    200    200    200   200   200
api:document                       GET     200       200    200    200    200   200   200

people:links                       GET     in        404    403    403    200   404   403
people:links                       POST    in        404    403    403    200   404   403
people:link_revoke                 POST    in        404    403    403    302   404   403
people:shared                      GET     404       404    404    404    404   404   404
people:channels                    GET     in        200    200    200    200   200   200
people:channels                    POST    in        200    200    200    200   200   403
people:channel_test                POST    in        404    404    404    302   404   403
people:channel_remove              POST    in        404    404    404    302   404   403
people:trail                       GET     in        200    200    200    200   200   200
people:notices                     GET     in        200    200    200    200   200   200
people:seen                        POST    in        302    302    302    302   302   302

system:page                        GET     in        200    200    200    200   200   200
system:pills                       GET     in        200    200    200    200   200   200
system:reclaim                     POST    in        403    403    403    403   302   403
system:drain                       POST    in        403    403    403    403   302   403
system:resume                      POST    in        403    403    403    403   302   403
health                             GET     200       200    200    200    200   200   200
metrics                            GET     401       403    403    403    403   200   403
"""
API: Final = """
route                              method  anonymous member viewer editor owner admin onlooker

api:get_me                         GET     401       200    200    200    200   200   200
api:get_server                     GET     401       200    200    200    200   200   200
api:list_parents                   GET     401       200    200    200    200   200   200
api:get_parent                     GET     401       404    404    404    200   404   404
api:list_benchmarks                GET     401       200    200    200    200   200   200
api:get_benchmark                  GET     401       404    404    404    200   404   404
api:list_runs                      GET     401       200    200    200    200   200   200
api:create_run                     POST    401       404    422    422    422   404   403
api:create_import                  POST    401       201    201    201    201   201   403
api:get_run                        GET     401       404    200    200    200   404   200
api:rename_run                     PATCH   401       404    403    200    200   404   403
api:delete_run                     DELETE  401       404    403    403    204   404   403
api:pause_run                      POST    401       404    403    200    200   404   403
api:resume_run                     POST    401       404    403    409    409   404   403
api:stop_run                       POST    401       404    403    200    200   404   403
api:archive_run                    POST    401       404    403    403    409   404   403
api:unarchive_run                  POST    401       404    403    403    409   404   403
api:place_run                      PUT     401       404    403    403    200   404   403
api:list_projects                  GET     401       200    200    200    200   200   200
api:list_events                    GET     401       404    200    200    200   404   200
api:list_leaderboard               GET     401       404    200    200    200   404   200
api:get_candidate                  GET     401       404    200    200    200   404   200
api:list_exports                   GET     401       200    200    200    200   200   200
api:create_export                  POST    401       404    403    201    201   404   403
api:get_export                     GET     401       404    200    200    200   404   200
api:delete_export                  DELETE  401       404    403    403    204   404   403
api:get_file                       GET     401       404    200    200    200   404   200
api:nowhere                        GET     404       404    404    404    404   404   404
"""
"""For programs, which bring a token of the person's with every scope; `anonymous` brings none. Nothing here leads to sign-in."""
WEBSOCKETS: Final = """
route                              method  anonymous member viewer editor owner admin onlooker

/ws/runs/<uuid:run_id>/            open    4401      4404   open   open   open  4404   open
"""


@dataclass(frozen=True)
class Row:
    """What each person gets from one route by one method, as the table has it."""

    route: str
    method: str
    answers: dict[str, str]

    def __str__(self) -> str:
        return f"{self.method} {self.route}"


def rows(table: str) -> list[Row]:
    """The lines of a table; ValueError where one has too few or too many words."""
    lines = [line.split() for line in table.strip().splitlines()[1:] if line]
    return [Row(route, method, dict(zip(PERSONS, answers, strict=True))) for route, method, *answers in lines]

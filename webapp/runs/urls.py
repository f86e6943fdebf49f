"""Addresses of runs and candidates."""

from django.urls import path

from webapp.runs.views import (
    acts,
    candidate,
    compare,
    drafts,
    first_try,
    leaderboard,
    listing,
    live,
    new,
    pictures,
    probe,
    standings,
)

app_name = "runs"
urlpatterns = [
    path("", listing.runs, name="list"),
    path("leaderboard/", standings.across_runs, name="standings"),
    path("runs/archive/", listing.put_away, name="archive"),
    path("runs/new/", new.new_run, name="new"),
    path("runs/new/summary/", new.summary, name="new_summary"),
    path("runs/new/draft/", drafts.keep, name="new_draft"),
    path("runs/new/afresh/", drafts.start_afresh, name="new_afresh"),
    path("runs/new/import/", drafts.bring, name="new_import"),
    path("runs/new/try/", first_try.first_try, name="new_try"),
    path("runs/<uuid:run_id>/", live.detail, name="detail"),
    path("runs/<uuid:run_id>/leaderboard/", leaderboard.detail, name="leaderboard"),
    path("runs/<uuid:run_id>/leaderboard.csv", leaderboard.as_csv, name="leaderboard_csv"),
    path("runs/<uuid:run_id>/leaderboard.json", leaderboard.as_json, name="leaderboard_json"),
    path("runs/<uuid:run_id>/history.json", live.history, name="history"),
    path("runs/<uuid:run_id>/benchmark.json", pictures.benchmark, name="benchmark_scores"),
    path("runs/<uuid:run_id>/annotations.json", pictures.notes, name="annotations"),
    path("runs/<uuid:run_id>/genes.json", pictures.genes, name="genes"),
    path("runs/<uuid:run_id>/timeline.json", pictures.timeline, name="timeline"),
    path("runs/<uuid:run_id>/pause/", acts.pause, name="pause"),
    path("runs/<uuid:run_id>/resume/", acts.resume, name="resume"),
    path("runs/<uuid:run_id>/stop/", acts.stop, name="stop"),
    path("runs/<uuid:run_id>/rename/", acts.rename, name="rename"),
    path("runs/<uuid:run_id>/delete/", acts.delete, name="delete"),
    path("runs/<uuid:run_id>/candidates/<int:candidate_id>/", candidate.detail, name="candidate"),
    path("runs/<uuid:run_id>/candidates/<int:candidate_id>/compare/", compare.pair, name="compare"),
    path("runs/<uuid:run_id>/candidates/<int:candidate_id>/probe/", probe.ask, name="probe"),
]

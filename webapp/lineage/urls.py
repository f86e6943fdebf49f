"""Addresses of what comes of candidates and runs."""

from django.urls import path

from webapp.lineage import views

app_name = "lineage"
urlpatterns = [
    path("runs/<uuid:run_id>/candidates/<int:candidate_id>/parent/", views.as_parent, name="as_parent"),
    path("runs/<uuid:run_id>/genealogy/", views.genealogy, name="genealogy"),
    path("runs/<uuid:run_id>/sequel/", views.sequel, name="sequel"),
    path("runs/<uuid:run_id>/sequel/go-on/", views.go_on, name="go_on"),
    path("runs/<uuid:run_id>/sequel/call-off/", views.call_off, name="call_off"),
]

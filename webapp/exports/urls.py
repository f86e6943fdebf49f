"""Addresses of downloads."""

from django.urls import path

from webapp.exports import publishing, views

app_name = "exports"
urlpatterns = [
    path("exports/", views.exports, name="list"),
    path("runs/<uuid:run_id>/candidates/<int:candidate_id>/export/", views.start, name="start"),
    path("exports/<uuid:export_id>/", views.detail, name="detail"),
    path("exports/<uuid:export_id>/row/", views.row, name="row"),
    path("exports/<uuid:export_id>/remove/", views.remove, name="remove"),
    path("exports/<uuid:export_id>/zip/", views.archive, name="zip"),
    path("exports/<uuid:export_id>/files/<str:name>", views.file, name="file"),
    path("exports/<uuid:export_id>/download.sh", views.script, name="script"),
    path("exports/<uuid:export_id>/keyed/<str:key>/<str:name>", views.keyed, name="keyed"),
    path("runs/<uuid:run_id>/candidates/<int:candidate_id>/licence/", publishing.decide_licence, name="licence"),
    path("exports/<uuid:export_id>/push/", publishing.push, name="push"),
    path("exports/pushes/<uuid:push_id>/", publishing.push_row, name="push_row"),
    path("exports/pushes/<uuid:push_id>/call-off/", publishing.call_off, name="call_off"),
]

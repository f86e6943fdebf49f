"""Addresses of downloads."""

from django.urls import path

from webapp.exports import views

app_name = "exports"
urlpatterns = [
    path("exports/", views.exports, name="list"),
    path("runs/<uuid:run_id>/candidates/<int:candidate_id>/export/", views.start, name="start"),
    path("exports/<uuid:export_id>/", views.detail, name="detail"),
    path("exports/<uuid:export_id>/row/", views.row, name="row"),
    path("exports/<uuid:export_id>/remove/", views.remove, name="remove"),
    path("exports/<uuid:export_id>/zip/", views.archive, name="zip"),
    path("exports/<uuid:export_id>/files/<str:name>", views.file, name="file"),
]

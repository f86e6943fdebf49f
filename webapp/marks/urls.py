"""Addresses of what people write beside candidates."""

from django.urls import path

from webapp.marks import views

app_name = "marks"
urlpatterns = [
    path("runs/<uuid:run_id>/candidates/<int:candidate_id>/star/", views.star, name="star"),
    path("runs/<uuid:run_id>/candidates/<int:candidate_id>/note/", views.note, name="note"),
]

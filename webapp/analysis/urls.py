"""Addresses of comparisons, and of the genes of a run."""

from django.urls import path

from webapp.analysis import views

app_name = "analysis"
urlpatterns = [
    path("compare/", views.compare, name="compare"),
    path("compare/histories.json", views.histories_data, name="histories"),
    path("runs/<uuid:run_id>/genes/", views.genes_page, name="genes"),
    path("runs/<uuid:run_id>/genes/scores.json", views.genes_data, name="genes_data"),
]

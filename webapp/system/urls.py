"""The address of the system page."""

from django.urls import path

from webapp.system import views

app_name = "system"
urlpatterns = [path("", views.page, name="page")]

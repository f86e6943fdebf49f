"""Addresses of sign-in and set-up."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from webapp.accounts import views

app_name = "accounts"
urlpatterns = [
    path("sign-in/", views.SignIn.as_view(), name="login"),
    path("sign-out/", LogoutView.as_view(), name="logout"),
    path("setup/<str:token>/", views.first_user, name="setup"),
]

"""Addresses of sign-in, set-up and one's account."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from webapp.accounts.views import account, sign_in

app_name = "accounts"
urlpatterns = [
    path("sign-in/", sign_in.SignIn.as_view(), name="login"),
    path("sign-out/", LogoutView.as_view(http_method_names=["post"]), name="logout"),
    path("setup/<str:token>/", sign_in.first_user, name="setup"),
    path("account/", account.account, name="account"),
    path("account/password/", account.change_password, name="change_password"),
    path("account/hub-token/", account.keep_hub_token, name="keep_hub_token"),
    path("account/hub-token/remove/", account.remove_hub_token, name="remove_hub_token"),
]

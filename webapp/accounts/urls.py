"""Addresses of sign-in, set-up and one's account."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from webapp.accounts.views import account, people, sign_in

app_name = "accounts"
urlpatterns = [
    path("sign-in/", sign_in.SignIn.as_view(), name="login"),
    path("sign-out/", LogoutView.as_view(http_method_names=["post"]), name="logout"),
    path("setup/<str:token>/", sign_in.first_user, name="setup"),
    path("join/<str:key>/", people.join, name="join"),
    path("accounts/", people.accounts, name="people"),
    path("accounts/<int:user_id>/role/", people.change_role, name="change_role"),
    path("accounts/<int:user_id>/switch/", people.switch, name="switch"),
    path("accounts/invitations/", people.invite, name="invite"),
    path("accounts/invitations/<int:invite_id>/revoke/", people.revoke, name="invite_revoke"),
    path("account/", account.account, name="account"),
    path("account/password/", account.change_password, name="change_password"),
    path("account/hub-token/", account.keep_hub_token, name="keep_hub_token"),
    path("account/hub-token/remove/", account.remove_hub_token, name="remove_hub_token"),
]

"""The forms of sign-in, set-up and one's account: Django's own, with our words."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import NON_FIELD_ERRORS
from django.core.validators import RegexValidator
from django.http import HttpRequest

from webapp.accounts import tries
from webapp.accounts.requests import SignedIn
from webapp.accounts.roles import MEANINGS, ROLES
from webapp.masking import TOKEN

PASSWORD_HELP: Final = "At least 8 characters, and not a common password."


class SignInForm(AuthenticationForm):
    """Name and password. Too many tries are refused before the password is looked at."""

    request: HttpRequest

    error_messages = {
        "invalid_login": "No account has this name and password. Both are case-sensitive.",
        "inactive": "This account is switched off. Ask who looks after this server.",
        "too_many": "Too many tries. Wait a minute, then try again.",
    }

    @property
    def is_refused(self) -> bool:
        """Whether there were too many tries."""
        return self.has_error(NON_FIELD_ERRORS, "too_many")

    def clean(self) -> dict[str, Any]:
        """See `webapp.accounts.tries`."""
        name = self.cleaned_data.get("username", "")
        if not tries.may_try(self.request, name):
            raise forms.ValidationError(self.error_messages["too_many"], "too_many")
        cleaned = super().clean()
        tries.forgive(self.request, name)
        return cleaned


class FirstUserForm(forms.Form):
    """Name and password of the person who looks after this installation."""

    username = forms.CharField(
        label="Your name here",
        max_length=150,
        validators=[UnicodeUsernameValidator()],
        help_text="Letters, digits and @ . + - _",
        widget=forms.TextInput(attrs={"autocomplete": "username", "autofocus": True}),
    )
    password = forms.CharField(
        strip=False,
        help_text=PASSWORD_HELP,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean(self) -> dict[str, Any]:
        """The password's rules look at the name, too."""
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if name and password:
            try:
                validate_password(password, User(username=name))
            except forms.ValidationError as error:
                self.add_error("password", error)
        return self.cleaned_data


class RoleForm(forms.Form):
    """What an account is, or one that is made with an invitation."""

    role = forms.ChoiceField(
        label="As", choices=[(role, f"{role.capitalize()}: {MEANINGS[role]}") for role in ROLES], initial="member"
    )


class PasswordForm(PasswordChangeForm):
    """Another password for oneself. The old one may be guessed no oftener than at sign-in."""

    error_messages = {
        "password_incorrect": "This is not your password.",
        "password_mismatch": "The two new passwords differ.",
        "too_many": "Too many tries. Wait a minute, then try again.",
    }

    def __init__(self, request: SignedIn, data: Any = None) -> None:
        self._request = request
        super().__init__(request.user, data)
        self.fields["old_password"].label = "Your password now"
        self.fields["new_password1"].label = "The new one"
        self.fields["new_password1"].help_text = PASSWORD_HELP
        self.fields["new_password2"].label = "The new one again"
        self.fields["new_password2"].help_text = ""
        self.fields["old_password"].widget.attrs.pop("autofocus", None)

    def clean_old_password(self) -> str:
        name = self.user.get_username()
        if not tries.may_try(self._request, name):
            raise forms.ValidationError(self.error_messages["too_many"], "too_many")
        old = super().clean_old_password()
        tries.forgive(self._request, name)
        return old


class HubTokenForm(forms.Form):
    """A token of the Hugging Face Hub. It is never shown again, not even after a mistake."""

    token = forms.CharField(
        label="Access token",
        max_length=200,
        help_text="From huggingface.co, Settings, Access Tokens. To fetch models and data sets, one that may only read is enough; to push "
        "models, it has to be one that may write.",
        validators=[
            RegexValidator(
                f"^{TOKEN.pattern}\\Z", "This is no access token: those begin with hf_ and have letters and digits."
            )
        ],
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )

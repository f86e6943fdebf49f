"""The forms of sign-in and set-up: Django's own, with our words."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator


class SignInForm(AuthenticationForm):
    """Name and password."""

    error_messages = {
        "invalid_login": "No account has this name and password. Both are case-sensitive.",
        "inactive": "This account is switched off. Ask who looks after this server.",
    }


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
        help_text="At least 8 characters, and not a common password.",
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

"""Where one's notices go besides the bell."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from webapp.accounts.requests import SignedIn
from webapp.people.channels import add, ask_for_test
from webapp.people.egress import MAX_URL, EgressError, target_of
from webapp.people.models import Channel, ChannelKind, Delivery
from webapp.quotas import QuotaError

N_SHOWN = 3


class ChannelForm(forms.Form):
    """An address of https, or of mail; valid, `kind` says which."""

    target = forms.CharField(
        label="Address",
        max_length=MAX_URL,
        help_text="Of a server, such as https://example.org/hook, which gets a signed request; or of mail.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    kind: ChannelKind = "webhook"

    def clean_target(self) -> str:
        """Its letters alone are looked at: where it leads is found out whenever something is sent."""
        target: str = self.cleaned_data["target"]
        if "://" in target:
            try:
                target_of(target)
            except EgressError as error:
                raise ValidationError(str(error)) from error
            return target
        validate_email(target)
        self.kind = "mail"
        return target


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def channels(request: SignedIn) -> HttpResponse:
    """One's channels; posted, one more, whose secret this answer alone shows."""
    form = ChannelForm(request.POST or None)
    if not form.is_valid():
        return _page(request, form)
    try:
        channel, secret = add(request.user, form.kind, form.cleaned_data["target"])
    except QuotaError as error:
        form.add_error(None, f"{error}.")
        return _page(request, form)
    answer = _page(request, ChannelForm(), made=channel, secret=secret)
    answer.status_code = HTTPStatus.CREATED
    return answer


@require_POST
def test(request: SignedIn, channel_id: int) -> HttpResponse:
    """Have something sent there."""
    ask_for_test(_own(request, channel_id))
    messages.success(request, "It is sent within seconds. Look at this page again to see whether it arrived.")
    return redirect("people:channels")


@require_POST
def remove(request: SignedIn, channel_id: int) -> HttpResponse:
    """Nothing goes there any more."""
    _own(request, channel_id).delete()
    messages.success(request, "Nothing goes there any more.")
    return redirect("people:channels")


def _own(request: SignedIn, channel_id: int) -> Channel:
    return get_object_or_404(Channel, pk=channel_id, owner=request.user)


def _page(request: SignedIn, form: ChannelForm, **made: Any) -> HttpResponse:
    own = list(Channel.objects.filter(owner=request.user))
    shown = [(channel, Delivery.objects.filter(channel=channel)[:N_SHOWN]) for channel in own]
    return render(request, "people/channels.html", {"form": form, "channels": shown, **made})

"""How alike two models here are, as a picture."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from merging.similarity import Likeness
from webapp.accounts.requests import SignedIn
from webapp.hub.models import Similarity
from webapp.hub.similarities import heat_map, request_similarity, with_models
from webapp.library.models import Parent
from webapp.quotas import QuotaError


class SimilarityForm(forms.Form):
    """Two models, and what both were made from."""

    first = forms.ModelChoiceField(Parent.objects.none(), label="One model", empty_label="Choose a model")
    second = forms.ModelChoiceField(Parent.objects.none(), label="Another", empty_label="Choose a model")
    base = forms.ModelChoiceField(
        Parent.objects.none(),
        label="Their base model",
        empty_label="Choose a model",
        help_text="What both were trained from.",
    )

    def __init__(self, user: User, *args: object, **words: object) -> None:
        super().__init__(*args, **words)  # type: ignore[arg-type]
        for field in self.fields.values():
            field.queryset = Parent.objects.visible_to(user)  # type: ignore[attr-defined]

    def clean(self) -> None:
        """Three different models."""
        chosen = [self.cleaned_data.get(name) for name in self.fields]
        if None not in chosen and len(set(chosen)) < len(chosen):
            raise forms.ValidationError("Choose three different models: two, and what both were trained from.")


@require_http_methods(["GET", "HEAD", "POST"])
def similarity(request: SignedIn) -> HttpResponse:
    """Choose models and have them compared; below are one's earlier comparisons."""
    form = SimilarityForm(request.user, request.POST or None, initial=request.GET.dict())
    if form.is_valid():
        chosen = form.cleaned_data
        try:
            row = request_similarity(request.user, chosen["base"], chosen["first"], chosen["second"])
            return redirect("hub:similarity_state", row.pk)
        except QuotaError as error:
            messages.error(request, f"{error}.")
    rows = with_models(Similarity.objects.filter(owner=request.user)).defer("result")
    return render(request, "hub/similarity.html", {"form": form, "rows": rows})


@never_cache
@require_safe
def similarity_state(request: SignedIn, similarity_id: int) -> HttpResponse:
    """One comparison; for htmx only its part, which asks for itself again until it has ended."""
    row = _own(request, similarity_id)
    likeness = Likeness.from_json(row.result) if row.result else None
    page = "hub/_similarity.html" if request.htmx else "hub/similar.html"
    return render(request, page, {"row": row, "likeness": likeness})


@require_safe
def similarity_data(request: SignedIn, similarity_id: int) -> JsonResponse:
    """The numbers of one of both pictures: `plot=signs`, or the angles."""
    row = _own(request, similarity_id)
    if row.result is None:
        return JsonResponse({"nothing": "The models have not been compared yet."})
    return JsonResponse(heat_map(Likeness.from_json(row.result), is_cosine=request.GET.get("plot") != "signs"))


def _own(request: SignedIn, similarity_id: int) -> Similarity:
    return get_object_or_404(with_models(Similarity.objects.all()), pk=similarity_id, owner=request.user)

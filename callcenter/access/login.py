"""Signing in: two pages, the admin's for the staff and ours for everybody, which try a few wrong passwords only."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.urls import reverse
from unfold.forms import AuthenticationForm as UnfoldAuthenticationForm

from callcenter.access.throttles import WrongTries


class StaffLoginForm(UnfoldAuthenticationForm):
    """The admin's. After too many wrong tries from an address no password from there is looked at for a while."""

    def clean(self) -> dict[str, Any]:
        assert self.request is not None  # noqa: S101  the view gives it
        tries = WrongTries("password", self.request)
        if wait := tries.wait():
            raise ValidationError(f"Too many wrong passwords from your address; try again in {wait} seconds.")
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError:
            tries.count()
            raise
        return cleaned


class LoginForm(StaffLoginForm):
    """For everybody who has a password here, an agent's own user for instance."""

    error_messages = AuthenticationForm.error_messages

    def confirm_login_allowed(self, user: User) -> None:
        AuthenticationForm.confirm_login_allowed(self, user)


class Login(LoginView):
    """Afterwards the staff are in the admin, others at the API's pages, unless ``next`` names a page of ours."""

    authentication_form = LoginForm
    template_name = "callcenter/login.html"

    def get_default_redirect_url(self) -> str:
        user = self.request.user
        return super().get_default_redirect_url() if user.is_staff else reverse("api-docs")

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        page = {"title": "Log in", "app_path": self.request.get_full_path()}
        return super().get_context_data(**admin.site.each_context(self.request), **page, **context)

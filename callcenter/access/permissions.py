"""May he? A key needs the scope its view names; a signed-in user needs a supervisor's eyes. Everyone else: no.

A view names ``required_scope`` (for reading) and ``write_scope`` (for everything else); a view that names none is
closed. What a *user* may do to a call is decided by the service behind the verb (queues.permissions).
"""

from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from callcenter.access.scopes import SIGNED_IN_USER
from callcenter.models import ApiKey
from queues import permissions
from webhooks import journal

if TYPE_CHECKING:  # DRF's views import this module, by the settings
    from rest_framework.views import APIView


class HasScope(BasePermission):
    """The one permission class of the API, set in the settings."""

    message = "You may not see this."
    code = "permission_denied"

    def has_permission(self, request: Request, view: "APIView") -> bool:
        scope = needed_scope(request, view)
        if not scope or not request.user or not request.user.is_authenticated:
            return False
        key = request.auth
        if not isinstance(key, ApiKey):
            return self._person_may(request.user, view)
        if scope in key.scopes:
            return True
        if scope == SIGNED_IN_USER:
            self.code, self.message = "user_required", "Only a signed-in user may do this; an API key never can."
        else:
            self.code, self.message = "missing_scope", f"This key lacks the scope {scope}."
        if request.method not in SAFE_METHODS:
            self._keep(request, view, key)
        return False

    def _person_may(self, user: object, view: "APIView") -> bool:
        if not isinstance(user, User) or not user.is_active:
            return False
        right = getattr(view, "required_permission", None)
        if right is not None:
            return user.has_perm(right)
        return permissions.may_watch(user) or (getattr(view, "open_to_agents", False) and hasattr(user, "agent"))

    def _keep(self, request: Request, view: "APIView", key: ApiKey) -> None:
        """A refusal at the door leaves the same trace as one further in."""
        journal.audit(
            getattr(view, "action", None) or type(view).__name__,
            at=timezone.now(),
            actor=key.prefix,
            allowed=False,
            detail={"code": self.code, "path": request.path},
        )


def needed_scope(request: Request, view: "APIView") -> str | None:
    name = "required_scope" if request.method in SAFE_METHODS else "write_scope"
    scope: str | None = getattr(view, name, None)
    return scope

"""Who is asking: an API key in the Authorization header, or (DRF's own, with CSRF) a signed-in user's session."""

from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from callcenter.access import keys
from callcenter.access.throttles import WrongTries
from callcenter.models import ApiKey

# Names under which people put keys into addresses, where every log and proxy on the way would keep them.
IN_ADDRESS = frozenset({"api_key", "apikey", "api-key", "key", "token", "access_token", "authorization"})


class KeyHolder(AnonymousUser):
    """``request.user`` where a key asks: let in, but nobody in particular, and with no permission of a user's.

    ``pk`` is what throttles count by, ``username`` what the audit calls it.
    """

    def __init__(self, key: ApiKey) -> None:
        super().__init__()
        vars(self).update(pk=f"key:{key.prefix}", username=key.prefix)

    @property
    def is_authenticated(self) -> bool:  # type: ignore[override]
        return True

    @property
    def is_anonymous(self) -> bool:  # type: ignore[override]
        return False

    def __str__(self) -> str:
        return self.get_username()


class ApiKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer cc_…``. A key in the address is refused even if it is good.

    A good key is let in however many wrong ones its address has sent: nobody guesses 256 bits, and a neighbour
    behind the same address is no reason to be shut out.
    """

    def authenticate(self, request: Request) -> tuple[KeyHolder, ApiKey] | None:
        if IN_ADDRESS.intersection(name.lower() for name in request.query_params):
            raise AuthenticationFailed("Send the key in the Authorization header, never in the address.", "key_in_url")
        scheme, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        key = keys.find(text.strip(), now=timezone.now())
        if key is None:
            tries = WrongTries("key", request)
            if wait := tries.wait():
                raise Throttled(wait, "Too many wrong keys came from your address.")
            tries.count()
            raise AuthenticationFailed("The API key is unknown, revoked or expired.", "invalid_key")
        return KeyHolder(key), key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'

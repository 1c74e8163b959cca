"""What the schema says of every operation beside its own words: the scope, the Idempotency-Key, the problems."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from rest_framework.permissions import SAFE_METHODS

from callcenter import problems
from callcenter.access.authentication import ApiKeyAuthentication
from callcenter.access.once import HEADER
from callcenter.access.scopes import SIGNED_IN_USER

_KEY = OpenApiParameter(
    HEADER,
    str,
    OpenApiParameter.HEADER,
    description="1 to 255 characters of yours: the same key again within 24 h gives the same answer, done once.",
)


class Schema(AutoSchema):
    """drf-spectacular's, with the house's rules on each operation."""

    def get_description(self) -> str:  # type: ignore[override]
        scope = getattr(self.view, "required_scope" if self.method in SAFE_METHODS else "write_scope", None)
        needed = "Needs a signed-in user." if scope == SIGNED_IN_USER else f"Scope: `{scope}`."
        return "\n\n".join(part for part in (super().get_description(), needed) if part)

    def get_override_parameters(self) -> list[Any]:
        given = list(super().get_override_parameters())
        return given if self.method in SAFE_METHODS else [*given, _KEY]


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema speaks of keys."""

    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A key made by `manage.py create_api_key`, in the Authorization header only.",
        }


def with_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A schema hook: every operation may also answer with a problem."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = dict(problems.SCHEMA)
    answer = {
        "description": "A problem: 400, 401, 403, 404, 409, 422, 429 or 500.",
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path in result["paths"].values():
        for operation in path.values():
            operation["responses"]["default"] = answer
    return result

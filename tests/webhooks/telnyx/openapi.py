"""Telnyx's OpenAPI description as a judge of requests and a source of replies.

Stricter than the description: a property, a query parameter or a path it does not name is an error, since
Telnyx would ignore it silently and we would believe it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import httpx
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

ROOT = "urn:telnyx"
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Operation:
    method: str
    template: str
    definition: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method.upper()} {self.template}"


class Description:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        strict = deepcopy(document)
        _close_objects(strict)
        self._registry: Registry[Any] = Registry().with_resource(ROOT, DRAFT202012.create_resource(strict))
        self.operations = {
            operation.name: operation
            for template, item in document["paths"].items()
            for method, definition in item.items()
            if method in METHODS
            for operation in [Operation(method, template, definition)]
        }

    @classmethod
    def load(cls, directory: Path) -> "Description":
        return cls(json.loads((directory / "voice-openapi.json").read_bytes()))

    def check(self, request: httpx.Request) -> Operation:
        """The operation a request means, after checking path, query and body. Raises AssertionError."""
        operation, ids = self._match(request)
        parameters = [self._resolve(parameter) for parameter in operation.definition.get("parameters", ())]
        for parameter in parameters:
            if parameter["in"] == "path":
                self._validate(parameter["schema"], ids[parameter["name"]], f"path {parameter['name']}")
        self._check_query(parameters, request.url.query.decode())
        self._check_body(operation, request)
        return operation

    def body_properties(self, operation: Operation) -> set[str]:
        schema = self._body_schema(operation)
        return set(self._resolve(schema).get("properties", ())) if schema else set()

    def query_parameters(self, operation: Operation) -> set[str]:
        """Names as they stand in a URL: ``region``, ``filter[occurred_at][gt]``."""
        parameters = map(self._resolve, operation.definition.get("parameters", ()))
        return {
            name
            for parameter in parameters
            if parameter["in"] == "query"
            for name in _spelt(parameter["name"], self._resolve(parameter["schema"]))
        }

    def reply(self, operation: Operation) -> tuple[int, Any]:
        """The status of a success, with the description's example of its body or one made of its parts."""
        responses = operation.definition["responses"]
        status = next(status for status in responses if status.startswith("2"))
        content = self._resolve(responses[status]).get("content", {}).get("application/json")
        return int(status), None if content is None else self._example(content["schema"])

    def error_examples(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The name and body of every error that the description shows."""
        for response, definition in self._document["components"]["responses"].items():
            content = definition.get("content", {}).get("application/json", {})
            if "example" in content:
                yield response, content["example"]
            for name, example in content.get("examples", {}).items():
                yield f"{response}.{name}", example["value"]

    def _match(self, request: httpx.Request) -> tuple[Operation, dict[str, str]]:
        raw = request.url.raw_path.decode().partition("?")[0]
        assert raw.startswith("/v2/"), raw
        for operation in self.operations.values():
            pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(operation.template))
            match = re.fullmatch(pattern, raw.removeprefix("/v2"))
            if match and operation.method == request.method.lower():
                return operation, {name: unquote(value) for name, value in match.groupdict().items()}
        raise AssertionError(f"the description has no {request.method} {raw}")

    def _check_query(self, parameters: list[Mapping[str, Any]], query: str) -> None:
        known = {parameter["name"]: parameter for parameter in parameters if parameter["in"] == "query"}
        given: dict[str, Any] = {}
        for name, value in parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)):
            base, *keys = [name] if name in known else re.findall(r"[^\[\]]+", name)
            assert base in known, f"unknown query parameter {name}"
            assert bool(keys) == (known[base].get("style") == "deepObject"), f"{name} is spelt wrongly"
            target, schema = given, self._resolve(known[base]["schema"])
            for key, following in zip([base, *keys], [*keys, None], strict=True):
                if following is None:
                    assert key not in target, f"{name} is given twice"
                    target[key] = _typed(value, schema)
                else:
                    target = target.setdefault(key, {})
                    schema = self._resolve(schema["properties"].get(following, {}))
        for name, value in given.items():
            self._validate(known[name]["schema"], value, f"query {name}")

    def _check_body(self, operation: Operation, request: httpx.Request) -> None:
        schema = self._body_schema(operation)
        if schema is None:
            assert request.content == b"", f"{operation.name} takes no body"
            return
        assert request.headers["content-type"] == "application/json"
        self._validate(schema, json.loads(request.content), "body")

    def _body_schema(self, operation: Operation) -> Mapping[str, Any] | None:
        if "requestBody" not in operation.definition:
            return None
        schema: Mapping[str, Any] = self._resolve(operation.definition["requestBody"])["content"]["application/json"][
            "schema"
        ]
        return schema

    def _validate(self, schema: Mapping[str, Any], value: Any, where: str) -> None:
        schema = deepcopy(dict(schema))
        _close_objects(schema)
        _absolute_references(schema)
        validator = Draft202012Validator(schema, registry=self._registry, format_checker=FormatChecker())
        problems = [f"{where}{error.json_path[1:]}: {error.message}" for error in validator.iter_errors(value)]
        assert not problems, problems

    def _resolve(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in node:
            found: Any = self._document
            for key in node["$ref"].removeprefix("#/").split("/"):
                found = found[unquote(key).replace("~1", "/").replace("~0", "~")]
            node = found
        return node

    def _example(self, schema: Mapping[str, Any]) -> Any:
        schema = self._resolve(schema)
        if "example" in schema:
            return deepcopy(schema["example"])
        if "properties" in schema:
            return {name: self._example(part) for name, part in schema["properties"].items()}
        if "items" in schema:
            return [self._example(schema["items"])]
        if "enum" in schema:
            return schema["enum"][0]
        made = {"string": "text", "integer": 7, "number": 7.5, "boolean": True, "object": {}, "array": []}
        return made[schema["type"]]


def _close_objects(node: Any) -> None:
    """Allow no property that is not named, except where the description says what others look like."""
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict) and node.get("type", "object") == "object":
            node.setdefault("additionalProperties", False)
        for value in node.values():
            _close_objects(value)
    elif isinstance(node, list):
        for value in node:
            _close_objects(value)


def _absolute_references(node: Any) -> None:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            node["$ref"] = ROOT + "#" + quote(node["$ref"].removeprefix("#"), safe="/~")
        for value in node.values():
            _absolute_references(value)
    elif isinstance(node, list):
        for value in node:
            _absolute_references(value)


def _spelt(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    if "properties" not in schema:
        yield name
    for key, part in schema.get("properties", {}).items():
        yield from _spelt(f"{name}[{key}]", part)


def _typed(value: str, schema: Mapping[str, Any]) -> Any:
    if schema.get("type") == "integer":
        return int(value)
    if schema.get("type") == "boolean":
        return {"true": True, "false": False}[value]
    return value

"""JSON Schemas for editors: of a stack file, a module file, and the resources of each kind. Pure.

They say at most what the engine says: an expression may stand for any value, and the kinds of a cluster are
left open, since only the cluster knows them. Called by cli/schema and cli/explain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trueup.manifests.value_types import TYPES
from trueup.manifests.vocabulary import API_VERSION
from trueup.sdk.contracts import Catalog, Kind

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

EXPRESSION: Schema = {"type": "string", "pattern": r"\$\{\{", "description": "An expression in CEL."}
# Marks a map that may be left without anything, as after its last line was commented out.
_NULLABLE = "x-nullable"
# What holds further schemas: one, a list of them, or a map of them.
_ONE = ("items", "additionalProperties", "contains", "not", "then", "else")
_MANY = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "dependentSchemas")

_NAME: Schema = {"type": "string", "pattern": r"^[^/@\s]{1,253}$|\$\{\{"}
_NAMES: Schema = {"type": "array", "items": {"type": "string"}}
_LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
# Parts in this order, and not all of them nothing.
_DURATION: Schema = {
    "type": "string",
    "pattern": r"^(?=.*[1-9])(\d+d)?(\d+h)?(\d+m)?(\d+s)?$",
    "examples": ["5m"],
}
_SHARE = r"^(\d{1,9}|(100|\d{1,2})%)$"
_COUNT: Schema = {
    "anyOf": [{"type": "integer", "minimum": 0, "maximum": 999999999}, {"type": "string", "pattern": _SHARE}]
}
# A batch of nothing would never end.
_BATCH: Schema = {
    "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": rf"^(?=.*[1-9]){_SHARE[1:]}"}]
}


def _closed(properties: Mapping[str, Any], required: Sequence[str] = (), description: str = "") -> Schema:
    made: Schema = {"type": "object", "additionalProperties": False, "properties": dict(properties)}
    if required:
        made["required"] = list(required)
    if description:
        made["description"] = description
    return made


def _said(description: str, schema: Mapping[str, Any]) -> Schema:
    return {"description": description, **schema}


DRIFT: Schema = {"enum": ["correct", "report"]}
LIFECYCLE = _closed(
    {
        "protect": _said("Never deleted or replaced, also after this block is gone.", {"type": "boolean"}),
        "ignore": _said(
            "JSON pointers of fields whose drift is tolerated.",
            {"type": "array", "items": {"type": "string", "pattern": "^/"}},
        ),
        "onDelete": _said("What happens when it leaves Git.", {"enum": ["delete", "orphan"]}),
        "replace": _said(
            "Whether a change of an immutable field may replace it.",
            {"enum": ["allow", "deny", "createFirst"]},
        ),
        "adopt": _said("Take over a foreign object that stands in the way.", {"type": "boolean"}),
        "drift": _said("Correct drift, or only report it. By default as the stack says.", DRIFT),
        "movedFrom": _said("The addresses that it had before.", _NAMES),
        "triggers": _said("What makes it act when it changes: restart, reload, redeploy.", _NAMES),
        "timeout": _said("How long a step may wait for it to be ready.", _DURATION),
    },
    description="How the object comes, stays and goes.",
)
OWN_KEYS: Schema = {
    "targets": _said(
        "Where it lives: by name or by labels.",
        {
            "oneOf": [
                _closed({"names": {**_NAMES, "minItems": 1}}, ["names"]),
                _closed({"matchLabels": {**_LABELS, "minProperties": 1}}, ["matchLabels"]),
            ]
        },
    ),
    "dependsOn": _said("Resources that come first.", _NAMES),
    "forEach": _said("Repeats it for a list of strings or a map.", {"type": ["array", "object"]}),
    "when": _said("Whether it exists at all.", {"type": "boolean"}),
    "lifecycle": {**LIFECYCLE, _NULLABLE: True},
    "rollout": _closed(
        {
            "batch": _said("How many targets at once: a count or a share.", _BATCH),
            "maxFailures": _said("More failures stop the rest.", {"type": "integer", "minimum": 0}),
        },
        ["batch"],
        "In which batches it is carried out across targets.",
    ),
}
_TYPE = rf"^\s*({'|'.join(TYPES)}|(list|map)\(.+\))\s*$"
VARIABLE = _closed(
    {
        "type": _said("Its type.", {"type": "string", "pattern": _TYPE}),
        "default": _said("Its value where none is given.", {}),
        "description": _said("For people.", {"type": "string"}),
        "check": _said("A CEL expression over self that must be true.", {"type": "string"}),
    },
    description="A variable: its type, its default, and what its value must fulfil.",
)
_NAMED_THINGS: Schema = {"type": "object", "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}}
_VARIABLES: Schema = {**_NAMED_THINGS, _NULLABLE: True, "additionalProperties": VARIABLE}
_OUTPUT_MAP = _closed({"value": {}, "description": _said("For people.", {"type": "string"})}, ["value"])
_OUTPUTS: Schema = {
    **_NAMED_THINGS,
    _NULLABLE: True,
    "additionalProperties": {
        "anyOf": [{"type": ["string", "number", "boolean", "array"]}, _OUTPUT_MAP],
        "description": "A value; a map is written {value: {...}}.",
    },
}

_POLICIES: Schema = {
    _NULLABLE: True,
    "type": "array",
    "items": _closed(
        {
            "name": _said("Stands in plans.", {"type": "string", "pattern": r"^[^/@\s]{1,253}$"}),
            "rule": _said(
                "A CEL expression over change, vars and git that must be true.",
                {"type": "string", "minLength": 1},
            ),
            "enforce": _said("What happens where it is not.", {"enum": ["deny", "approve", "warn"]}),
            "message": _said("For people.", {"type": "string", "minLength": 1, "maxLength": 500}),
        },
        ["name", "rule", "enforce"],
        "A rule that each change that writes has to fulfil.",
    ),
}

_NETWORK = _said("Whether the tool may fetch something.", {"type": "boolean", "default": False})
_RENDERING: Schema = {
    "oneOf": [
        _closed(
            {"kustomize": _closed({"path": {"type": "string"}, "network": _NETWORK}, ["path"])}, ["kustomize"]
        ),
        _closed(
            {
                "helm": _closed(
                    {
                        "chart": _said(
                            "A directory of the source, or a chart of a repository.", {"type": "string"}
                        ),
                        "releaseName": _said("By default the stack's name.", {"type": "string"}),
                        "namespace": _said("Where objects go that name none.", {"type": "string"}),
                        "values": _said("Files of the source, in their order.", _NAMES),
                        "set": _said("Values that come after all files.", {"type": "object"}),
                        "version": _said("The exact version in the repository.", {"type": "string"}),
                        "repo": _said("The URL of a repository.", {"type": "string", "format": "uri"}),
                        "network": _NETWORK,
                        "kubeVersion": _said("What .Capabilities.KubeVersion says.", {"type": "string"}),
                        "apiVersions": _said("More of .Capabilities.APIVersions.", _NAMES),
                        "clusterScoped": _said("Kinds that belong to no namespace.", _NAMES),
                        "includeCRDs": _said("Whether crds/ counts.", {"type": "boolean", "default": True}),
                        "hooks": _said("What becomes of hooks.", {"enum": ["apply", "skip"]}),
                    },
                    ["chart"],
                )
            },
            ["helm"],
        ),
    ]
}
RENDER: Schema = {
    "anyOf": [{"const": "plain"}, _RENDERING, {"type": "array", "minItems": 1, "items": _RENDERING}]
}


def stack_document(catalog: Catalog) -> Schema:
    """What a stack file holds, without a word of expressions."""
    spec = _closed(
        {
            "interval": _said("How often drift is looked for without an event.", _DURATION),
            "drift": _said("Correct drift, or only report it.", {**DRIFT, "default": "correct"}),
            "prune": _said("Whether what leaves Git is deleted.", {"type": "boolean", "default": True}),
            "dependsOn": _said("Names of other stacks that come first.", _NAMES),
            "variables": _said("What the values of an environment may set.", _VARIABLES),
            "targets": _said("The places where resources live.", _targets(catalog)),
            "guards": {
                **_closed(
                    {"maxDeletes": _said("How many deletes and replaces a run may have by itself.", _COUNT)},
                    description="What holds a run until it is approved.",
                ),
                _NULLABLE: True,
            },
            "outputs": _said("What other stacks may read.", _OUTPUTS),
            "policies": _said("Rules that each change has to fulfil.", _POLICIES),
            "render": _said("What kustomize or helm renders.", RENDER),
            "allowEmpty": _said("Whether the stack may be without resources.", {"type": "boolean"}),
            "exclude": _said("Globs of files that are no resources.", _NAMES),
        }
    )
    return _file_document("Stack", "A stack: resources that are reconciled together.", spec)


def module_document() -> Schema:
    """What module.yaml holds: what a module takes and gives."""
    spec = _closed(
        {
            "inputs": _said("What its caller gives.", _VARIABLES),
            "outputs": _said("What it gives to its caller.", _OUTPUTS),
        }
    )
    return _file_document("Module", "A module: resources that are used in several places.", spec)


def module_call_document() -> Schema:
    """What a resource of kind Module holds."""
    spec = _closed({"source": {"type": "string"}, "inputs": {"type": "object"}}, ["source"])
    made = _file_document("Module", "The resources of a module, made with these inputs.", spec)
    made["properties"].update({key: OWN_KEYS[key] for key in ("targets", "dependsOn", "forEach", "when")})
    made["required"].append("spec")
    return made


def _file_document(kind: str, description: str, spec: Schema) -> Schema:
    metadata = _closed({"name": _NAME, "labels": _LABELS, "annotations": _LABELS}, ["name"])
    top = {
        "apiVersion": {"const": API_VERSION},
        "kind": {"const": kind},
        "metadata": metadata,
        "spec": spec,
    }
    return _closed(top, ["apiVersion", "kind", "metadata"], description)


def _targets(catalog: Catalog) -> Schema:
    names = list(catalog.names())
    target = _closed(
        {
            "name": _said("Its name in the stack.", _NAME),
            "provider": _said("The provider whose system it is.", {"enum": names}),
            "labels": _said("What targets.matchLabels selects by.", _LABELS),
            "config": _said("The provider's own settings.", {"type": "object"}),
        },
        ["name", "provider"],
    )
    target["allOf"] = [
        {
            "if": {"properties": {"provider": {"const": name}}, "required": ["provider"]},
            "then": {"properties": {"config": dict(catalog.provider(name).config_schema)}},
        }
        for name in names
    ]
    return {"type": "array", "items": target}


def kind_document(kind: Kind, live: Mapping[str, Any] | None = None) -> Schema:
    """What a document of one kind holds; `live` is what its system says of it, of the whole document."""
    top: Schema = {
        "apiVersion": {"const": kind.api_version},
        "kind": {"const": kind.name},
        "metadata": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string"}, "labels": _LABELS, "annotations": _LABELS},
        },
        **OWN_KEYS,
    }
    made: Schema = {"type": "object", "required": ["apiVersion", "kind", "metadata"], "properties": top}
    document = live or (kind.schema if kind.schema_of_document else None)
    if document is not None:
        made.update({key: value for key, value in document.items() if key not in ("properties", "required")})
        fields: Any = document.get("properties") or {}
        top.update({key: item for key, item in fields.items() if key not in top or key == "metadata"})
        required: Any = document.get("required") or ()
        made["required"] += [key for key in required if key not in made["required"]]
    elif kind.schema is not None:
        top["spec"] = dict(kind.schema)
        made["additionalProperties"] = False
        if kind.schema.get("required"):
            made["required"].append("spec")
    if kind.schema is not None and "description" in kind.schema:
        made["description"] = kind.schema["description"]
    return made


def schema_of(document: Schema) -> Schema:
    """The schema of a whole document as an editor checks it: with expressions in its values."""
    made: Schema = with_expressions(document)
    for key in ("apiVersion", "kind", "metadata"):
        if key in document["properties"]:
            made["properties"][key] = document["properties"][key]
    return made


def resources_schema(kinds: Iterable[Kind]) -> Schema:
    """One schema for all resource files: what it says depends on a document's apiVersion and kind."""
    call = module_call_document()
    branches = [_branch({"apiVersion": API_VERSION, "kind": "Module"}, schema_of(call))]
    names: dict[str, list[str]] = {}
    for kind in kinds:
        if kind.schema is not None:
            fields = {"apiVersion": kind.api_version, "kind": kind.name}
            branches.append(_branch(fields, schema_of(kind_document(kind))))
            names.setdefault(kind.api_version, []).append(kind.name)
    for version, known in sorted(names.items()):
        closed = {"properties": {"kind": {"enum": sorted(known)}}}
        branches.append(_branch({"apiVersion": version}, closed))
    return {
        "description": "A resource of trueup, or a manifest of Kubernetes.",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            **with_expressions(_closed(OWN_KEYS))["properties"],
        },
        "allOf": branches,
    }


def _branch(fields: Mapping[str, str], schema: Schema) -> Schema:
    condition = {
        "properties": {key: {"const": value} for key, value in fields.items()},
        "required": list(fields),
    }
    return {"if": condition, "then": schema}


def with_expressions(schema: Any) -> Any:
    """The schema, with an expression allowed wherever a value is. Keywords of trueup alone are left out."""
    if not isinstance(schema, Mapping):
        return schema
    made: Schema = {}
    for key, value in schema.items():
        if key.startswith("x-"):
            continue
        if key in _NAMED and isinstance(value, Mapping):
            made[key] = {name: with_expressions(item) for name, item in value.items()}
            if key == "properties":
                made[key] = {name: _or_nothing(value[name], item) for name, item in made[key].items()}
        elif key in _MANY and isinstance(value, list):
            made[key] = [with_expressions(item) for item in value]
        elif key in _ONE:
            made[key] = with_expressions(value)
            if key in ("items", "additionalProperties"):
                made[key] = _or_expression(made[key])
        else:
            made[key] = value
    return made


def _or_nothing(declared: Any, schema: Any) -> Any:
    """The schema of a property, or an expression, or null where that is said."""
    made = _or_expression(schema)
    if isinstance(declared, Mapping) and declared.get(_NULLABLE):
        return {**made, "anyOf": [*made["anyOf"], {"type": "null"}]}
    return made


def _or_expression(schema: Any) -> Any:
    """The schema of a value, or an expression in its place; the words about it stay outside."""
    if not isinstance(schema, Mapping) or _takes_any_text(schema):
        return schema
    about = {key: schema[key] for key in ("description", "default", "examples") if key in schema}
    inner = {key: value for key, value in schema.items() if key not in about}
    return {**about, "anyOf": [inner, EXPRESSION]}


def _takes_any_text(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type")
    is_text = kinds == "string" or (isinstance(kinds, list) and "string" in kinds) or kinds is None
    closed = {"pattern", "enum", "const", "format", "maxLength", "minLength", *_MANY, *_ONE, "$ref", *_NAMED}
    return is_text and not closed & schema.keys()

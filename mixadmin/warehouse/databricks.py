"""The cluster of a Databricks import: its catalogue, its rules, and its form.

Mixpanel accepts exactly these keys. A change replaces the whole config, so whoever
changes it must see what would vanish (`vanishing_keys`). Mixpanel adds an environment
variable and a tag of its own, which `differs` leaves out.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mixadmin.common.rules import Field, Finding, check_fields, given

INT32_MAX = 2**31 - 1

DATA_SECURITY_MODES = (
    ("USER_ISOLATION", "User isolation (shared)"),
    ("SINGLE_USER", "Single user"),
    ("NONE", "None"),
    ("LEGACY_TABLE_ACL", "Legacy: table ACL"),
    ("LEGACY_PASSTHROUGH", "Legacy: passthrough"),
    ("LEGACY_SINGLE_USER", "Legacy: single user"),
    ("LEGACY_SINGLE_USER_STANDARD", "Legacy: single user standard"),
)
RUNTIME_ENGINES = (("STANDARD", "Standard"), ("PHOTON", "Photon"))

AUTOSCALE_FIELDS = (
    Field(
        "min_workers",
        "Fewest workers",
        kind="int",
        required=True,
        minimum=0,
        maximum=INT32_MAX,
        nullable=False,
    ),
    Field(
        "max_workers",
        "Most workers",
        kind="int",
        required=True,
        minimum=1,
        maximum=INT32_MAX,
        nullable=False,
    ),
)

CLUSTER_FIELDS: tuple[Field, ...] = (
    Field(
        "spark_version",
        "Spark version",
        "The Databricks runtime.",
        nullable=False,
        placeholder="15.4.x-scala2.12",
    ),
    Field(
        "node_type_id",
        "Node type",
        "The machine of each worker. Not needed with an instance pool.",
        nullable=False,
        placeholder="n2-standard-4",
    ),
    Field("driver_node_type_id", "Driver node type", "As the workers if left empty."),
    Field(
        "num_workers",
        "Workers",
        "A fixed number. Give this or autoscale.",
        kind="int",
        minimum=0,
        maximum=INT32_MAX,
        nullable=False,
    ),
    Field(
        "autoscale",
        "Autoscale",
        "Databricks picks a number of workers between the two.",
        kind="json",
        fields=AUTOSCALE_FIELDS,
    ),
    Field(
        "data_security_mode",
        "Data security mode",
        kind="choice",
        choices=DATA_SECURITY_MODES,
    ),
    Field(
        "single_user_name",
        "Single user name",
        "The user or service principal that the cluster belongs to.",
        only_if=("data_security_mode", ("SINGLE_USER",)),
    ),
    Field("runtime_engine", "Runtime engine", kind="choice", choices=RUNTIME_ENGINES),
    Field("policy_id", "Cluster policy ID"),
    Field("instance_pool_id", "Instance pool ID", "For the workers."),
    Field("driver_instance_pool_id", "Driver instance pool ID"),
    Field(
        "enable_elastic_disk",
        "Elastic disk",
        "Adds local storage when it runs out.",
        kind="bool",
    ),
    Field("spark_conf", "Spark configuration", kind="mapping"),
    Field(
        "spark_env_vars",
        "Environment variables",
        "Mixpanel always adds PYSPARK_PYTHON.",
        kind="mapping",
    ),
    Field(
        "custom_tags",
        "Custom tags",
        "Mixpanel always adds provider=mixpanel.",
        kind="mapping",
    ),
    Field(
        "init_scripts",
        "Init scripts",
        "A JSON list of objects, as Databricks defines them.",
        kind="json",
        json_type=list,
    ),
    Field("aws_attributes", "AWS attributes", "A JSON object.", kind="json"),
    Field("azure_attributes", "Azure attributes", "A JSON object.", kind="json"),
    Field("gcp_attributes", "GCP attributes", "A JSON object.", kind="json"),
)

# What Mixpanel puts into the config by itself.
ADDED_BY_MIXPANEL = {("spark_env_vars", "PYSPARK_PYTHON"), ("custom_tags", "provider")}


def check_cluster_config(value: object) -> list[Finding]:
    """Check a whole cluster config. None is no config and passes.

    Field names are those of the config: "autoscale.min_workers".
    """
    if value is None:
        return []
    findings = check_fields(CLUSTER_FIELDS, value)
    if not isinstance(value, Mapping):
        return findings
    faulty = {finding.field for finding in findings}

    def sound(name: str) -> Any:
        return value.get(name) if name not in faulty else None

    findings += _check_autoscale(value, sound("autoscale"))
    findings += _check_init_scripts(sound("init_scripts"))

    mode, user = sound("data_security_mode"), value.get("single_user_name")
    if mode == "SINGLE_USER" and not given(user):
        message = "Required with data security mode SINGLE_USER."
        findings.append(Finding("single_user_name", message, "required"))
    elif mode != "SINGLE_USER" and given(user) and "data_security_mode" not in faulty:
        message = (
            "Mixpanel reads it with data security mode SINGLE_USER only. Choose that "
            "mode, or leave the name out."
        )
        code = "single_user_name_unused"
        findings.append(Finding("single_user_name", message, code, warning=True))

    if given(value.get("node_type_id")) and given(value.get("instance_pool_id")):
        message = (
            "With an instance pool Databricks takes the machines of the pool; Mixpanel "
            "accepts both. Leave the node type out."
        )
        code = "node_type_beside_pool"
        findings.append(Finding("node_type_id", message, code, warning=True))
    elif value and not any(
        given(value.get(name))
        for name in ("node_type_id", "instance_pool_id", "policy_id")
    ):
        message = (
            "Databricks needs a node type, an instance pool or a policy that sets one; "
            "Mixpanel requires none of them. Give a node type."
        )
        code = "no_node_type"
        findings.append(Finding("node_type_id", message, code, warning=True))
    return findings


def _check_autoscale(config: Mapping[str, Any], autoscale: Any) -> list[Finding]:
    if not isinstance(autoscale, Mapping):
        return []
    findings = []
    low, high = autoscale.get("min_workers"), autoscale.get("max_workers")
    if type(low) is int and type(high) is int and 1 <= high < low:
        message = f"At most “Most workers” ({high})."
        findings.append(Finding("autoscale.min_workers", message, "range"))
    if given(config.get("num_workers")):
        message = (
            "Mixpanel ignores the number of workers when autoscale is set, and accepts "
            "both. Leave one of them out."
        )
        code = "num_workers_and_autoscale"
        findings.append(Finding("num_workers", message, code, warning=True))
    return findings


def _check_init_scripts(scripts: Any) -> list[Finding]:
    if isinstance(scripts, list) and not all(isinstance(s, dict) for s in scripts):
        return [Finding("init_scripts", "Every entry must be a JSON object.", "type")]
    return []


def form_fields() -> tuple[Field, ...]:
    """The catalogue as a flat form: autoscale becomes two fields of its own."""
    fields: list[Field] = []
    for field in CLUSTER_FIELDS:
        if not field.fields:
            fields.append(field)
            continue
        for part in field.fields:
            fields.append(
                Field(
                    f"{field.name}_{part.name}",
                    f"{field.label}: {part.label[0].lower()}{part.label[1:]}",
                    part.help,
                    kind=part.kind,
                    minimum=part.minimum,
                    maximum=part.maximum,
                )
            )
    return tuple(fields)


def form_name(path: str) -> str:
    """The form field in which the dotted path of a finding is shown."""
    top, _, rest = path.partition(".")
    if top == "autoscale":
        part = rest if rest in ("min_workers", "max_workers") else "min_workers"
        return f"autoscale_{part}"
    return top


def to_form(config: object) -> dict[str, str]:
    """A config as the texts of a flat form; a key that is absent is an empty text.

    `from_form` turns it back: from_form(to_form(c)) == normalised(c) for every config
    that passes `check_cluster_config`. Keys that the catalogue does not know have no
    place in a form and are left out.
    """
    config = config if isinstance(config, Mapping) else {}
    values = {}
    for field in CLUSTER_FIELDS:
        value = config.get(field.name)
        if field.fields:
            parts = value if isinstance(value, Mapping) else {}
            for part in field.fields:
                values[f"{field.name}_{part.name}"] = _to_text(parts.get(part.name))
        else:
            values[field.name] = _to_text(value)
    return values


def _to_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, indent=2)
    except (ValueError, TypeError, RecursionError):
        return ""


def from_form(values: Mapping[str, Any]) -> dict[str, Any]:
    """The config that a form's texts describe; an empty text is an absent key.

    Never refuses anything: a text that cannot be read (a number that is none, broken
    JSON) stands in the config as text, for `check_cluster_config` to name.
    """
    config: dict[str, Any] = {}
    for field in CLUSTER_FIELDS:
        if field.fields:
            parts = {
                part.name: value
                for part in field.fields
                if (value := _from_text(part, values.get(f"{field.name}_{part.name}")))
                is not None
            }
            if parts:
                config[field.name] = parts
        elif (value := _from_text(field, values.get(field.name))) is not None:
            config[field.name] = value
    return config


def _from_text(field: Field, text: Any) -> Any:
    if not isinstance(text, str):
        return text
    text = text.strip()
    if not text:
        return None
    match field.kind:
        case "int":
            return int(text) if re.fullmatch(r"[+-]?[0-9]{1,20}", text) else text
        case "bool":
            return {"true": True, "false": False}.get(text.lower(), text)
        case "mapping" | "json":
            return read_json(text)
        case _:
            return text


def read_json(text: str) -> Any:
    """The JSON value of a text, or the text itself when it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def normalised(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """A config without the keys that say nothing: null and the empty text."""
    return {key: value for key, value in (config or {}).items() if given(value)}


def vanishing_keys(old: object, new: object) -> list[str]:
    """Dotted keys of `old` that are gone once `new` has replaced it, in order.

    What Mixpanel adds by itself comes back and is not listed.
    """
    kept = {path for path, _ in _leaves(new)}
    return [".".join(path) for path, _ in _leaves(old) if path not in kept]


def differs(sent: object, returned: object) -> list[tuple[str, Any, Any]]:
    """Where Mixpanel's config is not ours: (dotted key, ours, theirs).

    None stands for an absent key. What Mixpanel adds by itself is not listed.
    """
    ours, theirs = dict(_leaves(sent)), dict(_leaves(returned))
    return [
        (".".join(path), ours.get(path), theirs.get(path))
        for path in dict.fromkeys((*ours, *theirs))
        if not _same(ours.get(path), theirs.get(path))
    ]


def _leaves(config: object) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that is not an object, with its path, in order.

    Objects without members count as absent.
    """
    todo: list[tuple[tuple[str, ...], Any]] = [((), config)]
    while todo:
        path, value = todo.pop()
        if isinstance(value, Mapping):
            children = [((*path, str(key)), child) for key, child in value.items()]
            todo.extend(reversed(children))
        elif path and given(value) and path not in ADDED_BY_MIXPANEL:
            yield path, value


def _same(ours: Any, theirs: Any) -> bool:
    """Equal as JSON: true is not 1."""
    return type(ours) is type(theirs) and bool(ours == theirs)

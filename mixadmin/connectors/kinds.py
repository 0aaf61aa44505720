"""Catalogues of cloud connectors: buckets, data formats, compressions, and the rules.

A connector imports once what is under its prefix when it is created. Mixpanel cannot
change one: a change is a new connector.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mixadmin.common.rules import (
    Field,
    Finding,
    any_of,
    check_choice,
    check_fields,
    clean_text,
    given,
    json_type_name,
    lookup,
    prefixed,
    unknown_keys,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One connector_type. fields: its connector_properties, as Mixpanel names them."""

    slug: str
    label: str
    fields: tuple[Field, ...]
    permissions: str
    bucket: str
    prefix: str

    def field(self, name: str) -> Field | None:
        """The catalogue entry with that name."""
        return next((field for field in self.fields if field.name == name), None)


@dataclass(frozen=True, slots=True)
class DataFormat:
    """One data_format: what a line of a file is, and which keys can be renamed.

    remap_fields: the members of property_remap; empty where there is no remap.
    """

    slug: str
    label: str
    line: str
    remap_fields: tuple[Field, ...] = ()


# The regions that Mixpanel's specification lists, in its words.
S3_REGIONS = (
    ("us-east-1", "US East (N. Virginia)"),
    ("us-east-2", "US East (Ohio)"),
    ("us-west-1", "US West (N. California)"),
    ("us-west-2", "US West (Oregon)"),
    ("ap-south-1", "Asia Pacific (Mumbai)"),
    ("ap-northeast-1", "Asia Pacific (Tokyo)"),
    ("ap-northeast-2", "Asia Pacific (Seoul)"),
    ("ap-northeast-3", "Asia Pacific (Osaka)"),
    ("ap-southeast-1", "Asia Pacific (Singapore)"),
    ("ap-southeast-2", "Asia Pacific (Sydney)"),
    ("ca-central-1", "Canada (Central)"),
    ("cn-north-1", "China (Beijing)"),
    ("cn-northwest-1", "China (Ningxia)"),
    ("eu-central-1", "Europe (Frankfurt)"),
    ("eu-west-1", "Europe (Ireland)"),
    ("eu-west-2", "Europe (London)"),
    ("eu-west-3", "Europe (Paris)"),
    ("eu-north-1", "Europe (Stockholm)"),
    ("sa-east-1", "South America (São Paulo)"),
)

PREFIX_HELP = (
    "Only files whose path starts with it are imported. Empty means the whole bucket."
)

# What a connector does, from its creation on.
CONSEQUENCES = (
    "Its one run starts when it is created: it imports every file under the prefix that "
    "is there then. How many records that are is not known before.",
    "Billed: each event. Profiles are free. Events without an insert ID that are "
    "imported twice are billed and counted twice.",
    "Mixpanel cannot change a connector: another bucket, prefix or format is a new one.",
)

KINDS: dict[str, Kind] = {
    "gcsImport": Kind(
        slug="gcsImport",
        label="Google Cloud Storage",
        fields=(
            Field(
                "gcs_bucket",
                "Bucket",
                "The name only, without gs://.",
                required=True,
                placeholder="my-company-events",
            ),
            Field(
                "gcs_prefix",
                "Prefix",
                PREFIX_HELP,
                required=True,
                allow_empty=True,
                max_length=1024,
                placeholder="export/2026/",
            ),
            Field(
                "gcs_region",
                "Region",
                "Seen in Mixpanel's examples only. Leave empty unless you need it.",
            ),
        ),
        permissions="Mixpanel's service account needs Storage Object Viewer on the "
        "bucket.",
        bucket="gcs_bucket",
        prefix="gcs_prefix",
    ),
    "s3Import": Kind(
        slug="s3Import",
        label="Amazon S3",
        fields=(
            Field(
                "s3_bucket",
                "Bucket",
                "The name only, without s3://.",
                required=True,
                placeholder="my-company-events",
            ),
            Field(
                "s3_region",
                "Region",
                kind="choice",
                required=True,
                choices=S3_REGIONS,
            ),
            Field(
                "s3_prefix",
                "Prefix",
                PREFIX_HELP,
                required=True,
                allow_empty=True,
                max_length=1024,
                placeholder="export/2026/",
            ),
            Field(
                "s3_role",
                "Role ARN",
                "The role that lets Mixpanel's AWS account read the bucket.",
                required=True,
                max_length=2048,
                placeholder="arn:aws:iam::123456789012:role/mixpanel-import",
            ),
        ),
        permissions="The role must trust Mixpanel's AWS account and allow listing the "
        "bucket and reading its objects.",
        bucket="s3_bucket",
        prefix="s3_prefix",
    ),
}

DATA_FORMATS: dict[str, DataFormat] = {
    "mixpanel_event": DataFormat(
        slug="mixpanel_event",
        label="Events, Mixpanel format",
        line="An object with event and properties {time, distinct_id, $insert_id}; "
        "time in seconds. Events without time are thrown away.",
    ),
    "mixpanel_people": DataFormat(
        slug="mixpanel_people",
        label="User profiles, Mixpanel format",
        line="An object with $distinct_id and one profile operation, such as $set.",
    ),
    "mixpanel_group": DataFormat(
        slug="mixpanel_group",
        label="Group profiles, Mixpanel format",
        line="An object with $group_key, $group_id and one operation, such as $set.",
    ),
    "remap_event": DataFormat(
        slug="remap_event",
        label="Events, own field names",
        line="A flat object. The fields named in the remap become event name, time "
        "and id; the others become properties.",
        remap_fields=(
            Field("event_name", "Event name field", required=True),
            Field("time", "Time field", "Unix time in seconds.", required=True),
            Field("distinct_id", "Distinct ID field", required=True),
            Field(
                "$insert_id",
                "Insert ID field",
                "Without it a second import of the same files makes duplicates.",
            ),
            Field("ip", "IP address field"),
        ),
    ),
    "remap_people": DataFormat(
        slug="remap_people",
        label="User profiles, own field names",
        line="A flat object. The other fields become profile properties.",
        remap_fields=(Field("$distinct_id", "Distinct ID field", required=True),),
    ),
    "remap_group": DataFormat(
        slug="remap_group",
        label="Group profiles, own field names",
        line="A flat object. The other fields become group properties.",
        remap_fields=(
            Field("$group_key", "Group key field", required=True),
            Field("$group_id", "Group ID field", required=True),
        ),
    ),
}

COMPRESSIONS = (("none", "None"), ("gzip", "Gzip"))

FILE_ADVICE = (
    "Files hold one JSON object per line. 500 MB to 1 GB each is best; a single file "
    "of 2 GB or more stops the whole import."
)

CATEGORY_FIELDS = ("data_format", "compression", "property_remap")

GCS_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
S3_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
ROLE_ARN = re.compile(r"arn:aws(-cn|-us-gov)?:iam::[0-9]{12}:role/[\w+=,.@/-]+", re.A)


def check_connector(
    *,
    connector_type: object,
    connector_properties: object,
    category_properties: object,
    label: object = "",
) -> list[Finding]:
    """Every rule of a new connector. Field names: "connector_properties.s3_role",
    "category_properties.property_remap.time".

    Errors would be refused. Warnings have one of these codes: entire_bucket,
    prefix_leading_slash.
    """
    findings = clean_text("label", label, label="Label")
    kind = lookup(KINDS, connector_type)
    if kind is None:
        message = f"Unknown connector type. Use {any_of(KINDS)}."
        findings.append(Finding("connector_type", message, "choice"))
    else:
        found = check_connector_properties(kind, connector_properties)
        findings += prefixed("connector_properties", found)
    found = check_category_properties(category_properties)
    return findings + prefixed("category_properties", found)


def check_connector_properties(kind: Kind, values: object) -> list[Finding]:
    """The bucket: names are those of connector_properties."""
    findings = check_fields(kind.fields, values)
    if not isinstance(values, Mapping):
        return findings
    faulty = {finding.field for finding in findings}
    sound: dict[str, Any] = {
        field.name: values[field.name]
        for field in kind.fields
        if field.name in values and field.name not in faulty
    }
    findings += _check_bucket(kind, sound.get(kind.bucket) or "")
    findings += _check_prefix(kind, sound.get(kind.prefix))
    role = sound.get("s3_role") or ""
    if role and not ROLE_ARN.fullmatch(role):
        message = "Not a role ARN, such as arn:aws:iam::123456789012:role/name."
        findings.append(Finding("s3_role", message, "shape"))
    return findings


def _check_bucket(kind: Kind, bucket: str) -> list[Finding]:
    shape = GCS_BUCKET if kind.slug == "gcsImport" else S3_BUCKET
    if not bucket or shape.fullmatch(bucket):
        return []
    if "/" in bucket or ":" in bucket:
        message = (
            "Write the bucket name only, without gs:// or s3://. A path goes into the "
            "prefix."
        )
    else:
        message = (
            "Not a bucket name: lower-case letters, digits, dots and hyphens, at least "
            "3 characters."
        )
    return [Finding(kind.bucket, message, "shape")]


def _check_prefix(kind: Kind, prefix: str | None) -> list[Finding]:
    if prefix is None:
        return []
    if prefix == "":
        message = (
            "An empty prefix imports every file of the bucket. Give a prefix, or tick "
            "that you want the entire bucket."
        )
        return [Finding(kind.prefix, message, "entire_bucket", warning=True)]
    if "://" in prefix:
        message = "Write the path inside the bucket only, such as export/2026/."
        return [Finding(kind.prefix, message, "shape")]
    if prefix.startswith("/"):
        message = (
            "Paths in a bucket seldom start with a slash; with it no file may match. "
            "Remove it unless your paths really start so."
        )
        code = "prefix_leading_slash"
        return [Finding(kind.prefix, message, code, warning=True)]
    return []


def check_category_properties(values: object) -> list[Finding]:
    """What is in the files: data_format, compression, property_remap.

    property_remap is required with the remap_* formats and refused with the others.
    """
    if not isinstance(values, Mapping):
        message = f"Must be a JSON object, not {json_type_name(values)}."
        return [Finding("", message, "type")]
    findings = unknown_keys(values, CATEGORY_FIELDS)
    if given(values.get("compression")):
        slugs = [slug for slug, _ in COMPRESSIONS]
        findings += check_choice("compression", values["compression"], slugs)
    slug = values.get("data_format")
    if not given(slug):
        message = f"Choose a data format: {any_of(DATA_FORMATS)}."
        return [*findings, Finding("data_format", message, "required")]
    data_format = lookup(DATA_FORMATS, slug)
    if data_format is None:
        return [*findings, *check_choice("data_format", slug, DATA_FORMATS)]
    remap = values.get("property_remap")
    name = "property_remap"
    if not data_format.remap_fields:
        if remap not in (None, "", {}):
            formats = any_of(s for s, f in DATA_FORMATS.items() if f.remap_fields)
            message = f"Only with {formats}. Remove it, or change the data format."
            findings.append(Finding(name, message, "not_used"))
    elif remap is None or remap == "":
        keys = ", ".join(f.name for f in data_format.remap_fields if f.required)
        message = f"Required with {data_format.slug}: name the fields for {keys}."
        findings.append(Finding(name, message, "required"))
    else:
        found = check_fields(data_format.remap_fields, remap)
        findings += prefixed(name, found)
    return findings

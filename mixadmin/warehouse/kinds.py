"""Catalogues: what an import can be, what a warehouse is, how often an import runs.

The names of the connection fields are our own: Mixpanel's public documentation shows
only labels for them. So a field that is not in the catalogue is no error here; it is a
warning that a person ticks, and it is kept as a secret.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mixadmin.common.rules import (
    MAX_TEXT,
    Field,
    Finding,
    any_of,
    check_fields,
    check_json,
    clean_text,
    given,
    json_type_name,
    lookup,
    nearest_name,
    shown,
)

# --- How often ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Frequency:
    """How often an import runs: slug in forms and API, nanoseconds on the wire."""

    slug: str
    label: str
    nanoseconds: int


HOUR = 3_600_000_000_000
DAY = 24 * HOUR
WEEK = 7 * DAY

FREQUENCIES = (
    Frequency("api", "Only when triggered", 0),
    Frequency("hourly", "Hourly", HOUR),
    Frequency("daily", "Daily", DAY),
    Frequency("weekly", "Weekly", WEEK),
)


def frequency_of(ns: object) -> str | None:
    """The slug for a number of nanoseconds, None when Mixpanel has no such choice."""
    if isinstance(ns, bool) or not isinstance(ns, int):
        return None
    return next((f.slug for f in FREQUENCIES if f.nanoseconds == ns), None)


def nanoseconds(slug: str) -> int:
    """The nanoseconds for a slug. Raises ValueError for any other slug."""
    for frequency in FREQUENCIES:
        if frequency.slug == slug:
            return frequency.nanoseconds
    raise ValueError(f"no such frequency: {shown(slug)}")


def frequency_label(ns: object) -> str:
    """Words for a number of nanoseconds, also for one that is no choice."""
    for frequency in FREQUENCIES:
        if frequency.slug == frequency_of(ns):
            return frequency.label
    if isinstance(ns, bool) or not isinstance(ns, int):
        return "Not known"
    units = (("day", DAY), ("hour", HOUR), ("minute", HOUR // 60), ("second", 10**9))
    for word, unit in units:
        if ns > 0 and ns % unit == 0:
            count = ns // unit
            return f"Every {word}" if count == 1 else f"Every {count:,} {word}s"
    return f"Every {ns:,} nanoseconds"


# --- What is imported -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of warehouse import.

    row_becomes: what Mixpanel makes of one row.
    path: the last part of the create URL, "" when Mixpanel has none.
    sync_modes: slugs that Mixpanel's API accepts for this kind.
    fields: every field of the create request that belongs to this kind alone. Source,
        table, sync mode, frequency and Databricks config are the same for all kinds
        and are not in here.
    """

    slug: str
    label: str
    row_becomes: str
    path: str
    sync_modes: tuple[str, ...]
    fields: tuple[Field, ...]
    creatable: bool = True

    def field(self, name: str) -> Field | None:
        """The catalogue entry with that name."""
        return next((field for field in self.fields if field.name == name), None)


INSERT_TIME = Field(
    "insert_time_column_name",
    "Insert time column",
    "The column that says when a row arrived in the table. Append needs it and reads "
    "only rows with a later insert time than the latest one that it has seen.",
)
JSON_PROPERTIES = Field(
    "json_properties_column_name",
    "JSON properties column",
    "A column with a JSON object: each key becomes a property. A real column of the "
    "same name wins. In BigQuery at most 1 MB per row.",
)
PROPERTY_MAPPINGS = Field(
    "property_mappings",
    "Property mappings",
    'Column name to Mixpanel property name, as {"column": "property"}. Columns that '
    "are not named here keep their own name.",
    kind="mapping",
)

ALL_MODES = ("time_based", "mirror_mode", "full_sync", "one_time")

KINDS: dict[str, Kind] = {
    "event_stream": Kind(
        slug="event_stream",
        label="Events",
        row_becomes="Each row becomes an event.",
        path="event-stream",
        sync_modes=ALL_MODES,
        fields=(
            Field(
                "event_name",
                "Event name",
                "One name for all rows. Give this or the event name column, not both.",
            ),
            Field(
                "event_column_name",
                "Event name column",
                "The column that holds the name of each event.",
            ),
            Field(
                "time_column_name",
                "Time column",
                "When the event happened. Rows from before 1971 or more than an hour "
                "in the future are not imported.",
                required=True,
            ),
            Field(
                "user_column_name",
                "User column",
                "The column that holds the user's id (Distinct ID or User ID).",
            ),
            Field(
                "device_column_name",
                "Device column",
                "The column that holds the device's id. For projects with Simplified "
                "ID Merge.",
            ),
            Field(
                "company_column_name",
                "Company column",
                "The column that holds the company's id. B2B projects need it.",
            ),
            INSERT_TIME,
            JSON_PROPERTIES,
            PROPERTY_MAPPINGS,
        ),
    ),
    "people": Kind(
        slug="people",
        label="User profiles",
        row_becomes="Each row becomes the profile of a user.",
        path="people",
        sync_modes=ALL_MODES,
        fields=(
            Field(
                "user_column_name",
                "User column",
                "The column that holds the user's id (Distinct ID or User ID).",
                required=True,
            ),
            INSERT_TIME,
            JSON_PROPERTIES,
            PROPERTY_MAPPINGS,
        ),
    ),
    "groups": Kind(
        slug="groups",
        label="Group profiles",
        row_becomes="Each row becomes the profile of a group, such as a company.",
        path="groups",
        sync_modes=ALL_MODES,
        fields=(
            Field(
                "group_key",
                "Group key",
                "As it is written in the project settings, for example company_id. "
                "It must exist there before the first run.",
                required=True,
            ),
            Field(
                "group_id_column",
                "Group ID column",
                "The column that holds the group's id.",
                required=True,
            ),
            INSERT_TIME,
            JSON_PROPERTIES,
            PROPERTY_MAPPINGS,
        ),
    ),
    "lookup_table": Kind(
        slug="lookup_table",
        label="Lookup table",
        row_becomes="Each row adds columns to the property values that match its key.",
        path="lookup-table",
        sync_modes=("full_sync", "one_time"),
        fields=(
            Field(
                "mixpanel_property",
                "Mixpanel property",
                "The property whose values are looked up in the table.",
                kind="json",
                required=True,
                fields=(
                    Field("value", "Property name", required=True),
                    Field(
                        "resourceType",
                        "Property of",
                        kind="choice",
                        required=True,
                        choices=(("event", "Events"), ("user", "User profiles")),
                    ),
                    Field(
                        "customPropertyId",
                        "Custom property ID",
                        "Only for a custom property. Leave empty otherwise.",
                        kind="int",
                    ),
                ),
            ),
            Field(
                "property_key_column_name",
                "Key column",
                "The column whose values match the property's values.",
                required=True,
            ),
        ),
    ),
    "event_sync": Kind(
        slug="event_sync",
        label="Event sync",
        row_becomes="Made in Mixpanel. Its API shows and controls these imports but "
        "cannot create them.",
        path="",
        sync_modes=(),
        fields=(),
        creatable=False,
    ),
}


# --- Where it comes from --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a setup checklist; `sql` is text to copy, "" when there is none.

    Names in angle brackets are for the person to replace.
    """

    title: str
    detail: str = ""
    sql: str = ""


@dataclass(frozen=True, slots=True)
class MirrorFacts:
    """What Mirror needs in one warehouse, and how long it lives without a run.

    views: None when Mixpanel does not say.
    """

    views: bool | None
    mechanism: str
    prerequisite: str
    dies_after_days: int
    dies_why: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Warehouse:
    """One type of warehouse.

    fields: how to connect. table_fields: usual keys of table_params, none of them
    required, others allowed. egress: region -> addresses to let in, empty where
    Mixpanel has none. mirror: None where Mirror does not exist.
    """

    slug: str
    label: str
    fields: tuple[Field, ...]
    table_fields: tuple[Field, ...]
    checklist: tuple[Step, ...]
    egress: Mapping[str, tuple[str, ...]]
    mirror: MirrorFacts | None
    note: str = ""

    def field(self, name: str) -> Field | None:
        """The catalogue entry of the connection field with that name."""
        return next((field for field in self.fields if field.name == name), None)

    def is_secret(self, name: str) -> bool:
        """Whether a connection value is to be encrypted and never shown.

        True for every name that the catalogue does not know.
        """
        field = self.field(name)
        return field is None or field.secret


# Documented by Mixpanel. A general rule for imports that are only triggered: a Mirror
# import must run at least this often, whatever the warehouse.
MIRROR_RUN_EVERY_DAYS = 14

EGRESS = {
    "us": ("34.31.112.201", "35.184.21.33", "35.225.176.74"),
    "eu": ("34.147.68.192", "35.204.164.122", "35.204.177.251"),
    "in": ("34.47.224.29", "34.93.42.83", "35.244.19.238"),
}
POSTGRES_EGRESS = {
    "us": ("34.170.209.182", "34.59.17.26", "35.226.128.70", "34.132.69.227"),
    "eu": ("34.6.165.244", "34.13.194.46"),
    "in": ("34.14.173.30", "35.244.32.37"),
}


def _table_fields(*names: tuple[str, str]) -> tuple[Field, ...]:
    return tuple(Field(name, label) for name, label in names)


def _secret(name: str, label: str, help: str = "", **more: Any) -> Field:
    return Field(name, label, help, kind="secret", secret=True, **more)


ALLOW_LIST = Step(
    "Let Mixpanel in",
    "If the warehouse limits where connections come from, allow the addresses that "
    "are listed for the region of the project.",
)

WAREHOUSES: dict[str, Warehouse] = {
    "bigquery": Warehouse(
        slug="bigquery",
        label="BigQuery",
        fields=(
            Field(
                "gcp_project_id",
                "GCP project ID",
                "The project that runs and pays the queries.",
                required=True,
                placeholder="my-company-data",
            ),
        ),
        table_fields=_table_fields(
            ("project", "Project"), ("dataset", "Dataset"), ("table", "Table")
        ),
        checklist=(
            Step(
                "Find Mixpanel's service account",
                "Mixpanel makes it on the first connection: project-<Mixpanel project "
                "ID>@mixpanel-warehouse-1.iam.gserviceaccount.com",
            ),
            Step(
                "Let it run queries and read the data",
                sql="GRANT `roles/bigquery.jobUser`\n  ON PROJECT `<gcp_project>`\n"
                '  TO "serviceAccount:<mixpanel_service_account>";\n'
                "GRANT `roles/bigquery.dataViewer`\n"
                "  ON SCHEMA `<gcp_project>`.`<dataset>`\n"
                '  TO "serviceAccount:<mixpanel_service_account>";',
            ),
            Step(
                "For Mirror: make a dataset for snapshots",
                "It must be empty and in the same location as the data.",
                sql="CREATE SCHEMA `<gcp_project>`.mixpanel\n"
                '  OPTIONS (location = "<location of the data>");\n'
                "GRANT `roles/bigquery.dataOwner`\n"
                "  ON SCHEMA `<gcp_project>`.mixpanel\n"
                '  TO "serviceAccount:<mixpanel_service_account>";',
            ),
            Step(
                "With VPC Service Controls: add an ingress rule",
                "For Mixpanel's projects 745258754925 (US), 848893383328 (EU), "
                "1054291822741 (IN); egress to 435324298685 may be needed too. "
                "Address lists do not work with BigQuery.",
            ),
            Step(
                "Partition large tables by the insert time column",
                "Each run reads the whole table otherwise. A query may take 20 hours "
                "at most.",
            ),
        ),
        egress={},
        mirror=MirrorFacts(
            views=False,
            mechanism="Table snapshots in the dataset `mixpanel` and a checksum of "
            "each row",
            prerequisite="A dataset `mixpanel` in the same location, with dataOwner "
            "for Mixpanel's service account",
            dies_after_days=21,
            dies_why="the snapshots expire",
            notes=(
                "Rows that are equal in every column become one. Add a column with a "
                "unique row id.",
                "Dropping, renaming or reordering columns sends and bills the whole "
                "table again.",
            ),
        ),
        note="BigQuery does not take passwords: Mixpanel uses its own service account.",
    ),
    "snowflake": Warehouse(
        slug="snowflake",
        label="Snowflake",
        fields=(
            Field(
                "account_identifier",
                "Account identifier",
                "Organization and account, without .snowflakecomputing.com.",
                required=True,
                placeholder="myorg-account123",
            ),
            Field("user", "User", required=True),
            Field("role", "Role", required=True),
            Field(
                "auth_method",
                "Sign-in",
                "For a key pair Mixpanel makes the keys and shows the public key.",
                kind="choice",
                required=True,
                choices=(("password", "Password"), ("key_pair", "Key pair")),
                initial="key_pair",
            ),
            _secret("password", "Password", only_if=("auth_method", ("password",))),
            Field("warehouse", "Warehouse", required=True),
            Field(
                "storage_integration",
                "Storage integration",
                "The integration for a stage on Google Cloud Storage.",
                required=True,
            ),
            Field("database", "Database", required=True),
        ),
        table_fields=_table_fields(
            ("database", "Database"), ("schema", "Schema"), ("table", "Table")
        ),
        checklist=(
            ALLOW_LIST,
            Step(
                "Let the role use warehouse and integration",
                sql="GRANT USAGE, MONITOR ON WAREHOUSE <warehouse> TO ROLE <role>;\n"
                "GRANT USAGE ON INTEGRATION <storage_integration> TO ROLE <role>;",
            ),
            Step(
                "Let the role read the data",
                sql="GRANT USAGE ON DATABASE <database> TO ROLE <role>;\n"
                "GRANT USAGE ON SCHEMA <database>.<schema> TO ROLE <role>;\n"
                "GRANT SELECT ON ALL TABLES IN SCHEMA <database>.<schema> "
                "TO ROLE <role>;",
            ),
            Step(
                "For Mirror: make a schema for streams, and track changes",
                sql="CREATE SCHEMA <database>.MIXPANEL;\n"
                "GRANT USAGE, CREATE STREAM ON SCHEMA <database>.MIXPANEL "
                "TO ROLE <role>;\n"
                "ALTER TABLE <database>.<schema>.<table> SET CHANGE_TRACKING = TRUE;",
            ),
        ),
        egress=EGRESS,
        mirror=MirrorFacts(
            views=True,
            mechanism="Streams in the schema MIXPANEL",
            prerequisite="CHANGE_TRACKING = TRUE on the table or view",
            dies_after_days=14,
            dies_why="the stream becomes stale (14 days unless "
            "DATA_RETENTION_TIME_IN_DAYS or MAX_DATA_EXTENSION_TIME_IN_DAYS is longer)",
            notes=(
                "A new column with a default value is not sent for rows that were "
                "there before.",
                "Dropping and recreating the table breaks the stream.",
            ),
        ),
    ),
    "databricks": Warehouse(
        slug="databricks",
        label="Databricks",
        fields=(
            Field(
                "server_hostname",
                "Server hostname",
                "Host name only, without https://.",
                required=True,
                placeholder="dbc-a1b2c3d4-e5f6.cloud.databricks.com",
            ),
            Field(
                "auth_method",
                "Sign-in",
                "Mixpanel recommends OAuth.",
                kind="choice",
                required=True,
                choices=(
                    ("oauth", "OAuth (service principal)"),
                    ("token", "Personal access token"),
                ),
                initial="oauth",
            ),
            Field(
                "oauth_client_id",
                "OAuth client ID",
                only_if=("auth_method", ("oauth",)),
            ),
            _secret(
                "oauth_client_secret",
                "OAuth client secret",
                only_if=("auth_method", ("oauth",)),
            ),
            _secret(
                "access_token",
                "Personal access token",
                only_if=("auth_method", ("token",)),
            ),
            Field(
                "compute_type",
                "Compute",
                "SQL warehouses do not work. Jobs compute starts 5 to 6 minutes later "
                "and takes a cluster config per import.",
                kind="choice",
                required=True,
                choices=(
                    ("all_purpose", "All-Purpose compute"),
                    ("jobs", "Jobs compute (Beta)"),
                ),
                initial="all_purpose",
            ),
            Field(
                "http_path",
                "HTTP path",
                "From the cluster's connection details. For All-Purpose compute only.",
                only_if=("compute_type", ("all_purpose",)),
                placeholder="sql/protocolv1/o/1234567890/0123-456789-abcdefgh",
            ),
        ),
        table_fields=_table_fields(
            ("catalog", "Catalog"), ("schema", "Schema"), ("table", "Table")
        ),
        checklist=(
            ALLOW_LIST,
            Step(
                "Let the principal use compute",
                "All-Purpose: CAN ATTACH TO the cluster, CAN RESTART if it stops by "
                "itself; the cluster must be shared unless the principal made it. "
                "Jobs compute: permission to create clusters.",
            ),
            Step(
                "Let the principal read tables and write files",
                sql="GRANT SELECT ON ANY FILE TO `<principal>`;\n"
                "GRANT MODIFY ON ANY FILE TO `<principal>`;\n"
                "GRANT SELECT ON TABLE <catalog>.<schema>.<table> TO `<principal>`;",
            ),
            Step(
                "For Mirror: switch on the Change Data Feed",
                sql="ALTER TABLE <catalog>.<schema>.<table>\n"
                "  SET TBLPROPERTIES (delta.enableChangeDataFeed = true);",
            ),
        ),
        egress=EGRESS,
        mirror=MirrorFacts(
            views=False,
            mechanism="Change Data Feed",
            prerequisite="delta.enableChangeDataFeed = true on the table",
            dies_after_days=30,
            dies_why="the change log is removed (30 days unless "
            "delta.logRetentionDuration says otherwise)",
            notes=(
                "After dropping or renaming a column, delete the import with its data "
                "and create it again.",
            ),
        ),
    ),
    "redshift": Warehouse(
        slug="redshift",
        label="Redshift",
        fields=(
            Field(
                "aws_account_id",
                "AWS account ID",
                "12 digits.",
                required=True,
                placeholder="123456789012",
            ),
            Field("cluster_id", "Cluster ID", required=True),
            Field("region", "AWS region", required=True, placeholder="us-east-1"),
            Field(
                "s3_bucket",
                "S3 bucket",
                "Where Redshift puts the data for Mixpanel.",
                required=True,
            ),
            Field("database", "Database", required=True),
            Field("role_name", "Role name", required=True),
            Field("policy_name", "Policy name"),
            Field(
                "schema",
                "Schema",
                "The schema to read. The connection works only after the grant on it.",
            ),
        ),
        table_fields=_table_fields(("schema", "Schema"), ("table", "Table")),
        checklist=(
            ALLOW_LIST,
            Step(
                "Make the AWS role and policy that Mixpanel shows",
                "It must be able to write to the S3 bucket and to query the cluster.",
            ),
            Step(
                "Grant the schema",
                "The source shows as created before this is done; it works after.",
                sql='GRANT USAGE ON SCHEMA <schema> TO "IAMR:<role_name>";\n'
                'GRANT SELECT ON ALL TABLES IN SCHEMA <schema> TO "IAMR:<role_name>";',
            ),
            Step(
                "After each new table: grant again",
                "A grant on all tables covers only those that exist.",
                sql='GRANT SELECT ON <schema>.<table> TO "IAMR:<role_name>";',
            ),
        ),
        egress=EGRESS,
        mirror=MirrorFacts(
            views=None,
            mechanism="Snapshots and MD5 sums in a staging schema",
            prerequisite="A new grant for every new table",
            dies_after_days=MIRROR_RUN_EVERY_DAYS,
            dies_why="Mixpanel asks for a run at least every 14 days",
            notes=(
                "Rows that are equal in every column become one. Add a column with a "
                "unique row id.",
                "Columns of type geography, geometry, varbyte and hllsketch do not "
                "work.",
                "A new column with default NULL is the only change of the table that "
                "works.",
            ),
        ),
    ),
    "postgres": Warehouse(
        slug="postgres",
        label="PostgreSQL",
        fields=(
            Field(
                "host",
                "Host",
                "Host name or IPv4 address. IPv6 does not work.",
                required=True,
                placeholder="db.example.com",
            ),
            Field(
                "port",
                "Port",
                kind="int",
                required=True,
                minimum=1,
                maximum=65535,
                initial=5432,
            ),
            Field("database", "Database", required=True),
            Field("user", "User", required=True),
            _secret("password", "Password", required=True),
            Field(
                "ssl_mode",
                "SSL mode",
                "The connection is always encrypted.",
                kind="choice",
                required=True,
                choices=(("verify-full", "verify-full"), ("verify-ca", "verify-ca")),
                initial="verify-full",
            ),
            Field(
                "ca_bundle",
                "CA certificates",
                "PEM text. Needed when no public authority signed the certificate.",
                kind="textarea",
                max_length=MAX_TEXT,
            ),
            Field("ssh_host", "SSH bastion host", "Only for a connection through SSH."),
            Field(
                "ssh_port",
                "SSH port",
                "22 if left empty.",
                kind="int",
                minimum=1,
                maximum=65535,
            ),
            Field("ssh_user", "SSH user"),
            _secret(
                "ssh_private_key",
                "SSH private key",
                "PEM text, without a passphrase.",
                multiline=True,
                max_length=MAX_TEXT,
            ),
        ),
        table_fields=_table_fields(("schema", "Schema"), ("table", "Table")),
        checklist=(
            ALLOW_LIST,
            Step(
                "Make a user that can only read",
                sql="CREATE USER mixpanel WITH PASSWORD '<password>';\n"
                "GRANT CONNECT ON DATABASE <database> TO mixpanel;\n"
                "GRANT USAGE ON SCHEMA <schema> TO mixpanel;\n"
                "GRANT SELECT ON ALL TABLES IN SCHEMA <schema> TO mixpanel;",
            ),
            Step(
                "Serve TLS, on IPv4",
                "Mixpanel checks the certificate. Give the CA certificates when no "
                "public authority signed it.",
            ),
        ),
        egress=POSTGRES_EGRESS,
        mirror=None,
        note="PostgreSQL has no Mirror.",
    ),
}


# --- Checks ---------------------------------------------------------------------------

NEEDS_NO_PHRASE = "Has a passphrase. Mixpanel needs a key without one."
SSH_PARTS = ("ssh_host", "ssh_user", "ssh_private_key")


def check_source(
    warehouse_type: object, connection: object, *, partial: bool = False
) -> list[Finding]:
    """Check how to connect to a warehouse: `connection` is a flat JSON object.

    partial: an update, which holds only what changes; nothing is required then.
    A field that the catalogue does not know is a warning `unknown_connection_field`.
    """
    warehouse = lookup(WAREHOUSES, warehouse_type)
    if warehouse is None:
        message = f"Unknown warehouse type. Use {any_of(WAREHOUSES)}."
        return [Finding("warehouse_type", message, "choice")]
    if not isinstance(connection, Mapping):
        message = f"Must be a JSON object, not {json_type_name(connection)}."
        return [Finding("connection", message, "type")]
    known = {field.name for field in warehouse.fields}
    theirs = {key: value for key, value in connection.items() if key not in known}
    ours = {key: value for key, value in connection.items() if key in known}
    findings = check_fields(warehouse.fields, ours, partial=partial)
    findings += _check_unknown(warehouse, theirs)
    faulty = {finding.field for finding in findings}
    sound = {key: value for key, value in ours.items() if key not in faulty}
    findings += _check_only_if(warehouse, sound, ours, partial=partial)
    match warehouse.slug:
        case "bigquery":
            findings += _check_gcp(sound)
        case "snowflake":
            findings += _check_snowflake(sound)
        case "databricks":
            findings += check_host("server_hostname", sound.get("server_hostname"))
        case "redshift":
            findings += _check_redshift(sound)
        case "postgres":
            findings += _check_postgres(sound, ours, partial=partial)
    return findings


def check_source_name(name: object) -> list[Finding]:
    """Check what a source is called."""
    return clean_text("source_name", name, label="Name", required=True)


def _check_unknown(warehouse: Warehouse, theirs: dict[Any, Any]) -> list[Finding]:
    if not theirs:
        return []
    if findings := check_json(theirs, "connection"):
        return findings
    findings = []
    for key in theirs:
        name = shown(key)
        if key in ("warehouse_type", "source_name"):
            message = "Set this outside of the connection."
            findings.append(Finding(name, message, "unknown_field"))
        elif len(findings) < 20:
            nearest = nearest_name(key, [field.name for field in warehouse.fields])
            hint = f" Did you mean “{nearest}”?" if nearest else ""
            message = (
                f"“{name}” is not a field that we know for {warehouse.label}.{hint} "
                "Mixpanel does not publish the names. Tick to send it as it is; it is "
                "kept as a secret."
            )
            code = "unknown_connection_field"
            findings.append(Finding(name, message, code, warning=True))
    return findings


def _check_only_if(
    warehouse: Warehouse,
    sound: dict[str, Any],
    ours: dict[str, Any],
    *,
    partial: bool,
) -> list[Finding]:
    """Fields that go with a choice: needed with it, refused without it."""
    findings = []
    for field in warehouse.fields:
        if field.only_if is None:
            continue
        other, values = field.only_if
        if not given(sound.get(other)):
            continue
        chooser = warehouse.field(other)
        assert chooser is not None
        if sound[other] in values:
            if not given(ours.get(field.name)) and not partial:
                message = f"{field.label} is required."
                findings.append(Finding(field.name, message, "required"))
        elif given(ours.get(field.name)):
            chosen = dict(chooser.choices)[sound[other]]
            message = f"Not used with {chooser.label} “{chosen}”. Remove it."
            findings.append(Finding(field.name, message, "not_used"))
    return findings


def check_host(name: str, value: object) -> list[Finding]:
    """Check a host name or IPv4 address: no scheme, path, port or IPv6. "" passes."""
    if not given(value):
        return []
    text = str(value)
    if "://" in text or "/" in text:
        message = "Write the host name only, without https:// and without a path."
    elif text.count(":") > 1 or text.startswith("["):
        message = "IPv6 does not work. Give a host name or an IPv4 address."
    elif ":" in text:
        message = "Write the host name only, without the port."
    elif not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9])?\.?", text):
        message = "Not a host name."
    else:
        return []
    return [Finding(name, message, "host")]


def _check_gcp(values: dict[str, Any]) -> list[Finding]:
    project = values.get("gcp_project_id") or ""
    # Old projects carry their domain: example.com:my-project.
    shape = r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]"
    if project and not re.fullmatch(shape, project):
        message = (
            "Not a GCP project ID: 6 to 30 lower-case letters, digits and hyphens, "
            "starting with a letter."
        )
        return [Finding("gcp_project_id", message, "shape")]
    return []


def _check_snowflake(values: dict[str, Any]) -> list[Finding]:
    account = values.get("account_identifier") or ""
    if not account:
        return []
    if "://" in account or "snowflakecomputing.com" in account.lower():
        message = "Write the identifier only, without .snowflakecomputing.com."
    elif not re.fullmatch(r"[A-Za-z0-9_.-]+", account):
        message = "Not an account identifier: letters, digits, hyphens and dots only."
    else:
        return []
    return [Finding("account_identifier", message, "shape")]


def _check_redshift(values: dict[str, Any]) -> list[Finding]:
    findings = []
    account = values.get("aws_account_id") or ""
    if account and not re.fullmatch(r"[0-9]{12}", account):
        message = "An AWS account ID has 12 digits. Leave out hyphens."
        findings.append(Finding("aws_account_id", message, "shape"))
    bucket = values.get("s3_bucket") or ""
    if bucket and ("/" in bucket or ":" in bucket):
        message = "Write the bucket name only, without s3:// and without a path."
        findings.append(Finding("s3_bucket", message, "shape"))
    region = values.get("region") or ""
    if region and not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-[0-9]", region):
        message = "Not an AWS region, such as us-east-1."
        findings.append(Finding("region", message, "shape"))
    return findings


def _check_postgres(
    values: dict[str, Any], ours: dict[str, Any], *, partial: bool
) -> list[Finding]:
    findings = check_host("host", values.get("host"))
    findings += check_host("ssh_host", values.get("ssh_host"))
    pem = values.get("ca_bundle") or ""
    if pem and "-----BEGIN CERTIFICATE-----" not in pem:
        message = "Not a PEM certificate: it starts with -----BEGIN CERTIFICATE-----."
        findings.append(Finding("ca_bundle", message, "shape"))
    key = values.get("ssh_private_key") or ""
    if key and (problem := private_key_problem(key)):
        findings.append(Finding("ssh_private_key", problem, "shape"))
    tunnel = any(given(ours.get(part)) for part in (*SSH_PARTS, "ssh_port"))
    if tunnel and not partial:
        warehouse = WAREHOUSES["postgres"]
        for part in SSH_PARTS:
            field = warehouse.field(part)
            if field and not given(ours.get(part)):
                message = f"{field.label} is required for a connection through SSH."
                findings.append(Finding(part, message, "required"))
    return findings


def private_key_problem(text: str) -> str:
    """Why Mixpanel cannot use a private key, or "" when it looks usable."""
    found = re.search(r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----", text)
    if not found:
        return "Not a PEM private key: it starts with -----BEGIN … PRIVATE KEY-----."
    if "ENCRYPTED" in text:
        return NEEDS_NO_PHRASE
    if found[1].strip() == "OPENSSH":
        # OpenSSH names the cipher near the start of the binary part.
        body = "".join(text[found.end() :].split("-----")[0].split())
        try:
            head = base64.b64decode(body[:128])
        except (ValueError, binascii.Error):
            return "The key is damaged. Paste the whole file."
        if head.startswith(b"openssh-key-v1\0") and b"\0\0\0\4none" not in head[:32]:
            return NEEDS_NO_PHRASE
    return ""

"""What an error means and what to do about it: two tables, read by every page.

The text of a message is never used to decide what the program does, only to explain it
to a person.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mixadmin.mixpanel.errors import MixpanelError


@dataclass(frozen=True, slots=True)
class Explanation:
    """An error in words for people: what it is called, what it means, what to do."""

    title: str
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text seen in an error, and what it means.

    where: warehouse or connector types that it is limited to, empty for all.
    """

    text: re.Pattern[str]
    explanation: Explanation
    where: tuple[str, ...] = ()


REMEDIES: dict[str, Explanation] = {
    "rate_limited": Explanation(
        "Mixpanel asks to wait",
        "Too many calls for this project in a short time. Nothing was changed.",
        "Nothing to do: it is sent again by itself. If it keeps happening, look for "
        "other tools that use the same project.",
    ),
    "server_failed": Explanation(
        "Mixpanel had an error of its own",
        "Mixpanel's server failed. Whether it did the work is not known.",
        "Wait: it is looked up and, if nothing was done, sent again. If it lasts, see "
        "Mixpanel's status page and write to its support with the request ID.",
    ),
    "unreachable": Explanation(
        "Mixpanel could not be reached",
        "No connection was made, so nothing was changed.",
        "It is tried again by itself. If it lasts, check network, DNS, proxy and "
        "firewall of the workers.",
    ),
    "reply_lost": Explanation(
        "Mixpanel's answer was lost",
        "The request was sent but the answer did not arrive. Whether Mixpanel did the "
        "work is not known.",
        "Wait: Mixpanel is asked what exists before anything is sent again. If you are "
        "asked to decide, compare the candidates with what you wanted.",
    ),
    # These are ours: what a job may meet besides an answer of Mixpanel.
    "refused": Explanation(
        "mixadmin did not send it",
        "Something has changed since it was asked for. Nothing was sent.",
        "Read why, put it right, and try again.",
    ),
    "run_failed": Explanation(
        "The run did not succeed",
        "Mixpanel accepted the request and started the run, which then failed.",
        "See the run: it tells what is known of the cause. Then try again.",
    ),
    "run_unseen": Explanation(
        "The end of the run was not seen",
        "Mixpanel accepted the request, and nothing was heard of its end for a day.",
        "Look at the import in Mixpanel before you try again.",
    ),
    "worker_lost": Explanation(
        "The worker died",
        "The process that did this job went silent. Nothing more is sent before it is "
        "known what became of it.",
        "Wait. If it happens again, look at the worker's log and its memory.",
    ),
    "internal": Explanation(
        "A mistake in mixadmin",
        "Something happened that nobody foresaw. It is in the worker's log.",
        "Try again once. If it stays, report it with the lines of the log.",
    ),
    "look_failed": Explanation(
        "Mixpanel could not be asked what is there",
        "Before something is sent, Mixpanel is asked what it has. That failed, so nothing "
        "was sent and nothing was changed.",
        "It is tried again by itself. If it lasts, see Mixpanel's status page.",
    ),
    # Of files on their way into Mixpanel.
    "file_changed": Explanation(
        "The file has changed",
        "It is no longer what it was when it was chosen. Nothing more is read from it, "
        "so that its old and its new content are not mixed.",
        "Choose the file anew. Let whatever writes it finish first, or give each new "
        "content a name of its own.",
    ),
    "file_missing": Explanation(
        "The file is not there",
        "It was moved, renamed or removed since it was chosen, or never was where the "
        "name says.",
        "Look what is there, and choose it anew or upload it again.",
    ),
    "file_not_permitted": Explanation(
        "The file may not be read",
        "It is there, but mixadmin lacks a permission or a valid credential for it.",
        "Read which permission is missing and give it, or set new credentials and "
        "verify the bucket. Then try again.",
    ),
    "file_unreachable": Explanation(
        "The file could not be reached",
        "The bucket, or the way to it, did not answer in time. Nothing of the file was "
        "lost, and reading goes on where it was.",
        "Wait, or try again. If it lasts, check the network and the provider's status "
        "page.",
    ),
    "file_unusable": Explanation(
        "This cannot be read as a file",
        "The name leads to something else than a plain, complete file.",
        "Read why, and choose a plain file.",
    ),
    "file.cut": Explanation(
        "The file ends too early",
        "Its compressed data stops before its end, as after a broken copy. Everything "
        "before that place was read.",
        "Get the file again, and start anew with it. Events that were imported already "
        "are not counted twice.",
    ),
    "file.broken": Explanation(
        "The file is damaged",
        "Its compressed data makes no sense from some place on. Everything before it was "
        "read.",
        "Get the file again, and start anew with it. Events that were imported already "
        "are not counted twice.",
    ),
    "file.bomb": Explanation(
        "The file unpacks to far more than real data does",
        "Files like this are made to fill a server. It was not read to its end.",
        "If it is real data, send it unpacked or in smaller files.",
    ),
    "file.expands_too_much": Explanation(
        "The file is too large when it is unpacked",
        "It unpacks to more than one file may have here.",
        "Split it into several files.",
    ),
    "file.too_short": Explanation(
        "The file became shorter",
        "It ends before the place from which it should be read on, so it is not the file "
        "that was begun with.",
        "Let whatever writes it finish, and choose it anew.",
    ),
    # Of a whole ingestion.
    "files_failed": Explanation(
        "Some files could not be read",
        "The other files were sent. The list of files says what is wrong with each.",
        "Put those files right and try again: only they are read again.",
    ),
    "books": Explanation(
        "The numbers do not agree",
        "While sending, another number of records was read than while checking: a file "
        "changed in between, or there is a mistake in mixadmin.",
        "Compare the files with what was imported. Sending them once more does no harm "
        "to events, which have their $insert_id.",
    ),
    "nothing_imported": Explanation(
        "Nothing was imported",
        "Every record was refused, invalid or left out.",
        "Look at the rejected records: they say why, and which mend cures it.",
    ),
    "token_refused": Explanation(
        "Mixpanel refuses the project token",
        "The token is wrong, or of another project.",
        "Set the right token in the project's settings, then try again.",
    ),
    "no_token": Explanation(
        "The project token is missing",
        "This is sent with the project token, and none is set.",
        "Copy it from Mixpanel's Project Settings into the project's settings here.",
    ),
    "bad_request": Explanation(
        "Mixpanel refused the values",
        "Mixpanel understood the request and did not accept it. Nothing was changed.",
        "Read Mixpanel's words, correct the values and send it again.",
    ),
    "not_authenticated": Explanation(
        "Mixpanel does not know these credentials",
        "The service account's username or secret is wrong, or it expired or was "
        "deleted.",
        "Check the service account in Mixpanel's organization settings. Enter a new "
        "secret, or choose another service account, then verify the project.",
    ),
    "not_allowed": Explanation(
        "The service account may not do this",
        "Mixpanel knows the service account, but its role in this project is not "
        "enough, or the project does not have this feature.",
        "Give the service account the role Admin or Owner in the project, then verify "
        "the project and send it again.",
    ),
    "not_found": Explanation(
        "Mixpanel does not have it",
        "It was deleted in Mixpanel, or it is in another project or another region.",
        "Sync the project's inventory. If all of the project is missing, check its "
        "project ID and region.",
    ),
    "too_large": Explanation(
        "Too large for Mixpanel",
        "The request was larger than Mixpanel accepts. Nothing was imported.",
        "Send it in smaller parts.",
    ),
    "redirected": Explanation(
        "Sent to another address",
        "The answer pointed to another host. The secret was not sent there.",
        "Check the project's region and the settings MIXPANEL_APP_URL and "
        "MIXPANEL_INGESTION_URL. A proxy with a sign-in page does this too.",
    ),
    "unexpected_response": Explanation(
        "The answer made no sense",
        "Mixpanel answered with something else than its documentation says. Whether "
        "it did the work is not known.",
        "Look at the raw answer. If it is a page from a proxy, correct the network; "
        "otherwise write to Mixpanel's support with the request ID.",
    ),
}

# The same where a person asked and waits for the answer: nothing tries again by itself.
REMEDIES_OF_QUESTIONS: dict[str, Explanation] = {
    "rate_limited": Explanation(
        "Mixpanel asks to wait",
        "Too many calls in a short time. Nothing was changed.",
        "Try again in a minute. If it keeps happening, look for other tools that use "
        "the same project.",
    ),
    "server_failed": Explanation(
        "Mixpanel had an error of its own",
        "Mixpanel's server failed. It was only asked, so nothing was changed.",
        "Try again. If it lasts, see Mixpanel's status page and write to its support "
        "with the request ID.",
    ),
    "unreachable": Explanation(
        "Mixpanel could not be reached",
        "No connection was made, so nothing was changed.",
        "Try again. If it lasts, check network, DNS, proxy and firewall of this server.",
    ),
    "reply_lost": Explanation(
        "Mixpanel's answer was lost",
        "Mixpanel was asked, but its answer did not arrive. Nothing was changed.",
        "Try again.",
    ),
}

UNKNOWN_KIND = Explanation(
    "Something else went wrong",
    "This sort of error is not known here.",
    "Read the raw text. If it does not help, ask whoever runs this installation.",
)

CONNECTORS_CLOSED = Explanation(
    "Cloud connectors are closed for this project",
    "Mixpanel has closed Cloud Import to new projects, or the service account is not "
    "Admin of the project.",
    "Check the service account's role. If it is Admin, use a warehouse import, or send "
    "the files through the ingestion API.",
)

# Texts that Mixpanel answers requests with.
REQUEST_PATTERNS: tuple[Pattern, ...] = (
    Pattern(
        re.compile(r"invalid project secret", re.I),
        Explanation(
            "Mixpanel could not tell the project",
            "Mixpanel says “invalid project secret” when a service account is used "
            "without a project ID, as well as for a wrong secret.",
            "Check the project ID and the service account of the project.",
        ),
    ),
    Pattern(
        re.compile(r"invalid project id for cluster", re.I),
        Explanation(
            "Wrong region",
            "The project exists in another region than the one that is set here.",
            "Change the region of the project, then verify it.",
        ),
    ),
    Pattern(
        re.compile(r"is missing from the payload|missing_required_property", re.I),
        Explanation(
            "A value is missing",
            "Mixpanel needs a value that was not sent. Nothing was changed.",
            "Fill in the property that Mixpanel names and send it again.",
        ),
    ),
    Pattern(
        re.compile(r"\bsync(s|ed)? .*\bper hour|manual.sync.*limit", re.I),
        Explanation(
            "Too many manual syncs",
            "Mixpanel starts an import by hand at most 5 times in an hour.",
            "Wait: it is started when the hour has passed.",
        ),
    ),
)


def _run(text: str, title: str, meaning: str, remedy: str, *where: str) -> Pattern:
    return Pattern(
        re.compile(text, re.I | re.S), Explanation(title, meaning, remedy), where
    )


# Texts that runs fail with. The first that fits is taken, so the exact ones come first.
RUN_PATTERNS: tuple[Pattern, ...] = (
    # Cloud connectors
    _run(
        r"no compression specified but gzip detected",
        "The files are gzip, the connector says they are not",
        "The connector was created with compression none. Nothing was imported.",
        "Create a copy of the connector with compression gzip. A connector cannot be "
        "changed.",
    ),
    _run(
        r"not in gzip format|invalid gzip|gzip: invalid header|incorrect header check",
        "The files are not gzip, the connector says they are",
        "The connector was created with compression gzip.",
        "Create a copy of the connector with compression none.",
        "gcsImport",
        "s3Import",
    ),
    _run(
        r"invalid_permissions_gcs|permissions? to access gcs",
        "Mixpanel may not read the bucket",
        "Google Cloud Storage refused Mixpanel's service account.",
        "Give Mixpanel's service account Storage Object Viewer on the bucket, then "
        "create a copy of the connector.",
    ),
    _run(
        r"assume.?role|sts:|not authorized to perform",
        "Mixpanel may not use the AWS role",
        "AWS refused to let Mixpanel take the role.",
        "Let the role's trust policy name Mixpanel's AWS account, and its permissions "
        "allow s3:ListBucket and s3:GetObject on the bucket. Then create a copy of the "
        "connector.",
        "s3Import",
    ),
    _run(
        r"invalid_permissions_s3|access ?denied|forbidden|\b403\b",
        "Mixpanel may not read the bucket",
        "The bucket refused Mixpanel.",
        "Check the permissions of Mixpanel's service account or role on the bucket, "
        "then create a copy of the connector.",
        "gcsImport",
        "s3Import",
    ),
    _run(
        r"no ?such ?bucket|bucket .{0,260}(not|n't) (be )?(found|exist)",
        "There is no such bucket",
        "The bucket's name or region is wrong, or it was deleted.",
        "Check name and region, then create a new connector.",
        "gcsImport",
        "s3Import",
    ),
    _run(
        r"no (files|objects) (were )?(found|match)",
        "No file under the prefix",
        "Nothing in the bucket starts with the prefix.",
        "Check the prefix: no slash at the start, upper and lower case differ. Then "
        "create a new connector.",
        "gcsImport",
        "s3Import",
    ),
    _run(
        r"\b2 ?GB|2 gigabytes|file .{0,260}too (large|big)|(larger|bigger) than 2",
        "A file is 2 GB or larger",
        "One file of 2 GB or more stops the whole import.",
        "Split the file into parts of 500 MB to 1 GB, then create a copy of the "
        "connector.",
        "gcsImport",
        "s3Import",
    ),
    # Snowflake
    _run(
        r"cannot unload to an inlined external location",
        "Snowflake does not let Mixpanel unload data",
        "The account forbids unloading to a URL that is not a stage.",
        "Run: ALTER USER <user> SET PREVENT_UNLOAD_TO_INLINE_URL = FALSE; and sync "
        "again.",
    ),
    _run(
        r"stream .{0,260}stale|stale stream|change.tracking",
        "Mirror lost track of the changes",
        "The stream is older than Snowflake keeps changes, the table was recreated, or "
        "change tracking is off.",
        "Run: ALTER TABLE <table> SET CHANGE_TRACKING = TRUE; then delete the import "
        "and create it again. Run it at least every 14 days.",
        "snowflake",
    ),
    _run(
        r"no active warehouse|warehouse .{0,260}(not exist|suspended|cannot resume)",
        "The Snowflake warehouse cannot be used",
        "It does not exist, is suspended, or the role may not use it.",
        "Run: GRANT USAGE, MONITOR ON WAREHOUSE <warehouse> TO ROLE <role>; and check "
        "that it resumes by itself.",
        "snowflake",
    ),
    _run(
        r"integration .{0,260}(not exist|not authorized|disabled)",
        "The storage integration cannot be used",
        "It does not exist, is disabled, or the role may not use it.",
        "Run: GRANT USAGE ON INTEGRATION <integration> TO ROLE <role>;",
        "snowflake",
    ),
    # Databricks
    _run(
        r"any file",
        "The principal may not use files",
        "Mixpanel writes the export as files, and needs SELECT and MODIFY on ANY FILE.",
        "Run: GRANT SELECT ON ANY FILE TO `<principal>`; GRANT MODIFY ON ANY FILE TO "
        "`<principal>`;",
        "databricks",
    ),
    _run(
        r"change data (feed|capture)|enableChangeDataFeed|DELTA_(MISSING_)?CHANGE_DATA",
        "The Change Data Feed is off or too old",
        "Mirror reads the Change Data Feed. It is off, or its log was removed.",
        "Run: ALTER TABLE <table> SET TBLPROPERTIES (delta.enableChangeDataFeed = "
        "true); then delete the import and create it again.",
        "databricks",
    ),
    _run(
        r"sql warehouse|/sql/1\.0/(warehouses|endpoints)",
        "SQL warehouses do not work",
        "The HTTP path is that of a SQL warehouse.",
        "Give the HTTP path of an All-Purpose cluster, or use Jobs compute.",
        "databricks",
    ),
    _run(
        r"attach|cluster .{0,260}(not shared|single.user|terminated|permission)",
        "The cluster cannot be used",
        "The principal may not attach to the cluster or restart it, or the cluster "
        "belongs to another user.",
        "Give the principal CAN ATTACH TO, and CAN RESTART if the cluster stops by "
        "itself. The cluster must be shared unless the principal made it.",
        "databricks",
    ),
    _run(
        r"quota|insufficient.{0,40}capacity|stockout|node type .{0,260}not",
        "The cluster could not start",
        "The cloud has no machines of this type left for the account, or does not "
        "know the type.",
        "Change node type or number of workers in the Databricks config, or raise the "
        "quota.",
        "databricks",
    ),
    # BigQuery
    _run(
        r"vpc service controls|vpcServiceControls|organization'?s policy",
        "A VPC Service Control keeps Mixpanel out",
        "The project is inside a perimeter without a rule for Mixpanel.",
        "Add an ingress rule for Mixpanel's projects 745258754925 (US), 848893383328 "
        "(EU), 1054291822741 (IN), and if needed egress to 435324298685. Address lists "
        "do not work with BigQuery.",
        "bigquery",
    ),
    _run(
        r"bigquery\.jobs\.create|jobUser",
        "Mixpanel may not run queries",
        "The service account lacks BigQuery Job User in the project.",
        "Grant roles/bigquery.jobUser on the GCP project to the service account.",
        "bigquery",
    ),
    _run(
        r"snapshot|dataset `?[\w.:-]*\bmixpanel\b(?![-@])|dataOwner",
        "Mirror's dataset cannot be used",
        "Mirror keeps snapshots in a dataset named mixpanel. It is missing, in another "
        "location, not writable, or the snapshot expired after 21 days without a run.",
        "Make the dataset mixpanel in the location of the data with dataOwner for "
        "Mixpanel's service account. After an expired snapshot delete the import and "
        "create it again.",
        "bigquery",
    ),
    _run(
        r"different locations?|same location|across locations",
        "The data is in another location",
        "BigQuery cannot read across locations. Mirror's dataset must be where the "
        "data is.",
        "Make the dataset in the location of the data.",
        "bigquery",
    ),
    _run(
        r"20.?h(ours?)?\b|timed? ?out|deadline exceeded|exceeded .{0,60}time",
        "The query took too long",
        "Mixpanel stops a BigQuery query after 20 hours.",
        "Partition or cluster the table by the insert time column, or import through "
        "a smaller view.",
        "bigquery",
    ),
    # Redshift
    _run(
        r"permission denied for (relation|schema|table)",
        "The role may not read the table",
        "In Redshift a grant on all tables covers only the tables that existed then.",
        'Run: GRANT USAGE ON SCHEMA <schema> TO "IAMR:<role>"; GRANT SELECT ON '
        '<schema>.<table> TO "IAMR:<role>"; and again for each new table.',
        "redshift",
    ),
    _run(
        r"unload|s3 ?(service)?exception|s3://",
        "Redshift could not write to the S3 bucket",
        "Redshift puts the data for Mixpanel into the S3 bucket.",
        "Check that the role may write to the bucket and that bucket and cluster are "
        "in the same region.",
        "redshift",
    ),
    _run(
        r"geography|geometry|varbyte|hllsketch",
        "A column has a type that Mirror cannot read",
        "Mirror on Redshift does not take geography, geometry, varbyte and hllsketch.",
        "Import a table without these columns, or use Append.",
        "redshift",
    ),
    # PostgreSQL
    _run(
        r"passphrase|encrypted (private )?key|private key .{0,60}(encrypt|decod|pars)",
        "The SSH key cannot be read",
        "The key has a passphrase or is damaged.",
        "Enter a private key without a passphrase in the source.",
        "postgres",
    ),
    _run(
        r"certificate|x509|\bssl\b|\btls\b",
        "The TLS certificate was not accepted",
        "Mixpanel checks the server's certificate and always encrypts.",
        "Enter the CA certificates in the source. With verify-full the host name must "
        "be the one in the certificate. Serve TLS if the server does not.",
        "postgres",
    ),
    _run(
        r"ipv6|no route to host|network is unreachable",
        "Mixpanel has no way to the server",
        "Mixpanel connects over IPv4 only.",
        "Give the server an IPv4 address, or use an SSH bastion that has one.",
        "postgres",
    ),
    # All warehouses
    _run(
        r"authenticat|password|invalid.{0,20}(token|credential)|login|unauthorized"
        r"|\b401\b|jwt|token .{0,40}expired",
        "The warehouse did not accept the sign-in",
        "User, password, key or token is wrong, expired or locked.",
        "Enter new credentials in the source and sync again. Mirror dies if it stays "
        "without a run for too long.",
        "bigquery",
        "snowflake",
        "databricks",
        "redshift",
        "postgres",
    ),
    _run(
        r"(column|field|name) .{0,260}(not found|not exist|unrecognized|invalid)"
        r"|unrecognized name|invalid identifier|no such column|cannot resolve",
        "A column is missing",
        "A column that the import uses was dropped or renamed.",
        "Bring the column back, or create a new import with the new name. An import's "
        "columns cannot be changed.",
    ),
    _run(
        r"(table|relation|view|object|dataset|schema|catalog|database) .{0,260}"
        r"(not found|not exist|cannot be found)|not found: (table|dataset)"
        r"|no such table|table_or_view_not_found",
        "The table is missing",
        "The table was dropped, renamed or moved, or the sign-in may not see it.",
        "Check the name and the grants. Some warehouses answer “does not exist” when "
        "the permission is missing.",
    ),
    _run(
        r"permission|not authorized|insufficient privileg|access ?denied|forbidden"
        r"|not have .{0,60}privilege",
        "A permission is missing",
        "The warehouse refused to show the data to Mixpanel.",
        "Follow the setup checklist of the source: each grant can be copied there.",
    ),
    _run(
        r"time.?out|timed out|connection (refused|reset)|could not connect|unreachable"
        r"|no route|getaddrinfo|name or service not known|unknown host",
        "Mixpanel did not reach the warehouse",
        "The host is wrong or down, or a firewall keeps Mixpanel out.",
        "Check the host name, and allow the addresses in the source's setup checklist "
        "for the region of the project.",
    ),
)

NO_REASON = Explanation(
    "Failed without a reason",
    "Mixpanel's history says that the run failed, and never why.",
    "Open the import in Mixpanel (Data Management, Warehouse Connectors): its page "
    "shows the error. Write it down as a note on this run. If there is none, look "
    "into the query history of the warehouse at the time of the run.",
)

NO_REASON_CONNECTOR = Explanation(
    "Failed without a reason",
    "Mixpanel gave no error text for this run.",
    "Check first: the compression of the files, files of 2 GB or more, and the "
    "permissions on the bucket. Then create a copy of the connector.",
)

# Where each warehouse shows what Mixpanel asked it.
WAREHOUSE_LOGS = {
    "bigquery": "BigQuery: Project history, or INFORMATION_SCHEMA.JOBS.",
    "snowflake": "Snowflake: Monitoring, Query History, filtered by the user.",
    "databricks": "Databricks: the job run or the cluster's event log.",
    "redshift": "Redshift: SYS_QUERY_HISTORY, and the cluster's events.",
    "postgres": "PostgreSQL: the server's log.",
}

NOT_KNOWN = Explanation(
    "The run failed",
    "Mixpanel's words are not among those that are known here.",
    "Read the raw text. It is tried again at the next scheduled run, if there is one.",
)


def explain(
    kind: str,
    *,
    message: str = "",
    status: int | None = None,
    context: Mapping[str, Any] | None = None,
) -> Explanation:
    """Words for a failed call to Mixpanel.

    kind: the error's slug (`REMEDIES`); any other gets general words.
    message: Mixpanel's text, which may make the words more exact.
    context: optional "area" ("connectors": 403 and 404 may mean that Mixpanel closed
        the feature), "retry_after" (seconds), and "asked" (True: a person waits for
        the answer to a question; nothing is tried again by itself).
    """
    context = context or {}
    if found := _first(REQUEST_PATTERNS, message):
        return found
    if context.get("area") == "connectors" and (
        kind == "not_allowed" or (kind == "not_found" and not context.get("remote_id"))
    ):
        return CONNECTORS_CLOSED
    explanation = REMEDIES.get(kind, UNKNOWN_KIND)
    if context.get("asked"):
        explanation = REMEDIES_OF_QUESTIONS.get(kind, explanation)
    wait = context.get("retry_after")
    if kind == "rate_limited" and isinstance(wait, int | float) and wait > 0:
        meaning = f"{explanation.meaning} Mixpanel asks for {wait:,.0f} seconds."
        explanation = replace(explanation, meaning=meaning)
    if explanation is UNKNOWN_KIND and status:
        meaning = f"Mixpanel answered with status {status}. {explanation.meaning}"
        explanation = replace(explanation, meaning=meaning)
    return explanation


def explain_answer(error: MixpanelError) -> Explanation:
    """Words for a question to Mixpanel that failed while a person waited."""
    return explain(
        error.kind,
        message=error.message,
        status=error.status,
        context={"asked": True, "retry_after": error.retry_after},
    )


def explain_run_failure(
    message: str, *, warehouse_type: str = "", connector_type: str = ""
) -> Explanation:
    """Words for a run that failed. `message` is Mixpanel's text, "" when it gave none.

    Import history never has a text; then the words say where to look.
    """
    if not message.strip():
        if connector_type:
            return NO_REASON_CONNECTOR
        log = WAREHOUSE_LOGS.get(warehouse_type)
        if log:
            return replace(NO_REASON, remedy=f"{NO_REASON.remedy} {log}")
        return NO_REASON
    where = warehouse_type or connector_type
    return _first(RUN_PATTERNS, message, where) or NOT_KNOWN


def _first(
    patterns: tuple[Pattern, ...], message: str, where: str = ""
) -> Explanation | None:
    """The first explanation whose text is found. An endless message is cut."""
    message = message[:8192]
    for pattern in patterns:
        if pattern.where and where and where not in pattern.where:
            continue
        if pattern.where and not where:
            continue
        if pattern.text.search(message):
            return pattern.explanation
    return None

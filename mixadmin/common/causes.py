"""Every cause of trouble that mixadmin knows, as data: one table, read by everything
that explains an error (`remedies`) and by the catalogue of errors.

A code is for ever: tools and links hold it. The text of a message is never used to
decide what the program does, only to explain it to a person.
"""

import re
from dataclasses import dataclass

from mixadmin.dataprep.findings import RULES as RECORD_RULES
from mixadmin.dataprep.tables import RULES as TABLE_RULES

AREAS = {
    "credentials": "Credentials",
    "requests": "Requests to Mixpanel",
    "limits": "Rate limits",
    "warehouse": "All warehouses",
    "bigquery": "BigQuery",
    "snowflake": "Snowflake",
    "databricks": "Databricks",
    "redshift": "Redshift",
    "postgres": "PostgreSQL",
    "connectors": "Cloud connectors and buckets",
    "ingestion": "Ingestions and their files",
    "records": "Records",
    "lookups": "Lookup tables",
    "machinery": "mixadmin itself",
}

# How we know of it.
EVIDENCE = {
    "documented": "Documented by Mixpanel",
    "seen": "Seen in answers of Mixpanel or of a warehouse",
    "inferred": "Inferred from what is documented, and not seen yet",
    "ours": "A rule of mixadmin",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that goes wrong: what it is called, what it means, what to do.

    steps: in their order, each a whole sentence.
    fix: the places that mend it, as `places.PLACES` names them, the best first.
    text: what is found in messages about it, if they tell; `sample` is such a message.
    where: warehouse or connector types, or areas of requests, that `text` is limited
        to; empty for all.
    sign: how it shows where no message tells of it.
    mend: of `dataprep.mending`, that cures records with it.
    """

    code: str
    area: str
    title: str
    meaning: str
    steps: tuple[str, ...]
    evidence: str
    source: str
    fix: tuple[str, ...] = ()
    text: re.Pattern[str] | None = None
    sample: str = ""
    where: tuple[str, ...] = ()
    sign: str = ""
    mend: str = ""

    @property
    def remedy(self) -> str:
        """What to do, as one text."""
        return " ".join(self.steps)

    @property
    def evidence_words(self) -> str:
        return EVIDENCE[self.evidence]


GUIDE = "Mixpanel's guide to warehouse connectors"
IMPORT_DOCS = "Mixpanel's reference of the ingestion API"
CLOUD_DOCS = "Mixpanel's earlier documentation of Cloud Import"
ACCOUNT_DOCS = "Mixpanel's reference of service accounts"
LIMIT_DOCS = "Mixpanel's reference of rate limits"
TABLE_DOCS = "Mixpanel's reference of lookup tables"
OWN = "How mixadmin works"
ANSWERS = "Recorded answers"
SERVERS = "The warehouse's own error messages"


def _cause(
    code: str,
    area: str,
    title: str,
    meaning: str,
    *steps: str,
    evidence: str = "documented",
    source: str = GUIDE,
    fix: str = "",
    text: str = "",
    sample: str = "",
    where: str = "",
    sign: str = "",
    mend: str = "",
) -> Cause:
    return Cause(
        code=code,
        area=area,
        title=title,
        meaning=meaning,
        steps=steps,
        evidence=evidence,
        source=source,
        fix=tuple(fix.split()),
        text=re.compile(text, re.I | re.S) if text else None,
        sample=sample,
        where=tuple(where.split()),
        sign=sign,
        mend=mend,
    )


def _ours(
    code: str, area: str, title: str, meaning: str, *steps: str, **more: str
) -> Cause:
    return _cause(
        code, area, title, meaning, *steps, evidence="ours", source=OWN, **more
    )


def _by_code(*causes: Cause) -> dict[str, Cause]:
    return {cause.code: cause for cause in causes}


# What an error says of itself: `error_kind` of jobs, files, ingestions and polls.
KINDS = _by_code(
    # -- answers of Mixpanel
    _cause(
        "rate_limited",
        "limits",
        "Mixpanel asks to wait",
        "Too many calls for this project in a short time. Nothing was changed.",
        "Nothing to do: it is sent again by itself.",
        "If it keeps happening, look for other tools that use the same project. "
        "Mixpanel takes 2 GB of JSON a minute, or about 30 000 events a second.",
        source=LIMIT_DOCS,
        text=r"exceeded rate limits",
        sample="Project exceeded rate limits. Please retry the request with "
        "exponential backoff.",
    ),
    _cause(
        "server_failed",
        "requests",
        "Mixpanel had an error of its own",
        "Mixpanel's server failed. Whether it did the work is not known.",
        "Wait: it is looked up and, if nothing was done, sent again.",
        "If it lasts, see Mixpanel's status page and write to its support with the "
        "request id.",
        source=IMPORT_DOCS,
    ),
    _cause(
        "unreachable",
        "requests",
        "Mixpanel could not be reached",
        "No connection was made, so nothing was changed.",
        "Wait: it is tried again by itself.",
        "If it lasts, check network, DNS, proxy and firewall of the workers.",
        evidence="ours",
        source=OWN,
    ),
    _cause(
        "reply_lost",
        "requests",
        "Mixpanel's answer was lost",
        "The request was sent but the answer did not arrive. Whether Mixpanel did the "
        "work is not known.",
        "Wait: Mixpanel is asked what exists before anything is sent again.",
        "If you are asked to decide, compare the candidates with what you wanted.",
        evidence="ours",
        source=OWN,
        fix="job.open",
    ),
    _cause(
        "bad_request",
        "requests",
        "Mixpanel refused the values",
        "Mixpanel understood the request and did not accept it. Nothing was changed.",
        "Read Mixpanel's words.",
        "Correct the values and send it again.",
        source="Mixpanel's API references",
    ),
    _cause(
        "not_authenticated",
        "credentials",
        "Mixpanel does not know these credentials",
        "The service account's username or secret is wrong, or it expired or was "
        "deleted.",
        "Check the service account in Mixpanel's organization settings.",
        "Enter a new secret, or choose another service account.",
        "Verify the project.",
        source=ACCOUNT_DOCS,
        fix="account.secret project.edit",
        text=r"^invalid credentials",
        sample="Invalid credentials",
    ),
    _cause(
        "not_allowed",
        "credentials",
        "The service account may not do this",
        "Mixpanel knows the service account, but its role in this project is not "
        "enough, or the project does not have this feature.",
        "Give the service account the role Admin or Owner in the project.",
        "Verify the project and send it again.",
        source=ACCOUNT_DOCS,
        fix="project.open account.open",
    ),
    _cause(
        "not_found",
        "requests",
        "Mixpanel does not have it",
        "It was deleted in Mixpanel, or it is in another project or another region.",
        "Look at the project's inventory.",
        "If all of the project is missing, check its project id and region.",
        source="Mixpanel's API references",
        fix="project.open",
    ),
    _cause(
        "too_large",
        "ingestion",
        "Too large for Mixpanel",
        "The request was larger than Mixpanel accepts. Nothing was imported. "
        "Mixpanel's text names 2 MB where its documentation says 10 MB.",
        "Nothing to do for files that mixadmin sends: it sends less than 2 MB at a "
        "time and halves what is refused.",
        "From other tools, send smaller parts.",
        source=IMPORT_DOCS,
        text=r"exceeds max limit of \d+ bytes|request entity too large",
        sample="request exceeds max limit of 2097152 bytes",
    ),
    _cause(
        "redirected",
        "requests",
        "Sent to another address",
        "The answer pointed to another host. The secret was not sent there.",
        "Check the project's region and the settings MIXPANEL_APP_URL and "
        "MIXPANEL_INGESTION_URL.",
        "Look for a proxy with a sign-in page: it does this too.",
        evidence="seen",
        source=ANSWERS,
        fix="project.edit",
    ),
    _cause(
        "unexpected_response",
        "requests",
        "The answer made no sense",
        "Mixpanel answered with something else than its documentation says. Whether "
        "it did the work is not known.",
        "Look at the raw answer.",
        "If it is a page from a proxy, correct the network; otherwise write to "
        "Mixpanel's support with the request id.",
        evidence="ours",
        source=OWN,
    ),
    # -- jobs and the machinery
    _ours(
        "look_failed",
        "requests",
        "Mixpanel could not be asked what is there",
        "Before something is sent, Mixpanel is asked what it has. That failed, so nothing "
        "was sent and nothing was changed.",
        "Wait: it is tried again by itself.",
        "If it lasts, see Mixpanel's status page.",
    ),
    _ours(
        "refused",
        "machinery",
        "mixadmin did not send it",
        "Something has changed since it was asked for. Nothing was sent.",
        "Read why.",
        "Put it right, and try again.",
        fix="job.retry",
    ),
    _ours(
        "run_failed",
        "warehouse",
        "The run did not succeed",
        "Mixpanel accepted the request and started the run, which then failed.",
        "Look at the run: it tells what is known of the cause.",
        "Then try again.",
        fix="job.retry",
    ),
    _ours(
        "run_unseen",
        "warehouse",
        "The end of the run was not seen",
        "Mixpanel accepted the request, and nothing was heard of its end for a day.",
        "Look at the import in Mixpanel before you try again.",
        fix="job.retry",
    ),
    _ours(
        "worker_lost",
        "machinery",
        "The worker died",
        "The process that did this job went silent. Nothing more is sent before it is "
        "known what became of it.",
        "Wait.",
        "If it happens again, look at the worker's log and its memory.",
        fix="job.retry",
    ),
    _ours(
        "internal",
        "machinery",
        "A mistake in mixadmin",
        "Something happened that nobody foresaw. It is in the worker's log.",
        "Try again once.",
        "If it stays, report it with the lines of the log.",
        fix="job.retry",
    ),
    _ours(
        "cannot_decrypt",
        "credentials",
        "A stored secret cannot be opened",
        "No key of ENCRYPTION_KEYS opens it: the key was replaced or lost.",
        "Put the old key back behind the new one in ENCRYPTION_KEYS and restart.",
        "If the old key is lost, enter the secret anew.",
        fix="account.secret",
        text=r"cannot be opened with any key",
        sample="A stored secret cannot be opened with any key of ENCRYPTION_KEYS.",
    ),
    _cause(
        "connectors_closed",
        "connectors",
        "Cloud connectors are closed for this project",
        "Mixpanel has closed Cloud Import to new projects, or the service account is not "
        "Admin of the project.",
        "Check the service account's role.",
        "If it is Admin, use a warehouse import, or send the files through the ingestion "
        "API.",
        source=CLOUD_DOCS,
        fix="ingestion.create",
    ),
    # -- files on their way into Mixpanel
    _ours(
        "file_changed",
        "ingestion",
        "The file has changed",
        "It is no longer what it was when it was chosen. Nothing more is read from it, "
        "so that its old and its new content are not mixed.",
        "Let whatever writes it finish first, or give each new content a name of its "
        "own.",
        "Choose the file anew.",
        fix="ingestion.copy",
    ),
    _ours(
        "file_missing",
        "ingestion",
        "The file is not there",
        "It was moved, renamed or removed since it was chosen, or never was where the "
        "name says.",
        "Look what is there.",
        "Choose it anew or upload it again.",
        fix="ingestion.copy files.open",
    ),
    _ours(
        "file_not_permitted",
        "connectors",
        "The file may not be read",
        "It is there, but mixadmin lacks a permission or a valid credential for it.",
        "Read which permission is missing and give it, or set new credentials.",
        "Verify the bucket.",
        "Then try again.",
        fix="bucket.credentials buckets.open",
    ),
    _ours(
        "file_unreachable",
        "connectors",
        "The file could not be reached",
        "The bucket, or the way to it, did not answer in time. Nothing of the file was "
        "lost, and reading goes on where it was.",
        "Wait, or try again.",
        "If it lasts, check the network and the provider's status page.",
        fix="ingestion.retry job.retry",
    ),
    _ours(
        "file_unusable",
        "ingestion",
        "This cannot be read as a file",
        "The name leads to something else than a plain, complete file.",
        "Read why, and choose a plain file.",
        fix="ingestion.copy",
    ),
    _ours(
        "file.cut",
        "ingestion",
        "The file ends too early",
        "Its compressed data stops before its end, as after a broken copy. Everything "
        "before that place was read.",
        "Get the file again, and start anew with it. Events that were imported already "
        "are not counted twice.",
        fix="ingestion.create",
    ),
    _ours(
        "file.broken",
        "ingestion",
        "The file is damaged",
        "Its compressed data makes no sense from some place on. Everything before it was "
        "read.",
        "Get the file again, and start anew with it. Events that were imported already "
        "are not counted twice.",
        fix="ingestion.create",
    ),
    _ours(
        "file.bomb",
        "ingestion",
        "The file unpacks to far more than real data does",
        "Files like this are made to fill a server. It was not read to its end.",
        "If it is real data, send it unpacked or in smaller files.",
        fix="ingestion.create",
    ),
    _ours(
        "file.expands_too_much",
        "ingestion",
        "The file is too large when it is unpacked",
        "It unpacks to more than one file may have here.",
        "Split it into several files.",
        fix="ingestion.create",
    ),
    _ours(
        "file.too_short",
        "ingestion",
        "The file became shorter",
        "It ends before the place from which it should be read on, so it is not the file "
        "that was begun with.",
        "Let whatever writes it finish, and choose it anew.",
        fix="ingestion.copy",
    ),
    _ours(
        "disk_full",
        "machinery",
        "This server's disk is nearly full",
        "Nothing more is taken, so that what is under way can end.",
        "Remove files that are no longer needed.",
        "Or ask whoever runs this installation for room.",
        fix="files.open",
        text=r"disk is nearly full",
        sample="This server's disk is nearly full, so nothing more is taken.",
    ),
    # -- a whole ingestion
    _ours(
        "files_failed",
        "ingestion",
        "Some files could not be read",
        "The other files were sent. The list of files says what is wrong with each.",
        "Put those files right and try again: only they are read again.",
        fix="ingestion.files",
    ),
    _ours(
        "books",
        "ingestion",
        "The numbers do not agree",
        "While sending, another number of records was read than while checking: a file "
        "changed in between, or there is a mistake in mixadmin.",
        "Compare the files with what was imported.",
        "Sending them once more does no harm to events, which have their $insert_id.",
        fix="ingestion.files",
    ),
    _ours(
        "nothing_imported",
        "ingestion",
        "Nothing was imported",
        "Every record was refused, invalid or left out.",
        "Look at the rejected records: they say why, and which mend cures it.",
        fix="ingestion.rejected",
    ),
    _cause(
        "token_refused",
        "credentials",
        "Mixpanel refuses the project token",
        "The token is wrong, or of another project.",
        "Set the right token in the project's settings, then try again.",
        source=IMPORT_DOCS,
        fix="project.edit",
    ),
    _ours(
        "no_token",
        "credentials",
        "The project token is missing",
        "This is sent with the project token, and none is set.",
        "Copy it from Mixpanel's Project Settings into the project's settings here.",
        fix="project.edit",
    ),
)

# The same where a person asked and waits for the answer: nothing tries again by itself.
# {code: (meaning, steps)}
OF_QUESTIONS = {
    "rate_limited": (
        "Too many calls in a short time. Nothing was changed.",
        (
            "Try again in a minute.",
            "If it keeps happening, look for other tools that use the same project.",
        ),
    ),
    "server_failed": (
        "Mixpanel's server failed. It was only asked, so nothing was changed.",
        (
            "Try again.",
            "If it lasts, see Mixpanel's status page and write to its support with the "
            "request id.",
        ),
    ),
    "unreachable": (
        "No connection was made, so nothing was changed.",
        (
            "Try again.",
            "If it lasts, check network, DNS, proxy and firewall of this server.",
        ),
    ),
    "reply_lost": (
        "Mixpanel was asked, but its answer did not arrive. Nothing was changed.",
        ("Try again.",),
    ),
}

UNKNOWN = Cause(
    code="unknown",
    area="machinery",
    title="mixadmin does not know this one",
    meaning="It fits none of the causes that are known here.",
    steps=(
        "Read the raw text.",
        "If it does not help, ask whoever runs this installation.",
    ),
    evidence="ours",
    source=OWN,
    sign="A message that fits nothing in this catalogue is shown as it came.",
)

# Texts that Mixpanel answers requests with. The first that fits is taken.
REQUEST_TEXTS: tuple[Cause, ...] = (
    _cause(
        "project_unclear",
        "credentials",
        "Mixpanel could not tell the project",
        "Mixpanel says “invalid project secret” when a service account is used "
        "without a project id, as well as for a wrong secret.",
        "Check the project id and the service account of the project.",
        evidence="seen",
        source=ANSWERS,
        fix="project.edit",
        text=r"invalid project secret",
        sample="Unauthorized, invalid project secret",
    ),
    _cause(
        "wrong_region",
        "credentials",
        "Wrong region",
        "The project exists in another region than the one that is set here.",
        "Change the region of the project.",
        "Verify the project.",
        evidence="seen",
        source=ANSWERS,
        fix="project.edit",
        text=r"invalid project id for cluster",
        sample="invalid project id for cluster",
    ),
    _cause(
        "organization_not_allowed",
        "credentials",
        "The service account may not change the organization",
        "Writing to the organization needs a service account that is Admin or Owner of "
        "the organization. One that is only Admin of projects can read, and is refused "
        "when it writes.",
        "Give it the role Admin or Owner in Mixpanel's organization settings, or use a "
        "service account that has it.",
        "Try again.",
        evidence="seen",
        source=ANSWERS,
        fix="account.open",
        text=r"does not have permissions? to add one or more service accounts",
        sample="User does not have permissions to add one or more service accounts to "
        "one or more of the requested projects",
    ),
    _cause(
        "value_missing",
        "requests",
        "A value is missing",
        "Mixpanel needs a value that was not sent. Nothing was changed.",
        "Fill in the property that Mixpanel names and send it again.",
        source=CLOUD_DOCS,
        text=r"is missing from the payload|missing_required_property"
        r"|missing required param",
        sample="The property `gcs_bucket` is missing from the payload",
    ),
    _cause(
        "value_invalid",
        "requests",
        "A value is not valid",
        "Mixpanel does not take one of the values. Nothing was changed.",
        "Correct the property that Mixpanel names and send it again.",
        source=CLOUD_DOCS,
        text=r"invalid_property|property `?[\w.]+`? is not valid",
        sample="The property `s3_region` is not valid",
    ),
    _cause(
        "manual_runs",
        "limits",
        "Too many runs by hand",
        "Mixpanel starts an import by hand at most 5 times in an hour.",
        "Wait: it is started when the hour has passed.",
        fix="job.open",
        text=r"\bsync(s|ed)? .*\bper hour|manual.syncs?.*(limit|hour)"
        r"|runs by hand in an hour",
        sample="Manual sync limit exceeded, please try again later",
    ),
    _cause(
        "lookup.replacements",
        "limits",
        "Too many replacements of a lookup table",
        "Mixpanel takes 100 replacements in any 24 hours. The same content is not sent "
        "again.",
        "Wait: the meter on the lookup table's page says when the next one is free.",
        "Replace it less often. Once an hour is what Mixpanel recommends.",
        source=TABLE_DOCS,
        fix="lookup.open",
        text=r"replacements? .{0,60}(a day|24 h)",
        sample="All 100 of the replacements of this lookup table in 24 hours are used",
    ),
    _cause(
        "schemas.too_fast",
        "limits",
        "Too many changes of the data dictionary",
        "Mixpanel takes 5 requests a minute, 4 000 entities a minute and 3 000 "
        "deletions in one request.",
        "Wait a minute.",
        source=LIMIT_DOCS,
        text=r"(schemas?|entities|lexicon).{0,60}(per|a) minute",
        sample="Too many requests to schemas: 5 per minute",
    ),
    _cause(
        "lookup.not_found",
        "lookups",
        "Mixpanel does not have this lookup table",
        "It was deleted, or the id is of another project. Mixpanel answers 404 with a "
        "body that says 200.",
        "Look at the lookup tables of the project in Mixpanel.",
        "If it is gone, create it there: Mixpanel's public API cannot.",
        source=TABLE_DOCS,
        fix="lookups.open",
        text=r"lookup table with id .{0,80}not found",
        sample="Lookup table with id '6f9619ff' was not found.",
    ),
    _cause(
        "lookup.rows_refused",
        "lookups",
        "Mixpanel refused rows of the lookup table",
        "All or nothing: nothing was replaced. Mixpanel names at most 10 bad rows; the "
        "check here names every one.",
        "Look at the bad rows of the version.",
        "Correct them in their source and replace the table again.",
        source=TABLE_DOCS,
        fix="lookup.replace",
        text=r"failed validation",
        where="lookups",
        sample="Some data points in the request failed validation.",
    ),
    _cause(
        "records_refused",
        "ingestion",
        "Some records were refused",
        "Mixpanel stored the others. It answers 400 for this, which is no failure of "
        "the whole request, and must not be sent again as a whole.",
        "Look at the rejected records: each has its line and its reason.",
        "Correct them, or tick a mend, and send only these again.",
        source=IMPORT_DOCS,
        fix="ingestion.rejected",
        text=r"data points? .{0,60}failed validation",
        sample="some data points in the request failed validation",
    ),
    _cause(
        "records_missing",
        "ingestion",
        "Mixpanel found no records in the request",
        "The request was empty, or not written as Mixpanel reads it.",
        "From other tools, send a JSON list or one JSON object per line.",
        evidence="seen",
        source=ANSWERS,
        text=r"data,? missing or empty|unexpected end of json|malformed json",
        sample="data, missing or empty",
    ),
    _cause(
        "address_too_long",
        "ingestion",
        "The address is too long",
        "Some tool sends records inside the address (GET), which has a limit.",
        "Let it send with POST, as mixadmin does.",
        evidence="seen",
        source="Issues of Mixpanel's libraries",
        text=r"uri too (long|large)",
        sample="414 Request-URI Too Large",
    ),
    _ours(
        "ingestion.budget",
        "limits",
        "As much as Mixpanel takes is on its way",
        "All workers together send no more than Mixpanel takes from one project in a "
        "minute. The rest waits its turn.",
        "Nothing to do: it goes on within a minute.",
        "To leave room for other tools, lower INGEST_EVENTS_PER_MINUTE.",
        text=r"as many .{0,60} as mixpanel takes",
        sample="As many records a minute as Mixpanel takes were sent; it goes on then.",
    ),
    _ours(
        "breaker",
        "limits",
        "Calls pause after several failures",
        "Mixpanel failed several times in a row for this project. All calls for it are "
        "held back for a while, so that it is not made worse.",
        "Wait: it goes on by itself, one read first.",
        "If it lasts, see Mixpanel's status page.",
        text=r"failed several times in a row",
        sample="Mixpanel failed several times in a row; calls pause for a while.",
    ),
)

# Texts that runs fail with. The first that fits is taken, so the exact ones come first.
RUN_TEXTS: tuple[Cause, ...] = (
    # -- cloud connectors
    _cause(
        "connector.gzip_unannounced",
        "connectors",
        "The files are gzip, the connector says they are not",
        "The connector was created with compression none. Nothing was imported.",
        "Create a copy of the connector with compression gzip. A connector cannot be "
        "changed.",
        source=CLOUD_DOCS,
        fix="connector.copy",
        text=r"no compression specified but gzip detected",
        sample="No compression specified but Gzip detected. Please submit a new request "
        "with correct compression as param",
    ),
    _cause(
        "connector.not_gzip",
        "connectors",
        "The files are not gzip, the connector says they are",
        "The connector was created with compression gzip.",
        "Create a copy of the connector with compression none.",
        evidence="inferred",
        source=CLOUD_DOCS,
        fix="connector.copy",
        text=r"not in gzip format|invalid gzip|gzip: invalid header|incorrect header check",
        sample="gzip: invalid header",
        where="gcsImport s3Import",
    ),
    _cause(
        "connector.gcs_refused",
        "connectors",
        "Google does not let Mixpanel read the bucket",
        "Google Cloud Storage refused Mixpanel's service account.",
        "Give Mixpanel's service account Storage Object Viewer on the bucket.",
        "Create a copy of the connector.",
        source=CLOUD_DOCS,
        fix="connector.copy",
        text=r"invalid_permissions_gcs|permissions? to access gcs",
        sample="invalid_permissions_gcs",
    ),
    _cause(
        "connector.role_refused",
        "connectors",
        "Mixpanel may not use the AWS role",
        "AWS refused to let Mixpanel take the role.",
        "Let the role's trust policy name Mixpanel's AWS account.",
        "Let the role's permissions allow s3:ListBucket and s3:GetObject on the bucket.",
        "Create a copy of the connector.",
        source=CLOUD_DOCS,
        fix="connector.copy",
        text=r"assume.?role|sts:|not authorized to perform",
        sample="User is not authorized to perform: sts:AssumeRole",
        where="s3Import",
    ),
    _cause(
        "connector.bucket_refused",
        "connectors",
        "Mixpanel may not read the bucket",
        "The bucket refused Mixpanel.",
        "Check the permissions of Mixpanel's service account or role on the bucket.",
        "Create a copy of the connector.",
        source=CLOUD_DOCS,
        fix="connector.copy",
        text=r"invalid_permissions_s3|access ?denied|forbidden|\b403\b",
        sample="AccessDenied: Access Denied",
        where="gcsImport s3Import",
    ),
    _cause(
        "connector.no_bucket",
        "connectors",
        "There is no such bucket",
        "The bucket's name or region is wrong, or it was deleted.",
        "Check name and region.",
        "Create a new connector.",
        evidence="inferred",
        source="Error messages of S3 and Google Cloud Storage",
        fix="connector.copy",
        text=r"no ?such ?bucket|bucket .{0,260}(not|n't) (be )?(found|exist)",
        sample="The specified bucket does not exist: NoSuchBucket",
        where="gcsImport s3Import",
    ),
    _cause(
        "connector.no_files",
        "connectors",
        "No file under the prefix",
        "Nothing in the bucket starts with the prefix.",
        "Check the prefix: no slash at the start, upper and lower case differ.",
        "Create a new connector.",
        evidence="inferred",
        source=CLOUD_DOCS,
        fix="connector.copy",
        text=r"no (files|objects) (were )?(found|match)",
        sample="No files found under the prefix",
        where="gcsImport s3Import",
    ),
    _cause(
        "connector.file_too_large",
        "connectors",
        "A file is 2 GB or larger",
        "One file of 2 GB or more stops the whole import.",
        "Split the file into parts of 500 MB to 1 GB.",
        "Create a copy of the connector.",
        source=CLOUD_DOCS,
        fix="connector.copy",
        text=r"\b2 ?GB|2 gigabytes|file .{0,260}too (large|big)|(larger|bigger) than 2",
        sample="file a.json is 2 GB or larger",
        where="gcsImport s3Import",
    ),
    # -- Snowflake
    _cause(
        "snowflake.unload_forbidden",
        "snowflake",
        "Snowflake does not let Mixpanel unload data",
        "The account forbids unloading to a URL that is not a stage.",
        "Run: ALTER USER <user> SET PREVENT_UNLOAD_TO_INLINE_URL = FALSE;",
        "Run the import again.",
        fix="import.run source.checklist",
        text=r"cannot unload to an inlined external location",
        sample="Cannot unload to an inlined external location",
    ),
    _cause(
        "snowflake.stream_stale",
        "snowflake",
        "Mirror lost track of the changes",
        "The stream is older than Snowflake keeps changes, the table was recreated, or "
        "change tracking is off.",
        "Run: ALTER TABLE <table> SET CHANGE_TRACKING = TRUE;",
        "Delete the import and create it again.",
        "From then on, run it at least every 14 days.",
        fix="import.delete",
        text=r"stream .{0,260}stale|stale stream|change.tracking",
        sample="Stream MIXPANEL.S1 is stale",
        where="snowflake",
    ),
    _cause(
        "snowflake.warehouse",
        "snowflake",
        "The Snowflake warehouse cannot be used",
        "It does not exist, is suspended, or the role may not use it.",
        "Run: GRANT USAGE, MONITOR ON WAREHOUSE <warehouse> TO ROLE <role>;",
        "Check that it resumes by itself.",
        fix="source.edit source.checklist",
        text=r"no active warehouse|warehouse .{0,260}(not exist|suspended|cannot resume)",
        sample="No active warehouse selected in the current session",
        where="snowflake",
    ),
    _cause(
        "snowflake.integration",
        "snowflake",
        "The storage integration cannot be used",
        "It does not exist, is disabled, or the role may not use it.",
        "Run: GRANT USAGE ON INTEGRATION <integration> TO ROLE <role>;",
        fix="source.edit source.checklist",
        text=r"integration .{0,260}(not exist|not authorized|disabled)",
        sample="Integration 'MIXPANEL' does not exist or not authorized",
        where="snowflake",
    ),
    # -- Databricks
    _cause(
        "databricks.any_file",
        "databricks",
        "The principal may not use files",
        "Mixpanel writes the export as files, and needs SELECT and MODIFY on ANY FILE.",
        "Run: GRANT SELECT ON ANY FILE TO `<principal>`;",
        "Run: GRANT MODIFY ON ANY FILE TO `<principal>`;",
        fix="import.run source.checklist",
        text=r"any file",
        sample="User does not have SELECT on any file",
        where="databricks",
    ),
    _cause(
        "databricks.change_feed",
        "databricks",
        "The Change Data Feed is off or too old",
        "Mirror reads the Change Data Feed. It is off, or its log was removed.",
        "Run: ALTER TABLE <table> SET TBLPROPERTIES (delta.enableChangeDataFeed = "
        "true);",
        "Delete the import and create it again.",
        fix="import.delete",
        text=r"change data (feed|capture)|enableChangeDataFeed|DELTA_(MISSING_)?CHANGE_DATA",
        sample="Change data feed is not enabled",
        where="databricks",
    ),
    _cause(
        "databricks.sql_warehouse",
        "databricks",
        "SQL warehouses do not work",
        "The HTTP path is that of a SQL warehouse.",
        "Give the HTTP path of an All-Purpose cluster, or use Jobs compute.",
        fix="source.edit",
        text=r"sql warehouse|/sql/1\.0/(warehouses|endpoints)",
        sample="/sql/1.0/warehouses/abc is not supported",
        where="databricks",
    ),
    _cause(
        "databricks.cluster",
        "databricks",
        "The cluster cannot be used",
        "The principal may not attach to the cluster or restart it, or the cluster "
        "belongs to another user.",
        "Give the principal CAN ATTACH TO, and CAN RESTART if the cluster stops by "
        "itself.",
        "Share the cluster, unless the principal made it.",
        fix="source.checklist",
        text=r"attach|cluster .{0,260}(not shared|single.user|terminated|permission)",
        sample="Principal has no permission to attach to cluster 1",
        where="databricks",
    ),
    _cause(
        "databricks.no_machines",
        "databricks",
        "The cluster could not start",
        "The cloud has no machines of this type left for the account, or does not "
        "know the type.",
        "Change node type or number of workers in the Databricks config, or raise the "
        "quota.",
        evidence="inferred",
        source=SERVERS,
        fix="import.databricks",
        text=r"quota|insufficient.{0,40}capacity|stockout|node type .{0,260}not",
        sample="Insufficient instance capacity",
        where="databricks",
    ),
    # -- BigQuery
    _cause(
        "bigquery.perimeter",
        "bigquery",
        "A VPC Service Control keeps Mixpanel out",
        "The project is inside a perimeter without a rule for Mixpanel.",
        "Add an ingress rule for Mixpanel's projects 745258754925 (US), 848893383328 "
        "(EU), 1054291822741 (IN), and if needed egress to 435324298685. Address lists "
        "do not work with BigQuery.",
        fix="source.checklist",
        text=r"vpc service controls|vpcServiceControls|organization'?s policy",
        sample="Request violates VPC Service Controls",
        where="bigquery",
    ),
    _cause(
        "bigquery.job_user",
        "bigquery",
        "Mixpanel may not run queries",
        "The service account lacks BigQuery Job User in the project.",
        "Grant roles/bigquery.jobUser on the GCP project to the service account.",
        fix="source.checklist",
        text=r"bigquery\.jobs\.create|jobUser",
        sample="User does not have bigquery.jobs.create permission in project acme",
        where="bigquery",
    ),
    _cause(
        "bigquery.mirror_dataset",
        "bigquery",
        "Mirror's dataset cannot be used",
        "Mirror keeps snapshots in a dataset named mixpanel. It is missing, in another "
        "location, not writable, or the snapshot expired after 21 days without a run.",
        "Make the dataset mixpanel in the location of the data with dataOwner for "
        "Mixpanel's service account.",
        "After an expired snapshot delete the import and create it again.",
        fix="source.checklist",
        text=r"snapshot|dataset `?[\w.:-]*\bmixpanel\b(?![-@])|dataOwner",
        sample="Dataset acme:mixpanel was not found",
        where="bigquery",
    ),
    _cause(
        "bigquery.location",
        "bigquery",
        "The data is in another location",
        "BigQuery cannot read across locations. Mirror's dataset must be where the "
        "data is.",
        "Make the dataset in the location of the data.",
        fix="source.checklist",
        text=r"different locations?|same location|across locations",
        sample="Source and destination datasets are in different locations",
        where="bigquery",
    ),
    _cause(
        "bigquery.too_long",
        "bigquery",
        "The query took too long",
        "Mixpanel stops a BigQuery query after 20 hours.",
        "Partition or cluster the table by the insert time column, or import through "
        "a smaller view.",
        fix="import.create",
        text=r"20.?h(ours?)?\b|timed? ?out|deadline exceeded|exceeded .{0,60}time",
        sample="Query exceeded the limit of 20 hours",
        where="bigquery",
    ),
    # -- Redshift
    _cause(
        "redshift.grant",
        "redshift",
        "The role may not read the table",
        "In Redshift a grant on all tables covers only the tables that existed then.",
        'Run: GRANT USAGE ON SCHEMA <schema> TO "IAMR:<role>"; GRANT SELECT ON '
        '<schema>.<table> TO "IAMR:<role>";',
        "Do it again for each new table.",
        fix="import.run source.checklist",
        text=r"permission denied for (relation|schema|table)",
        sample="permission denied for relation users",
        where="redshift",
    ),
    _cause(
        "redshift.bucket",
        "redshift",
        "Redshift could not write to the S3 bucket",
        "Redshift puts the data for Mixpanel into the S3 bucket.",
        "Check that the role may write to the bucket.",
        "Check that bucket and cluster are in the same region.",
        fix="source.edit source.checklist",
        text=r"unload|s3 ?(service)?exception|s3://",
        sample="S3ServiceException: Access Denied",
        where="redshift",
    ),
    _cause(
        "redshift.column_type",
        "redshift",
        "A column has a type that Mirror cannot read",
        "Mirror on Redshift does not take geography, geometry, varbyte and hllsketch.",
        "Import a table without these columns, or use Append.",
        fix="import.create",
        text=r"geography|geometry|varbyte|hllsketch",
        sample="column shape has unsupported type geometry",
        where="redshift",
    ),
    # -- PostgreSQL
    _cause(
        "postgres.ssh_key",
        "postgres",
        "The SSH key cannot be read",
        "The key has a passphrase or is damaged.",
        "Enter a private key without a passphrase in the warehouse source.",
        fix="source.edit",
        text=r"passphrase|encrypted (private )?key"
        r"|private key .{0,60}(encrypt|decod|pars)",
        sample="ssh: this private key is passphrase protected",
        where="postgres",
    ),
    _cause(
        "postgres.tls",
        "postgres",
        "The TLS certificate was not accepted",
        "Mixpanel checks the server's certificate and always encrypts.",
        "Enter the CA certificates in the warehouse source.",
        "With verify-full the host name must be the one in the certificate.",
        "Serve TLS if the server does not.",
        fix="source.edit",
        text=r"certificate|x509|\bssl\b|\btls\b",
        sample="x509: certificate signed by unknown authority",
        where="postgres",
    ),
    _cause(
        "postgres.ipv4_only",
        "postgres",
        "Mixpanel has no way to the server",
        "Mixpanel connects over IPv4 only.",
        "Give the server an IPv4 address, or use an SSH bastion that has one.",
        fix="source.edit",
        text=r"ipv6|no route to host|network is unreachable",
        sample="dial tcp [2001:db8::1]:5432: network is unreachable",
        where="postgres",
    ),
    # -- all warehouses
    _cause(
        "warehouse.sign_in",
        "warehouse",
        "The warehouse did not accept the sign-in",
        "User, password, key or token is wrong, expired or locked.",
        "Enter new credentials in the warehouse source and run the import again.",
        "Do it soon: Mirror dies if it stays without a run for too long.",
        evidence="inferred",
        source=SERVERS,
        fix="source.edit",
        text=r"authenticat|password|invalid.{0,20}(token|credential)|login|unauthorized"
        r"|\b401\b|jwt|token .{0,40}expired",
        sample="password authentication failed for user mixpanel",
        where="bigquery snowflake databricks redshift postgres",
    ),
    _cause(
        "warehouse.column_missing",
        "warehouse",
        "A column is missing",
        "A column that the import uses was dropped or renamed.",
        "Bring the column back, or create a new import with the new name. An import's "
        "columns cannot be changed.",
        evidence="inferred",
        source=SERVERS,
        fix="import.create",
        text=r"(column|field|name) .{0,260}(not found|not exist|unrecognized|invalid)"
        r"|unrecognized name|invalid identifier|no such column|cannot resolve",
        sample="Unrecognized name: insert_time at [1:8]",
    ),
    _cause(
        "warehouse.table_missing",
        "warehouse",
        "The table is missing",
        "The table was dropped, renamed or moved, or the sign-in may not see it.",
        "Check the name and the grants. Some warehouses answer “does not exist” when "
        "the permission is missing.",
        evidence="inferred",
        source=SERVERS,
        fix="source.checklist",
        text=r"(table|relation|view|object|dataset|schema|catalog|database) .{0,260}"
        r"(not found|not exist|cannot be found)|not found: (table|dataset)"
        r"|no such table|table_or_view_not_found",
        sample="Not found: Table acme:a.b was not found in location EU",
    ),
    _cause(
        "warehouse.permission",
        "warehouse",
        "A permission is missing",
        "The warehouse refused to show the data to Mixpanel.",
        "Follow the setup checklist of the warehouse source: each grant can be copied "
        "there.",
        evidence="inferred",
        source=SERVERS,
        fix="source.checklist",
        text=r"permission|not authorized|insufficient privileg|access ?denied|forbidden"
        r"|not have .{0,60}privilege",
        sample="Insufficient privileges to operate on table ORDERS",
    ),
    _cause(
        "warehouse.unreachable",
        "warehouse",
        "Mixpanel did not reach the warehouse",
        "The host is wrong or down, or a firewall keeps Mixpanel out.",
        "Check the host name.",
        "Let the firewall allow the addresses in the source's setup checklist for the "
        "region of the project.",
        fix="source.edit source.checklist",
        text=r"time.?out|timed out|connection (refused|reset)|could not connect|unreachable"
        r"|no route|getaddrinfo|name or service not known|unknown host",
        sample="dial tcp: connection refused",
    ),
)

# Runs that failed and say nothing.
NO_REASON = _cause(
    "run.no_reason",
    "warehouse",
    "Failed without a reason",
    "Mixpanel's history says that the run failed, and never why.",
    "Open the import in Mixpanel (Data Management, Warehouse Connectors): its page "
    "shows the error.",
    "If there is none, look into the query history of the warehouse at the time of the "
    "run.",
    fix="source.checklist",
    source="Mixpanel's reference of warehouse connectors",
    sign="A run of a warehouse import is failed.",
)
NO_REASON_CONNECTOR = _cause(
    "connector.no_reason",
    "connectors",
    "Failed without a reason",
    "Mixpanel gave no error text for this run.",
    "Check first: the compression of the files, files of 2 GB or more, and the "
    "permissions on the bucket.",
    "Then create a copy of the connector.",
    evidence="inferred",
    source=CLOUD_DOCS,
    fix="connector.copy",
    sign="A run of a cloud connector is failed and has no text.",
)

# Where each warehouse shows what Mixpanel asked it.
WAREHOUSE_LOGS = {
    "bigquery": "BigQuery: Project history, or INFORMATION_SCHEMA.JOBS.",
    "snowflake": "Snowflake: Monitoring, Query History, filtered by the user.",
    "databricks": "Databricks: the job run or the cluster's event log.",
    "redshift": "Redshift: SYS_QUERY_HISTORY, and the cluster's events.",
    "postgres": "PostgreSQL: the server's log.",
}

# What no message tells of: seen by other signs, some of them by mixadmin.
SIGNS = _by_code(
    _cause(
        "account_expired",
        "credentials",
        "The service account has expired",
        "From that moment Mixpanel refuses every call with it, so all that uses it stops "
        "at once. Its record stays.",
        "Create a new service account in Mixpanel: there is no way to renew one.",
        "Choose it in each project that used the old one.",
        source=ACCOUNT_DOCS,
        fix="accounts.open",
        sign="The service account's date of expiry is past, or near.",
    ),
    _cause(
        "project_secret_retired",
        "credentials",
        "The project secret ends on 2027-03-03",
        "Mixpanel takes no project secrets (“API secrets”) from then on. mixadmin uses "
        "service accounts and project tokens only.",
        "Let other tools use a service account or the project token.",
        source="Mixpanel's reference of project secrets",
        sign="Another tool signs in with the project secret.",
    ),
    _cause(
        "missing",
        "requests",
        "Gone from Mixpanel",
        "Mixpanel no longer lists what is managed here: it was deleted elsewhere.",
        "If that was meant, remove it from these pages.",
        "Otherwise create it again.",
        evidence="ours",
        source=OWN,
        fix="project.open",
        sign="The state is “Gone from Mixpanel”.",
    ),
    _cause(
        "mirror.expired",
        "warehouse",
        "Mirror stays without a run for too long",
        "Mirror needs a run at least every 14 days. Without one its snapshot, stream or "
        "change log goes (BigQuery 21 days, Snowflake 14, Databricks 30 by default), and "
        "it never recovers.",
        "Run it before the countdown ends.",
        "If it is over, delete the import and create it again.",
        fix="import.run",
        sign="The countdown of a Mirror import is shown.",
    ),
    _cause(
        "paused_elsewhere",
        "warehouse",
        "Paused while nobody here asked for it",
        "Somebody paused it in Mixpanel, or Mixpanel's monitoring did because of the "
        "volume, for up to 14 days. mixadmin never resumes it by itself.",
        "Find out why, in Mixpanel.",
        "Then resume it.",
        source="Mixpanel's guide to warehouse sync monitoring",
        fix="import.resume",
        sign="The import is paused elsewhere.",
    ),
    _cause(
        "databricks.config_differs",
        "databricks",
        "The Databricks config at Mixpanel is another one",
        "A change of the config replaces all of it, also what somebody else has set in "
        "Mixpanel meanwhile.",
        "Compare the two on the page of the config.",
        "Send the one that is meant.",
        source="Mixpanel's reference of warehouse connectors",
        fix="import.databricks",
        sign="The import's page shows what differs.",
    ),
    _cause(
        "warehouse.table_recreated",
        "warehouse",
        "The table was dropped and created again",
        "dbt's materialization “table” does this. Mirror then reads every row as deleted "
        "and inserted, and all of them are billed; on Snowflake and Databricks it breaks.",
        "Let dbt write incrementally.",
        "Compare the events of each run with those before.",
        fix="import.pause",
        sign="A run of a Mirror import brings about as many rows as the table has.",
    ),
    _cause(
        "warehouse.columns_changed",
        "warehouse",
        "Columns were added, dropped or renamed",
        "Mirror compares rows as a whole. A column that is dropped, renamed or filled "
        "changes every row, and every row is sent and billed again. On Snowflake old "
        "rows do not follow.",
        "Add columns with the default NULL.",
        "Pause the import before other changes, and decide whether to create it anew.",
        fix="import.pause",
        sign="A run of a Mirror import brings far more events than usual.",
    ),
    _cause(
        "append.late_rows",
        "warehouse",
        "Append misses rows that come late",
        "Append reads rows whose insert time is later than the latest it has seen. "
        "Others are never read, and an import cannot be filled up later.",
        "Let the insert time be the time of writing.",
        "For what is missing create an import of the mode One-Time over a view of it.",
        fix="import.create",
        sign="Rows with an older insert time are not in Mixpanel.",
    ),
    _cause(
        "full.keeps_properties",
        "warehouse",
        "Full never removes properties",
        "What is no longer in the table stays in the profiles.",
        "Send $unset for these properties as an ingestion of profiles.",
        fix="ingestion.create",
        sign="Profiles keep properties that the table has not.",
    ),
    _cause(
        "mirror.equal_rows",
        "warehouse",
        "Equal rows become one",
        "With BigQuery and Redshift, Mirror takes rows that are equal in every column "
        "for one.",
        "Add a column with a unique row id, and create the import again.",
        fix="import.create",
        sign="Mixpanel has fewer events than the table has rows.",
    ),
    _cause(
        "import.deleted_data",
        "warehouse",
        "Deleting keeps profiles, and loses events for good",
        "With its data, Mixpanel deletes the events that an import brought; after a few "
        "days that cannot be undone. Profiles stay.",
        "Send $delete for the profiles as an ingestion, if they should go.",
        evidence="inferred",
        source=GUIDE,
        fix="ingestion.create",
        sign="An import was deleted.",
    ),
    _cause(
        "source.settings_unknown",
        "warehouse",
        "Mixpanel does not tell the settings of a warehouse source",
        "They go in and never come out. mixadmin shows what was entered here; of an "
        "adopted source it knows nothing.",
        "Enter the settings anew where they matter.",
        evidence="seen",
        source="Mixpanel's Terraform provider",
        fix="source.edit",
        sign="The connection of an adopted warehouse source is empty.",
    ),
    _cause(
        "connector.paused",
        "connectors",
        "Mixpanel paused the connector",
        "Mixpanel says why in its own words.",
        "Read them: what they mean is told there if it is known.",
        "Create a copy of the connector when it is mended. A connector cannot be "
        "changed or started again.",
        source=CLOUD_DOCS,
        fix="connector.copy",
        sign="The connector's status is paused, with a failure message.",
    ),
    _cause(
        "connector.dropped",
        "connectors",
        "The run succeeded and dropped events",
        "Mixpanel did not store them, and does not say which. Most often they have no "
        "time, or a time in milliseconds.",
        "Check one of the files here: every line is judged by the same rules.",
        "Correct the files and create a copy of the connector. Events with their "
        "$insert_id are not counted twice.",
        source=CLOUD_DOCS,
        fix="connector.copy",
        sign="A run ended as Succeeded with errors.",
    ),
    _cause(
        "connector.cannot_change",
        "connectors",
        "A connector cannot be changed or run again",
        "Mixpanel has neither. One connector is one run over what is there.",
        "Create a copy of the connector with other values.",
        source=CLOUD_DOCS,
        fix="connector.copy",
        sign="A change of a connector is asked for.",
    ),
    _cause(
        "run.state_unknown",
        "warehouse",
        "Mixpanel used a word that is not known",
        "Mixpanel has several words for each state. One that is not known is shown as "
        "it came, and is never taken for success.",
        "Look at the run in Mixpanel.",
        evidence="seen",
        source=CLOUD_DOCS,
        sign="The state of a run is Unknown.",
    ),
    _cause(
        "data_missing",
        "ingestion",
        "Accepted, but it never shows up",
        "Some of Mixpanel's addresses accept data for project tokens that do not exist, "
        "and data that is sent to the wrong region.",
        "Verify the project: it proves region and project.",
        "Compare the project token with Mixpanel's Project Settings.",
        "Send one event and look for it in Mixpanel's Events page.",
        evidence="seen",
        source=ANSWERS,
        fix="project.edit",
        sign="Everything was imported, and Mixpanel shows nothing.",
    ),
    _cause(
        "track.too_old",
        "ingestion",
        "Too old for /track",
        "/track takes events of the last 5 days, and drops older ones without a word.",
        "Send them as an ingestion, which uses /import.",
        source="Mixpanel's reference of /track",
        fix="ingestion.create",
        sign="Events that a tool sent by /track are missing.",
    ),
    _cause(
        "refused_silently",
        "ingestion",
        "Refused without a reason",
        "The answer is 0 and nothing else. mixadmin asks for reasons (verbose=1); not "
        "every tool does.",
        "Send one of the records here as a live event, and read the answer.",
        evidence="seen",
        source="Issues of Mixpanel's libraries",
        fix="ingestion.live",
        sign="A tool gets the answer 0.",
    ),
    _cause(
        "geography_overwritten",
        "ingestion",
        "All users are where the server is",
        "Mixpanel finds the place by the address of who sends, unless told not to.",
        "Give events the address of the user as “ip”, or ip = 0. mixadmin sends ip = 0 "
        "for profiles.",
        source=IMPORT_DOCS,
        sign="City and region of users are those of a data centre.",
    ),
    _cause(
        "group_key_missing",
        "ingestion",
        "The group key does not exist yet",
        "Group profiles and events are linked by a group key that is made in Mixpanel's "
        "project settings. What came before is not linked later.",
        "Create the group key in Mixpanel, then send.",
        source="Mixpanel's documentation of group analytics",
        sign="Groups have no events.",
    ),
    _cause(
        "reimport_swallowed",
        "ingestion",
        "Sent again after a deletion, and not there",
        "Mixpanel still knows the $insert_id of deleted events and takes the new ones "
        "for doubles.",
        "Send them with other $insert_ids.",
        source="Mixpanel's documentation of data clean-up",
        fix="ingestion.create",
        sign="Events that were deleted do not come back.",
    ),
    _cause(
        "sample_function",
        "ingestion",
        "Loaded by Mixpanel's sample function",
        "The sample functions for buckets of Google and Amazon set the time of every "
        "event to now, and leave a file at the first refused batch.",
        "Send the bucket's files as an ingestion.",
        evidence="inferred",
        source="Mixpanel's samples for Google Cloud Storage and Amazon S3",
        fix="ingestion.create",
        sign="All events are of the day on which they were loaded.",
    ),
    _cause(
        "id_rounded",
        "lookups",
        "An id lost its last digits",
        "Ids of lookup tables have up to 19 digits. JavaScript and spreadsheets round "
        "them.",
        "Carry ids as text. mixadmin does.",
        evidence="seen",
        source="Issues of Mixpanel's tools",
        sign="A lookup table is not found by an id that was copied.",
    ),
    _cause(
        "schemas.truncated",
        "requests",
        "The data dictionary was emptied",
        "An upload of schemas with truncate deletes all of them before it writes.",
        "Keep a copy before you write: mixadmin itself writes no schemas.",
        source="Mixpanel's reference of Lexicon schemas",
        sign="Descriptions in Lexicon are gone after an upload.",
    ),
    _cause(
        "scheduler_silent",
        "machinery",
        "The scheduler is silent",
        "Nothing is polled or tried again until it runs.",
        "Start it.",
        evidence="ours",
        source=OWN,
        sign="Home says that the scheduler was not heard of for two minutes.",
    ),
    _cause(
        "database_away",
        "machinery",
        "The database is busy or away",
        "Pages answer 503 and nothing is lost; work goes on when it is back.",
        "Wait a minute.",
        "If it lasts, look whether the database runs and has room.",
        evidence="ours",
        source=OWN,
        sign="Pages say that mixadmin is away for a moment.",
    ),
)


# What Mixpanel says about single records: {rule of our own checks: (text, a sample)}.
RECORD_TEXTS = {
    "event.time.not_a_number": (
        r"seconds since epoch",
        "'properties.time' is invalid: must be specified as seconds since epoch",
    ),
    "event.time.future": (
        r"time'? is invalid: must not be in the future",
        "'properties.time' is invalid: must not be in the future",
    ),
    "event.time.missing": (
        r"time'? is invalid: must not be missing",
        "'properties.time' is invalid: must not be missing",
    ),
    "distinct_id.missing": (
        r"properties\.distinct_id'? is invalid: must not be missing",
        "'properties.distinct_id' is invalid: must not be missing",
    ),
    "insert_id.charset": (
        r"insert_id'? is invalid: must only contain alphanumeric",
        "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-' "
        "characters",
    ),
    "event.name.missing": (
        r"'event' must not be missing",
        "'event' must not be missing or blank",
    ),
    "record.not_utf8": (
        r"should be valid utf-?8",
        "properties.utm_source is invalid: string should be valid utf8",
    ),
    "event.identity_verb": (
        r"identity events are not allowed",
        "identity events are not allowed when project is using simplified identity "
        "management",
    ),
}
# The same about rows of lookup tables.
TABLE_TEXTS = {
    "key.blank": (
        r"primary key is required",
        "primary key is required and cannot be blank",
    ),
    "row.field_count": (
        r"wrong number of fields",
        "invalid row: wrong number of fields",
    ),
    "key.repeated": (
        r"the same primary key",
        "invalid row: row indexes 1 and 2 have the same primary key",
    ),
}
REFUSED_RECORD = _cause(
    "record.refused",
    "records",
    "Refused by Mixpanel",
    "The record passed our own checks and Mixpanel did not take it.",
    "Read Mixpanel's words.",
    "Correct the records in their source, and send these again.",
    source=IMPORT_DOCS,
    fix="ingestion.rejected",
    sign="The group of rejected records has a text of Mixpanel that is not known.",
)


def _of_records() -> dict[str, Cause]:
    """What is judged of records, here and by Mixpanel; the file's own are above."""
    return {
        code: _cause(
            code,
            "records",
            rule.title,
            rule.meaning,
            rule.remedy,
            mend=rule.mend,
            source=f"{IMPORT_DOCS}, where the meaning says nothing else",
            fix="ingestion.rejected",
            text=RECORD_TEXTS.get(code, ("", ""))[0],
            sample=RECORD_TEXTS.get(code, ("", ""))[1],
            sign="The check of a file, or its rejected records, name it.",
        )
        for code, rule in RECORD_RULES.items()
        if code not in KINDS
    }


def _of_tables() -> dict[str, Cause]:
    """What is judged of the CSV of a lookup table, here and by Mixpanel."""
    return {
        f"lookup.{code}": _cause(
            f"lookup.{code}",
            "lookups",
            rule.title,
            rule.meaning,
            rule.remedy,
            source=f"{TABLE_DOCS}, where the meaning says nothing else",
            fix="lookup.replace",
            text=TABLE_TEXTS.get(code, ("", ""))[0],
            sample=TABLE_TEXTS.get(code, ("", ""))[1],
            sign="The check of a version names it.",
        )
        for code, rule in TABLE_RULES.items()
    }


RECORDS = {**_of_records(), REFUSED_RECORD.code: REFUSED_RECORD}
TABLES = _of_tables()

# Everything, by code.
CAUSES: dict[str, Cause] = {
    **KINDS,
    **_by_code(*REQUEST_TEXTS, *RUN_TEXTS, NO_REASON, NO_REASON_CONNECTOR, UNKNOWN),
    **SIGNS,
    **RECORDS,
    **TABLES,
}

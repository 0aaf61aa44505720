"""Every page that a person can open, and how to come to it in the demo.

A new URL is named here, as a page or as none, or `test_every_address_is_known` fails.
"""

import re
import time

from django.urls import URLResolver, get_resolver

from mixadmin.common.causes import CAUSES
from tests.browser.installation import until

# The name of a URL, and after " / " which of its faces: the address, with the ids of
# `things`. A page that people see in several states is walked in each.
PAGES = {
    "dashboard:home": "/",
    "dashboard:styleguide": "/styleguide/",
    "accounts:tokens": "/accounts/tokens/",
    "dashboard:find": "/find/?q=shop",
    "accounts:preferences": "/accounts/preferences/",
    "projects:list": "/projects/",
    "projects:list / nothing fits": "/projects/?q=no-such-thing",
    "projects:create": "/projects/create/",
    "projects:discover": "/projects/discover/",
    "projects:discover / found": "/projects/discover/?account={account}",
    "projects:detail": "/projects/{shop}/",
    "projects:detail / connectors closed": "/projects/{india}/",
    "projects:edit": "/projects/{shop}/edit/",
    "projects:timeline": "/projects/{shop}/timeline/",
    "projects:forget": "/projects/{shop}/forget/",
    "projects:members": "/projects/{shop}/members/",
    "service_accounts:list": "/service-accounts/",
    "service_accounts:create": "/service-accounts/create/",
    "service_accounts:detail": "/service-accounts/{account}/",
    "service_accounts:edit": "/service-accounts/{account}/edit/",
    "service_accounts:timeline": "/service-accounts/{account}/timeline/",
    "service_accounts:secret": "/service-accounts/{account}/secret/",
    "service_accounts:forget": "/service-accounts/{account}/forget/",
    "service_accounts:organization": "/service-accounts/{account}/organization/",
    "service_accounts:organization_create": (
        "/service-accounts/{account}/organization/create/"
    ),
    "service_accounts:organization_membership": (
        "/service-accounts/{account}/organization/{member}/membership/"
    ),
    "service_accounts:organization_delete": (
        "/service-accounts/{account}/organization/{member}/delete/"
    ),
    "warehouse:source_list": "/projects/{shop}/sources/",
    "warehouse:source_create": "/projects/{shop}/sources/new/",
    "warehouse:source_create / type": "/projects/{shop}/sources/new/?type=databricks",
    "warehouse:source_detail": "/projects/{shop}/sources/{source}/",
    "warehouse:source_edit": "/projects/{shop}/sources/{source}/edit/",
    "warehouse:source_timeline": "/projects/{shop}/sources/{source}/timeline/",
    "warehouse:source_configuration": (
        "/projects/{shop}/sources/{source}/configuration/"
    ),
    "warehouse:source_delete": "/projects/{shop}/sources/{source}/delete/",
    "warehouse:import_list": "/projects/{shop}/imports/",
    "warehouse:import_list / none yet": "/projects/{india}/imports/",
    "warehouse:import_create": "/projects/{shop}/imports/new/",
    "warehouse:import_create / events": (
        "/projects/{shop}/imports/new/?kind=event_stream&source={source}"
    ),
    "warehouse:import_create / people": (
        "/projects/{shop}/imports/new/?kind=people&source={source}"
    ),
    "warehouse:import_create / groups": (
        "/projects/{shop}/imports/new/?kind=groups&source={source}"
    ),
    "warehouse:import_create / lookup table": (
        "/projects/{shop}/imports/new/?kind=lookup_table&source={source}"
    ),
    "warehouse:import_create / cluster": (
        "/projects/{shop}/imports/new/?kind=event_stream&source={lake}"
    ),
    "warehouse:import_detail": "/projects/{shop}/imports/{orders}/",
    "warehouse:import_detail / failed": "/projects/{shop}/imports/{clicks}/",
    "warehouse:import_runs": "/projects/{shop}/imports/{orders}/runs/",
    "warehouse:import_timeline": "/projects/{shop}/imports/{orders}/timeline/",
    "warehouse:import_configuration": (
        "/projects/{shop}/imports/{orders}/configuration/"
    ),
    "warehouse:import_configuration / cluster": (
        "/projects/{shop}/imports/{archive}/configuration/"
    ),
    "warehouse:import_frequency": "/projects/{shop}/imports/{orders}/frequency/",
    "warehouse:import_databricks": "/projects/{shop}/imports/{archive}/databricks/",
    "warehouse:import_resume": "/projects/{shop}/imports/{orders}/resume/",
    "warehouse:import_rename": "/projects/{shop}/imports/{orders}/rename/",
    "warehouse:import_delete": "/projects/{shop}/imports/{orders}/delete/",
    "warehouse:run_detail": "/projects/{shop}/imports/{orders}/runs/{run}/",
    "warehouse:run_detail / failed": (
        "/projects/{shop}/imports/{clicks}/runs/{failed_run}/"
    ),
    "warehouse:adopt": "/projects/{shop}/adopt/",
    "connectors:list": "/projects/{shop}/connectors/",
    "connectors:list / closed": "/projects/{india}/connectors/",
    "connectors:create": "/projects/{shop}/connectors/new/",
    "connectors:create / type": "/projects/{shop}/connectors/new/?type=s3Import",
    "connectors:adopt": "/projects/{shop}/connectors/adopt/",
    "connectors:detail": "/projects/{shop}/connectors/{connector}/",
    "connectors:detail / failed": "/projects/{shop}/connectors/{packed}/",
    "connectors:runs": "/projects/{shop}/connectors/{connector}/runs/",
    "connectors:timeline": "/projects/{shop}/connectors/{connector}/timeline/",
    "connectors:configuration": (
        "/projects/{shop}/connectors/{connector}/configuration/"
    ),
    "connectors:delete": "/projects/{shop}/connectors/{connector}/delete/",
    "connectors:run_detail": (
        "/projects/{shop}/connectors/{connector}/runs/{connector_run}/"
    ),
    "connectors:run_detail / failed": (
        "/projects/{shop}/connectors/{packed}/runs/{packed_run}/"
    ),
    "files:list": "/projects/{shop}/files/",
    "files:bucket_list": "/projects/{shop}/files/buckets/",
    "files:bucket_create": "/projects/{shop}/files/buckets/new/",
    "files:bucket_detail": "/projects/{shop}/files/buckets/{bucket}/",
    "files:bucket_edit": "/projects/{shop}/files/buckets/{bucket}/edit/",
    "files:bucket_timeline": "/projects/{shop}/files/buckets/{bucket}/timeline/",
    "files:bucket_credentials": "/projects/{shop}/files/buckets/{bucket}/credentials/",
    "files:bucket_delete": "/projects/{shop}/files/buckets/{bucket}/delete/",
    "files:bucket_browse": "/projects/{shop}/files/buckets/{bucket}/browse/",
    "files:directory_browse": "/projects/{shop}/files/directories/demo/",
    "lookups:list": "/projects/{shop}/lookup-tables/",
    "lookups:detail": "/projects/{shop}/lookup-tables/{table}/",
    "lookups:timeline": "/projects/{shop}/lookup-tables/{table}/timeline/",
    "lookups:configuration": "/projects/{shop}/lookup-tables/{table}/configuration/",
    "lookups:replace": "/projects/{shop}/lookup-tables/{table}/replace/",
    "lookups:version": "/projects/{shop}/lookup-tables/{table}/versions/1/",
    "lookups:version / bad rows": "/projects/{shop}/lookup-tables/{table}/versions/2/",
    "ingestion:list": "/projects/{shop}/ingestions/",
    "ingestion:create": "/projects/{shop}/ingestions/new/?kind=events",
    "ingestion:create / directory": (
        "/projects/{shop}/ingestions/new/?kind=events&place=directory:demo"
    ),
    "ingestion:live": "/projects/{shop}/ingestions/live/",
    "ingestion:detail": "/projects/{shop}/ingestions/{checkouts}/",
    "ingestion:detail / refused": "/projects/{shop}/ingestions/{mistakes}/",
    "ingestion:detail / checked": "/projects/{shop}/ingestions/{looked_at}/",
    "ingestion:files": "/projects/{shop}/ingestions/{checkouts}/files/",
    "ingestion:findings": "/projects/{shop}/ingestions/{mistakes}/findings/",
    "ingestion:timeline": "/projects/{shop}/ingestions/{checkouts}/timeline/",
    "ingestion:configuration": "/projects/{shop}/ingestions/{checkouts}/configuration/",
    "ingestion:copy": "/projects/{shop}/ingestions/{checkouts}/again/",
    "ingestion:rejected": "/projects/{shop}/ingestions/{mistakes}/rejected/",
    "jobs:list": "/jobs/",
    "jobs:list / of a project": "/jobs/?project={shop}",
    "jobs:detail": "/jobs/{job}/",
    "jobs:detail / failed": "/jobs/{failed_job}/",
    "errors:list": "/errors/",
    "errors:detail": "/errors/{cause}/",
}

# What only changes something: it is answered to POST alone, which the walk checks.
POST_ONLY = {
    "accounts:sign_out",
    "accounts:switch",
    "accounts:token_revoke",
    "accounts:view_save",
    "accounts:view_delete",
    "projects:verify",
    "projects:member_remove",
    "service_accounts:verify",
    "warehouse:source_forget",
    "warehouse:import_run",
    "warehouse:import_pause",
    "warehouse:import_bulk",
    "warehouse:import_forget",
    "connectors:forget",
    "files:upload",
    "files:upload_remove",
    "files:bucket_verify",
    "lookups:send",
    "lookups:roll_back",
    "ingestion:decide",
    "ingestion:bulk",
    "ingestion:start",
    "ingestion:pause",
    "ingestion:resume",
    "ingestion:cancel",
    "ingestion:retry",
    "ingestion:pass-gate",
    "jobs:retry",
    "jobs:bulk",
    "jobs:cancel",
    "jobs:decide",
    "jobs:dismiss",
}

# What is no page of ours, and why.
NO_PAGE = {
    "dashboard:pulse": "JSON for title, icon and rail",
    "healthz": "two letters for a load balancer",
    "accounts:sign_in": "walked by somebody who is not signed in",
    "lookups:rows": "a CSV file",
    "lookups:bad_rows": "a CSV file",
    "ingestion:download": "a file of records",
}


# What stands for a part of a route where any will do.
PARTS = {"int": "1", "uuid": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"}


def routes(resolver=None, namespaces=(), before="/"):
    """(name, route) of every URL outside of the REST API."""
    for entry in (resolver or get_resolver()).url_patterns:
        route = before + str(entry.pattern)
        if not isinstance(entry, URLResolver):
            yield ":".join((*namespaces, entry.name or str(entry.pattern))), route
        elif entry.namespace != "api":
            inside = (entry.namespace,) if entry.namespace else ()
            yield from routes(entry, (*namespaces, *inside), route)


def filled(route):
    """An address of a route."""
    return re.sub(r"<(\w+):\w+>", lambda part: PARTS.get(part[1], "any"), route)


def things(demo, s3):
    """The ids of what the addresses above name, some of it made for this."""
    projects = {row["region"]: row["id"] for row in demo.rows("projects/")}
    shop = f"projects/{projects['us']}"

    def pk(path, **wanted):
        return demo.row(f"{shop}/{path}/", **wanted)["id"]

    def first(path):
        return demo.rows(f"{shop}/{path}/")[0]["id"]

    account = demo.get(f"{shop}/")["service_account"]
    found = {
        "shop": projects["us"],
        "india": projects["in"],
        "account": account,
        "source": pk("warehouse-sources", name="Events in BigQuery"),
        "lake": pk("warehouse-sources", name="Lake in Databricks"),
        "orders": pk("imports", name="Orders"),
        "archive": pk("imports", name="Archive"),
        "clicks": pk("imports", name="Clicks, whose table is gone"),
        "connector": pk("connectors", label="Signups from GCS"),
        "packed": pk("connectors", label="Packed files declared as plain"),
        "checkouts": pk("ingestions", name="checkouts.ndjson.gz"),
        "mistakes": pk("ingestions", name="checkouts-with-mistakes.ndjson"),
        "looked_at": pk("ingestions", name="to-be-looked-at.ndjson"),
        "table": first("lookup-tables"),
        "job": demo.rows("jobs/")[0]["id"],
        "cause": next(iter(CAUSES)),
    }
    found |= {
        "run": first(f"imports/{found['orders']}/runs"),
        "failed_run": first(f"imports/{found['clicks']}/runs"),
        "connector_run": first(f"connectors/{found['connector']}/runs"),
        "packed_run": first(f"connectors/{found['packed']}/runs"),
        "member": next(
            row["id"] for row in demo.rows("service-accounts/") if row["id"] != account
        ),
        "bucket": bucket(demo, shop, s3),
        "failed_job": failed_job(demo, shop),
    }
    lookup_versions(demo, f"{shop}/lookup-tables/{found['table']}")
    return found


def bucket(demo, shop, s3):
    """A bucket with a file, at an S3 of this machine."""
    s3.put_object(Bucket="acme", Key="events/1.ndjson", Body=b"{}\n")
    keys = {"access_key_id": "AKIATESTTESTTEST1234", "secret_access_key": "s" * 40}
    made = demo.post(
        f"{shop}/buckets/",
        {
            "name": "Exports",
            "provider": "s3",
            "bucket": "acme",
            "region": "us-east-1",
            "prefix": "events/",
            "credentials": keys,
        },
    )
    return made["id"]


def failed_job(demo, shop):
    """A job that Mixpanel refused, as it refuses a run of which there were too many."""
    row = demo.row(f"{shop}/imports/", name="Orders on demand")
    demo.sandbox.fault("POST", "/sync", "status", status=400)
    job = demo.post(f"{shop}/imports/{row['id']}/run/")["job"]["id"]
    until(lambda: demo.get(f"jobs/{job}/")["is_ended"], "the job's end")
    demo.sandbox.clear_faults()
    return job


def lookup_versions(demo, table):
    """Two files that were looked at: one to be sent, one with rows to be put right."""
    good = "sku,title,price\n" + "".join(f"SKU-{n:02},Thing,{n}\n" for n in range(9))
    bad = good + "SKU-01,twice,1\n,no key,2\ntoo,few\n"
    for csv in (good, bad):
        demo.call(
            "PUT",
            f"{table}/file/",
            data=csv.encode(),
            headers={"Content-Type": "text/csv"},
        )
    going_on = ("checking", "new")
    while any(v["state"] in going_on for v in demo.rows(f"{table}/versions/")):
        time.sleep(0.2)

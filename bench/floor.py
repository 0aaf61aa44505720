"""The least that has to be done to a file in Python: python -m bench.floor FILE SINK_URL.

Read, split, check the syntax and the required keys of each line, compress, send. No rules,
no checkpoints, no progress, no second try. What mixadmin does beyond it should cost
little; this is what it is measured against.
"""

import base64
import itertools
import sys

import msgspec
import urllib3
from isal import igzip

BATCH = 2000


class Properties(msgspec.Struct):
    time: int
    distinct_id: str
    insert_id: str = msgspec.field(name="$insert_id")


class Event(msgspec.Struct):
    event: str
    properties: Properties


def main() -> None:
    path, sink = sys.argv[1:]
    decode = msgspec.json.Decoder(Event).decode
    answer_of = msgspec.json.Decoder(dict).decode
    credentials = base64.b64encode(b"bench.mp-service-account:bench").decode()
    headers = {
        "Authorization": f"Basic {credentials}",
        "Content-Type": "application/x-ndjson",
        "Content-Encoding": "gzip",
    }
    with open(path, "rb") as file, urllib3.PoolManager() as pool:
        while lines := list(itertools.islice(file, BATCH)):
            for line in lines:
                decode(line)
            answer = pool.request(
                "POST",
                f"{sink}/import?strict=1&project_id=1",
                body=igzip.compress(b"".join(lines), compresslevel=1),
                headers=headers,
            )
            told = answer_of(answer.data)
            if told.get("num_records_imported") != len(lines):
                sys.exit(f"{len(lines)} events were sent, and the answer was {told}.")


if __name__ == "__main__":
    main()

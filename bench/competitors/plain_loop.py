"""The loop that everybody writes first: python plain_loop.py FILE SINK_URL LEVEL.

json, gzip and requests, 2000 events per request, one after the other.
"""

import gzip
import itertools
import json
import sys

import requests

path, sink, level = sys.argv[1:]
session = requests.Session()
session.auth = ("bench.mp-service-account", "bench")

with open(path, encoding="utf-8") as file:
    while lines := list(itertools.islice(file, 2000)):
        events = [json.loads(line) for line in lines]
        body = gzip.compress(json.dumps(events).encode(), compresslevel=int(level))
        answer = session.post(
            f"{sink}/import",
            params={"strict": 1, "project_id": 1},
            data=body,
            headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
            timeout=60,
        )
        answer.raise_for_status()

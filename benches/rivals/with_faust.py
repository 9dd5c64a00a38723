"""Faust (faust-streaming): one agent, JSON, no table.

with_faust.py BROKERS SOURCE SINK GROUP RECORDS
"""

import json
import os
import signal
import sys
import time

import faust

brokers, source_name, sink_name, group, wanted = sys.argv[1:]
wanted = int(wanted)
app = faust.App(
    group,
    broker=f"kafka://{brokers}",
    store="memory://",
    datadir="state",
    topic_allow_declare=False,
    topic_disable_leader=True,
    web_enabled=False,
    consumer_auto_offset_reset="earliest",
)
source = app.topic(source_name, key_type=bytes, value_serializer="json")
sink = app.topic(sink_name, key_type=bytes, value_serializer="json")


@app.agent(source)
async def work(documents):
    records = 0
    sent = []
    async for key, document in documents.items():
        if not records:
            first = time.monotonic()
        records += 1
        station = document["station"]
        if station["country_code"] == "US" and station.get("state_code") == "AZ" and document.get("TMIN", 99) <= 10.0:
            sent.append(await sink.send(key=key, value={**document, "email": "grower@example.org"}))
        if records == wanted:
            for each in sent:
                await each
            result = {"records": records, "alerts": len(sent), "first_s": first, "last_s": time.monotonic()}
            # print() goes into Faust's log.
            os.write(1, json.dumps(result).encode() + b"\n")
            os.kill(os.getpid(), signal.SIGTERM)


sys.argv = [sys.argv[0], "worker", "--loglevel=error"]
app.main()

"""Quix Streams, with its JSON (de)serializers.

with_quix.py BROKERS SOURCE SINK GROUP RECORDS at-least-once|exactly-once
"""

import json
import sys
import time

from quixstreams import Application

seen = {"records": 0, "alerts": 0}


def keep(document):
    station = document["station"]
    return station["country_code"] == "US" and station.get("state_code") == "AZ" and document.get("TMIN", 99) <= 10.0


def alert(document):
    seen["alerts"] += 1
    return {**document, "email": "grower@example.org"}


def main(brokers, source, sink, group, wanted, guarantee):
    wanted = int(wanted)
    app = Application(
        broker_address=brokers,
        consumer_group=group,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        processing_guarantee=guarantee,
        commit_interval=0.1,
        loglevel="ERROR",
        consumer_extra_config={"fetch.queue.backoff.ms": 10},
    )

    def count(_):
        seen["records"] += 1
        if seen["records"] == 1:
            seen["first_s"] = time.monotonic()
        if seen["records"] == wanted:
            seen["last_s"] = time.monotonic()
            app.stop()

    documents = app.dataframe(app.topic(source, value_deserializer="json"))
    documents.update(count).filter(keep).apply(alert).to_topic(app.topic(sink, value_serializer="json"))
    app.run()
    print(json.dumps(seen))


main(*sys.argv[1:])

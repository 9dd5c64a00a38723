"""confluent-kafka (librdkafka's own Python client) and orjson, a thousand records a call.

with_confluent.py BROKERS SOURCE SINK GROUP RECORDS tuned|as-it-comes
"""

import sys
import time

import orjson
from confluent_kafka import Consumer, Producer


def main(brokers, source, sink, group, wanted, tuning):
    wanted = int(wanted)
    # With the default of 1000 ms a full queue stops the fetcher for a second.
    tuned = {"fetch.queue.backoff.ms": 10} if tuning == "tuned" else {}
    consumer = Consumer({
        "bootstrap.servers": brokers,
        "group.id": group,
        "auto.offset.reset": "earliest",
        **tuned,
    })
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 5})
    consumer.subscribe([source])
    records = alerts = 0
    while records < wanted:
        batch = consumer.consume(1000, timeout=1.0)
        if batch and not records:
            first = time.monotonic()
        for message in batch:
            if message.error():
                raise SystemExit(message.error())
            records += 1
            document = orjson.loads(message.value())
            station = document["station"]
            if station["country_code"] == "US" and station.get("state_code") == "AZ" and document.get("TMIN", 99) <= 10.0:
                document["email"] = "grower@example.org"
                producer.produce(sink, orjson.dumps(document), key=message.key())
                alerts += 1
        producer.poll(0)
    producer.flush()
    last = time.monotonic()
    consumer.close()
    print(orjson.dumps({"records": records, "alerts": alerts, "first_s": first, "last_s": last}).decode())


main(*sys.argv[1:])

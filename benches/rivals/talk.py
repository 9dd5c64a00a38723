"""The talk's own way: aiokafka, json.loads, and one send_and_wait after the other.

talk.py BROKERS SOURCE SINK GROUP RECORDS
"""

import asyncio
import json
import sys
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer


async def main(brokers, source, sink, group, wanted):
    wanted = int(wanted)
    consumer = AIOKafkaConsumer(source, bootstrap_servers=brokers, group_id=group, auto_offset_reset="earliest")
    producer = AIOKafkaProducer(bootstrap_servers=brokers)
    await consumer.start()
    await producer.start()
    records = alerts = 0
    async for message in consumer:
        first = first if records else time.monotonic()
        records += 1
        document = json.loads(message.value)
        station = document["station"]
        if station["country_code"] == "US" and station.get("state_code") == "AZ" and document.get("TMIN", 99) <= 10.0:
            document["email"] = "grower@example.org"
            await producer.send_and_wait(sink, json.dumps(document).encode(), key=message.key)
            alerts += 1
        if records == wanted:
            break
    last = time.monotonic()
    await consumer.stop()
    await producer.stop()
    print(json.dumps({"records": records, "alerts": alerts, "first_s": first, "last_s": last}))


asyncio.run(main(*sys.argv[1:]))

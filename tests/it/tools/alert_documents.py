"""Reads XML as other programs do: a JSON array of documents on standard input, an array of what they say on standard output.

alert_documents.py cap XSD   validates CAP messages and prints their fields
alert_documents.py feed      parses feeds and prints their entries
"""

import json
import sys

import feedparser
from lxml import etree

CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"
ENTRY = ("id", "title", "link", "updated", "summary")


def fields(element):
    """Children by name, each with its text or its own children; the first of each name."""
    found = {}
    for child in element:
        name = child.tag.removeprefix(CAP)
        found.setdefault(name, fields(child) if len(child) else child.text)
    return found


def cap(schema, text):
    message = etree.fromstring(text.encode())
    schema.assertValid(message)
    return fields(message)


def feed(text):
    parsed = feedparser.parse(text.encode())
    # Anything that is not well-formed is reported here.
    error = str(parsed.bozo_exception) if parsed.bozo else None
    entries = [{key: entry.get(key) for key in ENTRY} | {"link": entry.links[0].href} for entry in parsed.entries]
    return {"version": parsed.version, "error": error, "id": parsed.feed.get("id"), "entries": entries}


if __name__ == "__main__":
    documents = json.load(sys.stdin)
    if sys.argv[1] == "cap":
        schema = etree.XMLSchema(etree.parse(sys.argv[2]))
        print(json.dumps([cap(schema, text) for text in documents]))
    else:
        print(json.dumps([feed(text) for text in documents]))

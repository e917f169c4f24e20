"""Verifies every DKIM signature of the message on standard input with dkimpy, and writes a JSON array
with algorithm, domain, selector and verdict of each. The one argument is a JSON object of DNS records."""

import json
import sys

import dkim

RECORDS = json.loads(sys.argv[1])


def txt(name, timeout=5):
    record = RECORDS.get(name.decode().rstrip("."))
    return record.encode() if record else None


message = sys.stdin.buffer.read()
verifier = dkim.DKIM(message)
count = sum(1 for name, _ in verifier.headers if name.lower() == b"dkim-signature")
told = []
for number in range(count):
    verifier = dkim.DKIM(message)
    try:
        verdict = "pass" if verifier.verify(idx=number, dnsfunc=txt) else "fail"
    except dkim.DKIMException as error:
        verdict = f"fail: {error}"
    fields = verifier.signature_fields
    tag = {name: fields.get(name.encode(), b"").decode() for name in "ads"}
    told.append({"algorithm": tag["a"], "domain": tag["d"], "selector": tag["s"], "verdict": verdict})
json.dump(told, sys.stdout)

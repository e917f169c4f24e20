"""Reads a message with Python's own mail parser; its parts, decoded, go to standard output as JSON."""
import email, email.policy, json, sys

message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.compat32)
parts = []
for part in message.walk():
    content = None if part.is_multipart() else part.get_payload(decode=True).hex()
    parts.append([part.get_content_type(), content])
json.dump({"parts": parts, "defects": [repr(defect) for part in message.walk() for defect in part.defects]}, sys.stdout)

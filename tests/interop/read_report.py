"""Reads a delivery report with Python's own mail parser; what it found goes to standard output as JSON."""
import email, email.policy, json, sys

report = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
text, status, original = report.get_payload()
blocks = status.get_payload()
json.dump(
    {
        "type": report.get_content_type(),
        "report_type": report.get_param("report-type"),
        "defects": [repr(defect) for part in report.walk() for defect in part.defects],
        "parts": [part.get_content_type() for part in (text, status, original)],
        "text": text.get_content(),
        "per_message": dict(blocks[0].items()),
        "recipients": [dict(block.items()) for block in blocks[1:]],
        "original": original.get_payload()[0].items() if original.is_multipart() else original.get_payload(),
    },
    sys.stdout,
)

"""Sends standard input as one mail with Python's smtplib, over STARTTLS and with a login.

Arguments: port, file with the root certificate, user, password.
"""

import smtplib
import ssl
import sys

port, root, user, password = sys.argv[1:]


class Client(smtplib.SMTP):
    """Reaches the relay on the loopback, and knows it by the name in its certificate."""

    def _get_socket(self, host, port, timeout):
        return super()._get_socket("127.0.0.1", port, timeout)


with Client("gp.test", int(port), "client.test", timeout=20) as client:
    client.starttls(context=ssl.create_default_context(cafile=root))
    client.login(user, password)
    client.sendmail(
        "ann@elsewhere.test",
        ["bob@dest.test"],
        sys.stdin.buffer.read(),
        mail_options=["BODY=8BITMIME"],
    )

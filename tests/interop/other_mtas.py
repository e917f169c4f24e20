#!/usr/bin/env python3
"""Postfix, OpenSMTPD and Exim as remote hosts, found by DNS, over STARTTLS with certificates of a root that
only this trial knows. Without that root nothing is delivered; with it every message is in its mailboxes as
it was sent: plain, 8-bit, with dots, of 1 MiB, for many recipients, many in a row, and after greylisting.
Whom they refuse, Python's own mail parser finds in the reports that come back.

  other_mtas.py     GOPHERPOST names the binary"""
import email, email.policy, json, smtplib
from lab import *
from greylist import Greylist
from mta import Authority, Exim, OpenSmtpd, Postfix, USERS, alone
from name_server import NameServer

PEERS = {Postfix: "127.0.0.21", OpenSmtpd: "127.0.0.22", Exim: "127.0.0.23"}
IN_A_ROW = 50
# What a host may put above what it gets.
TRACE = {"received", "return-path", "delivered-to", "x-original-to", "envelope-to", "delivery-date"}

BODIES = {
    "plain": b"Dear all,\r\n\r\nnothing special.\r\n",
    "empty": b"",
    "eight bits": "Grüße aus Köln: ÄÖÜ, ½, €\r\n".encode() * 20,
    "dots": b".\r\n..\r\n.a\r\n...\r\nin. between.\r\n.\r\n",
    "long lines": b"".join(b"%s\r\n" % (b"y" * length) for length in (76, 77, 500, 900, 990)),
    "trailing": b"spaces   \r\ntab\t\r\n\r\n\r\n",
    "one MiB": FILLER * 15,
}


def letter(name, body):
    head = "From: Sam <sender@postfix.test>\r\nTo: undisclosed:;\r\nSubject: %s\r\nDate: Mon, 2 Nov 2026 10:00:00 +0100\r\n" % name
    mime = "Message-ID: <%s@gp.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return (head + mime % name.replace(" ", "-")).encode() + body


def submit(relay, name, body, recipients):
    """Sends a letter in; what the mailboxes must hold, with line ends as they have them."""
    octets = letter(name, body)
    with smtplib.SMTP("127.0.0.1", relay.port, "client.test", timeout=30) as client:
        client.sendmail("sender@postfix.test", recipients, octets, ["BODY=8BITMIME"])
    return octets.replace(b"\r\n", b"\n")


def name_of(message):
    return email.message_from_bytes(message)["Subject"]


def expect(peer, user, sent):
    """Waits until the mailbox has all of `sent` (names and octets), and fails unless that is all, each
    once and unharmed."""
    wait_for("%s has %d messages for %s" % (peer.name, len(sent), user), 60, lambda: len(peer.messages(user)) >= len(sent), 0.1)
    messages = peer.messages(user)
    got = sorted(name_of(message) for message in messages)
    if got != sorted(sent):
        fail("%s has for %s: %s" % (peer.name, user, got))
    for message in messages:
        name = name_of(message)
        if not message.endswith(sent[name]):
            fail("%s: %r came as %r" % (peer.name, name, message[:2000]))
        above = email.message_from_bytes(message[: -len(sent[name])])
        strange = {field.lower() for field in above.keys()} - TRACE
        if strange:
            fail("%s: fields above %r: %s" % (peer.name, name, strange))
        if "TLS" not in above["Received"]:
            fail("%s took it in clear: %s" % (peer.name, above["Received"]))


def read_report(octets):
    """With Python's own parser; a dictionary."""
    script = [sys.executable, HERE + "/read_report.py"]
    done = subprocess.run(script, input=octets, stdout=subprocess.PIPE, timeout=60)
    if done.returncode:
        fail("Python can't read the report %r" % octets)
    return json.loads(done.stdout)


def check_reports(peers, postfix):
    """One failed recipient at each peer; the sender's mailbox is Postfix's."""
    def about():
        reports = [read_report(octets) for octets in postfix.messages("sender")]
        return reports if sum(len(report["recipients"]) for report in reports) >= len(peers) else None

    reports, told = wait_for("reports about %d recipients" % len(peers), 60, about, 0.5), {}
    for report in reports:
        kinds = report["type"], report["report_type"], report["defects"]
        if kinds != ("multipart/report", "delivery-status", []):
            fail("a report of %s, %s with defects %s" % kinds)
        for block in report["recipients"]:
            told.setdefault(block["Final-Recipient"], []).append((block["Action"], block["Status"], block["Diagnostic-Code"]))
    wanted = {"rfc822; nobody@" + peer.domain for peer in peers}
    if set(told) != wanted:
        fail("reports about %s instead of %s" % (set(told), wanted))
    for recipient, facts in told.items():
        say("   %s: %s" % (recipient, facts))
        if len(facts) != 1 or facts[0][0] != "failed" or facts[0][1][0] != "5" or not facts[0][2].startswith("smtp; 5"):
            fail("told about %s: %s" % (recipient, facts))


alone()
with Scratch() as directory:
    authority, greylist, names, port = Authority(directory), Greylist(), NameServer(), free_port()
    peers = []
    for kind, address in PEERS.items():
        peer = kind(address, port, authority).configure(greylist.port).start()
        names.mail_host(peer.domain, peer.host, address)
        peers.append(peer)
        say("%s is up" % peer.name)
    postfix, exim = peers[0], peers[2]
    settings = {"SMTP_DNS_SERVERS": names.address, "SMTP_DELIVERY_PORT": str(port), "SMTP_DELIVERY_DENY_NETWORKS": "none"}
    everywhere = lambda user: ["%s@%s" % (user, peer.domain) for peer in peers]

    relay = Relay(directory + "/spool", **settings).start()
    sent = {"first": submit(relay, "first", b"Nobody vouches for them yet.\r\n", everywhere("ann"))}
    wait_for("three deferrals with 4.7.5", 30, lambda: relay.log_count('"event":"deferred"', '"4.7.5"') >= len(peers), 0.1)
    if any(peer.messages("ann") for peer in peers):
        fail("delivered to a host whose certificate nobody vouches for")
    relay.terminate()
    relay.env["SMTP_TLS_CA_FILE"] = authority.file
    relay.start()
    say("deferred as long as their root was unknown")

    for name, body in BODIES.items():
        sent[name] = submit(relay, name, body, everywhere("ann"))
    for peer in peers:
        expect(peer, "ann", sent)
    say("%d messages are in each mailbox as they were sent" % len(sent))

    many = USERS[1:5]  # kim is one of them
    wide = {"wide": submit(relay, "wide", BODIES["dots"], [to for user in many for to in everywhere(user)])}
    for peer in peers:
        for user in many:
            expect(peer, user, wide)
    say("one message for %d recipients" % (len(many) * len(peers)))

    began = time.monotonic()
    row = {"row %d" % number: b"" for number in range(IN_A_ROW)}
    for name in row:
        row[name] = submit(relay, name, BODIES["plain"], everywhere("kim"))
    row.update(wide)
    for peer in peers:
        expect(peer, "kim", row)
    say("%d in a row to each, %.1f s" % (IN_A_ROW, time.monotonic() - began))

    patient = postfix, exim
    grey = {"grey": submit(relay, "grey", BODIES["plain"], ["grey@" + peer.domain for peer in patient])}
    for peer in patient:
        expect(peer, "grey", grey)
    if list(greylist.asked.values()) != [2, 2]:
        fail("attempts at greylisted recipients: %s" % greylist.asked)
    say("greylisted by %s, and delivered with the second attempt" % " and ".join(peer.name for peer in patient))

    submit(relay, "refused", BODIES["plain"], everywhere("nobody"))
    check_reports(peers, postfix)
    say("a report about each whom they refused")
    relay.terminate()

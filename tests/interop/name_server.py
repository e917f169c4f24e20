"""A DNS server for trials: it knows the records that it is told, and nothing else exists."""
import ipaddress, socket, struct, threading

A, PTR, MX, TXT, AAAA, NXDOMAIN = 1, 12, 15, 16, 28, 3


def encoded(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


class NameServer:
    """Answers on UDP, on a free port of 127.0.0.1 if none is named, until the program ends."""

    def __init__(self, port=0):
        self.records = {}  # (name, type): the data of each record
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def mail_host(self, domain, host, address):
        """Mail for the domain goes to this host, which has this IPv4 address."""
        self.records[domain, MX] = [struct.pack(">H", 10) + encoded(host)]
        self.records[host, A] = [socket.inet_aton(address)]

    def text(self, name, value):
        pieces = [value[at : at + 255].encode() for at in range(0, len(value), 255)]
        self.records[name, TXT] = [b"".join(bytes([len(piece)]) + piece for piece in pieces)]

    def host(self, host, *addresses):
        """A host with these addresses, each of which leads back to its name."""
        for address in map(ipaddress.ip_address, addresses):
            kind = A if address.version == 4 else AAAA
            self.records.setdefault((host, kind), []).append(address.packed)
            self.records[address.reverse_pointer, PTR] = [encoded(host)]

    def _serve(self):
        while True:
            query, client = self.socket.recvfrom(4096)
            try:
                self.socket.sendto(self._answer(query), client)
            except (IndexError, UnicodeDecodeError, struct.error):
                pass  # no query that a resolver would send

    def _answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii").lower())
            at += 1 + query[at]
        (wanted,) = struct.unpack_from(">H", query, at + 1)
        question, name = query[12 : at + 5], ".".join(labels)
        found = self.records.get((name, wanted), [])
        exists = any(name == known or known.endswith("." + name) for known, _ in self.records)
        flags = 0x8580 | (0 if exists else NXDOMAIN)  # a response, authoritative, recursion available
        header = query[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0)
        # 0xC00C: the name of the question; TTL 0
        records = (struct.pack(">HHHIH", 0xC00C, wanted, 1, 0, len(data)) + data for data in found)
        return header + question + b"".join(records)

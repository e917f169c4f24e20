"""Greylisting for trials: who sends to `grey` for the first time is asked to come again. Postfix asks by
its policy protocol, Exim by a line of text."""
import socketserver, threading


class Greylist:
    def __init__(self):
        self.asked, self.lock = {}, threading.Lock()
        greylist = self

        class Session(socketserver.StreamRequestHandler):
            def handle(self):
                request = {}
                for line in self.rfile:
                    text = line.decode("utf-8", "replace").strip()
                    if text.startswith("exim "):
                        _, sender, local_part = text.split(" ")
                        self.wfile.write(b"ok" if greylist.known("exim", sender, local_part) else b"wait")
                        return
                    if text:
                        name, _, value = text.partition("=")
                        request[name] = value
                        continue
                    local_part = request["recipient"].partition("@")[0]
                    known = greylist.known("postfix", request["sender"], local_part)
                    action = "DUNNO" if known else "450 4.7.1 greylisted, come again"
                    self.wfile.write(b"action=%s\n\n" % action.encode())
                    request = {}

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads = True, True

        server = Server(("127.0.0.1", 0), Session)
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def known(self, where, sender, local_part):
        """Whether this sender has been here before; counts how often it was."""
        if local_part != "grey":
            return True
        with self.lock:
            count = self.asked.get((where, sender), 0)
            self.asked[where, sender] = count + 1
            return count > 0

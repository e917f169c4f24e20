#!/usr/bin/env python3
"""A real Prometheus and its tools against a busy relay. `promtool` checks what /metrics says, the
scrape configuration, the alert rules and their unit tests. Prometheus scrapes the relay by the
configuration in packaging/prometheus; what its queries give is held against what was sent. Every query
of the dashboard and of the alerts names series that are there, and each of the dashboard's gives data.

  prometheus.py    GOPHERPOST names the binary"""
import json, urllib.parse, urllib.request
from lab import *

MESSAGES, CLIENTS, REFUSED, UNKNOWN = 2000, 8, 40, 30
PACKAGING = HERE + "/../../packaging/"


def get(url, **fields):
    request = urllib.request.Request(url, headers=fields)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


class Prometheus:
    """Scrapes the relay each second, by the configuration that is shipped."""

    def __init__(self, directory, relay):
        self.port = free_port()
        with open(PACKAGING + "prometheus/prometheus.yml") as file:
            config = file.read().replace("localhost:8080", "127.0.0.1:%d" % relay.health).replace("15s", "1s")
        config = config.replace("alerts.yml", os.path.abspath(PACKAGING + "prometheus/alerts.yml"))
        with open(directory + "/prometheus.yml", "w") as file:
            file.write(config)
        self.log = open(directory + "/prometheus.log", "wb")
        command = ["prometheus", "--config.file=%s/prometheus.yml" % directory, "--storage.tsdb.path=%s/tsdb" % directory]
        command += ["--web.listen-address=127.0.0.1:%d" % self.port, "--log.level=warn"]
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        except FileNotFoundError:
            fail("prometheus is missing; .ci/run knows its package")
        wait_for("Prometheus is up", 60, self._up, 0.1)

    def _up(self):
        try:
            return self.query('up{job="gopherpost"} == 1')
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()

    def query(self, expression):
        """The result: series, each with its value."""
        url = "http://127.0.0.1:%d/api/v1/query?%s" % (self.port, urllib.parse.urlencode({"query": expression}))
        answer = json.loads(get(url))
        if answer["status"] != "success":
            fail("%s: %s" % (expression, answer))
        return answer["data"]["result"]

    def value(self, expression):
        result = self.query(expression)
        if len(result) != 1:
            fail("%s gives %d series" % (expression, len(result)))
        return float(result[0]["value"][1])

    def becomes(self, expression, want):
        """Waits for the scrape that has it; then it must stay."""
        wait_for("%s is %s" % (expression, want), 30, lambda: self.value(expression) == want, 0.2)
        say("%-72s %g" % (expression, want))


def promtool(*words, stdin=None):
    try:
        done = subprocess.run(("promtool",) + words, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    except FileNotFoundError:
        fail("promtool is missing; .ci/run knows its package")
    if done.returncode:
        fail("promtool %s: %s" % (" ".join(words), done.stdout))
    say("promtool %s: passed" % " ".join(os.path.basename(word) for word in words))


def send_all(relay):
    """Messages from several clients at once; a few senders and recipients that are refused. Gives when
    everything is acknowledged."""

    def send(number):
        client = Client(relay.port)
        for count in range(number, MESSAGES, CLIENTS):
            code, said = client.send("m-%d" % count, 4096, ("r%d@dest.test" % (count % 50),))
            if code != 250:
                problems.append(said)
        client.close()

    problems = []
    threads = [threading.Thread(target=send, args=(number,), daemon=True) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for _ in range(REFUSED):
        client = Client(relay.port)
        client.command("MAIL FROM:<s@elsewhere.test>")
        client.close()
    client = Client(relay.port)
    for number in range(UNKNOWN):
        client.send("u-%d" % number, 1024, ("unknown@dest.test",))
    client.close()
    busy = get("http://127.0.0.1:%d/metrics" % relay.health)
    for thread in threads:
        thread.join(120)
    if problems:
        fail("refused: %s" % problems[0])
    return busy


def dashboard_queries():
    """Each query of the dashboard, with its variables as Grafana would put them."""
    with open(PACKAGING + "grafana/gopherpost.json") as file:
        panels = json.load(file)["panels"]
    for panel in panels:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$instance", ".*").replace("$__rate_interval", "30s")
            if "$" in expression:
                fail("a variable is not known: " + expression)
            yield panel["title"], expression


def check_names(text, metrics):
    """Every series that is named is one of the relay."""
    there = set(re.findall(r"^([a-z_]+)", metrics, re.M))
    named = set(re.findall(r"\b((?:gopherpost|process)_[a-z_]+)", text))
    if named - there:
        fail("no such series: %s" % sorted(named - there))
    return len(named)


with Scratch() as directory:
    remote = Remote()
    remote.refuses = {b"unknown@dest.test": b"550 5.1.1 no such user\r\n"}
    relay = Relay(directory + "/spool", SMTP_REQUIRE_LOCAL_DOMAIN="true", **remote.settings()).start()
    prometheus = Prometheus(directory, relay)
    try:
        # A scrape before there is anything, so that rates and increases begin at nothing.
        prometheus.becomes("gopherpost_smtpd_messages_accepted_total", 0)
        busy = send_all(relay)
        promtool("check", "metrics", stdin=busy)
        accepted = MESSAGES + UNKNOWN
        prometheus.becomes("gopherpost_smtpd_messages_accepted_total", accepted)
        prometheus.becomes("gopherpost_smtpd_recipients_accepted_total", accepted)
        prometheus.becomes('gopherpost_smtpd_rejects_total{code="550",reason="sender_not_allowed"}', REFUSED)
        # Reports on the unknown go to the sender, over the same host.
        prometheus.becomes('sum(gopherpost_delivery_attempts_total{result="delivered"})', MESSAGES + UNKNOWN)
        prometheus.becomes('sum(gopherpost_delivery_attempts_total{result="failed"})', UNKNOWN)
        prometheus.becomes('gopherpost_dsn_generated_total{kind="failed"}', UNKNOWN)
        prometheus.becomes("gopherpost_delivery_time_to_deliver_seconds_count", MESSAGES + UNKNOWN)
        prometheus.becomes('sum(gopherpost_queue_recipients{state=~"queued|in_flight|deferred|held"})', 0)
        prometheus.becomes("gopherpost_queue_commit_batch_messages_sum", accepted + UNKNOWN)
        prometheus.becomes("gopherpost_smtpd_connections_active", 0)
        prometheus.becomes("gopherpost_accepting_mail", 1)
        if remote.transactions != MESSAGES + UNKNOWN:
            fail("%d arrived" % remote.transactions)
        grown = prometheus.value("sum(increase(gopherpost_smtpd_messages_accepted_total[5m]))")
        if not 0.9 * accepted <= grown <= 1.2 * accepted:
            fail("%g of %d by increase()" % (grown, accepted))

        queries = list(dashboard_queries())
        for title, expression in queries:
            if not prometheus.query(expression):
                fail("the dashboard's panel %r has no data: %s" % (title, expression))
        say("%d queries of the dashboard, each gives data" % len(queries))
        metrics = get("http://127.0.0.1:%d/metrics" % relay.health)
        with open(PACKAGING + "prometheus/alerts.yml") as file:
            named = check_names(file.read() + str(queries), metrics)
        say("%d series named by alerts and dashboard, each exists" % named)
        firing = prometheus.query('ALERTS{alertstate="firing"}')
        if firing:
            fail("alerts on a healthy relay: %s" % [one["metric"]["alertname"] for one in firing])
        took = []
        for _ in range(20):
            began = time.monotonic()
            get("http://127.0.0.1:%d/metrics" % relay.health)
            took.append(time.monotonic() - began)
        series = sum(line[0] != "#" for line in metrics.splitlines())
        say("/metrics: %d series, %.1f ms, at most %.1f ms" % (series, 1000 * sorted(took)[10], 1000 * max(took)))
    finally:
        prometheus.stop()
    promtool("check", "metrics", stdin=metrics)
    os.chdir(PACKAGING + "prometheus")
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts_test.yml")

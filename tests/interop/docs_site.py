#!/usr/bin/env python3
"""The pages of docs/ as a browser and a validator see them. They are made and held to their sources by
`cargo test docs::`; here:

  - the Nu HTML checker (the W3C's validator) has nothing to say about any page or the style sheet: no error, no
    warning. It is vnu.jar of the npm package vnu-jar, or what VNU_JAR names; it needs Java;
  - colours have the contrast that WCAG 2.2 AA asks for, light and dark;
  - where there is a chromium, no page is wider than a phone, a tablet or a desktop. Without one that is left out.

  docs_site.py      no network but npm's registry, for the checker"""
import functools, http.server, json, threading, urllib.parse
from lab import *

DOCS = os.path.abspath(HERE + "/../../docs")
CHECKER = "vnu-jar@26.9.27"
WIDTHS = 320, 390, 768, 1280
# (what is read, on what) and the contrast that it must have: text, and marks that are no text (1.4.3, 1.4.11)
PAIRS = [(ink, paper, 4.5) for ink in ("ink", "faint", "link") for paper in ("paper", "panel", "code")] + [(mark, "paper", 3) for mark in ("mark", "ours", "theirs")]


def validate(scratch):
    jar = os.environ.get("VNU_JAR")
    if not jar:
        sh("npm", "pack", "--silent", "--pack-destination", scratch, CHECKER)
        sh("tar", "-xzf", *(scratch + "/" + name for name in os.listdir(scratch) if name.endswith(".tgz")), "-C", scratch)
        jar = scratch + "/package/build/dist/vnu.jar"
    pages = sorted(DOCS + "/" + name for name in os.listdir(DOCS) if name.endswith(".html"))
    for files in pages, ["--css", DOCS + "/assets/style.css"], ["--svg", DOCS + "/assets/logo.svg", DOCS + "/assets/favicon.svg"]:
        done = subprocess.run(["java", "-jar", jar, "--format", "gnu", *files], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        if done.returncode or done.stdout.strip():
            fail("the validator says:\n" + done.stdout)
    say("%d pages, style sheet and pictures: the validator has nothing to say" % len(pages))


def luminance(colour):
    def linear(part):
        part = int(part, 16) / 255
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(colour[at : at + 2]) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrasts():
    with open(DOCS + "/assets/style.css") as file:
        style = file.read()
    if "url(" in style or "@import" in style:
        fail("the style sheet loads something")
    light, dark = (dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", part)) for part in re.findall(r":root \{(.*?)\}", style, re.S))
    least = 21
    for name, colours in ("light", light), ("dark", {**light, **dark}):
        for ink, paper, wanted in PAIRS:
            lighter, darker = sorted((luminance(colours[ink]), luminance(colours[paper])), reverse=True)
            ratio = (lighter + 0.05) / (darker + 0.05)
            least = min(least, ratio / wanted)
            if ratio < wanted:
                fail("%s: %s on %s has a contrast of %.2f, not %s" % (name, ink, paper, ratio, wanted))
    say("contrasts: all at least %.2f times what is wanted" % least)


FRAME = """<!doctype html><title>measured</title><pre id="told"></pre><script>
const pages = %s, widths = %s, told = [];
async function measure(page, width) {
  const frame = document.createElement('iframe');
  frame.width = width; frame.height = 900; frame.src = page;
  const loaded = new Promise(done => frame.onload = done);
  document.body.append(frame);
  await loaded;
  const root = frame.contentDocument.documentElement;
  const wide = [...root.querySelectorAll('body *')].filter(e => !e.closest('pre, .wide, .skip') && e.getBoundingClientRect().right > root.clientWidth + 1);
  told.push({page, width, over: root.scrollWidth - root.clientWidth, wide: wide.slice(0, 3).map(e => e.outerHTML.slice(0, 80))});
  frame.remove();
}
(async () => {
  for (const width of widths) for (const page of pages) await measure(page, width);
  document.getElementById('told').textContent = encodeURIComponent(JSON.stringify(told));
})();
</script>"""


def widths():
    if not shutil.which("chromium"):
        say("no chromium: whether pages fit a phone was left out")
        return
    pages = sorted(name for name in os.listdir(DOCS) if name.endswith(".html"))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.path != "/frame":
                return super().do_GET()
            body = (FRAME % (json.dumps(pages), json.dumps(WIDTHS))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=DOCS))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = "http://127.0.0.1:%d/frame" % server.server_address[1]
    with Scratch() as profile:
        dom = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + profile, "--virtual-time-budget=60000", "--window-size=1400,900", "--dump-dom", url],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=240,
        ).stdout
    found = re.search(r'<pre id="told">([^<]+)</pre>', dom)
    if not found:
        fail("chromium measured nothing")
    told = json.loads(urllib.parse.unquote(found.group(1)))
    if len(told) != len(pages) * len(WIDTHS):
        fail("chromium measured %d of %d" % (len(told), len(pages) * len(WIDTHS)))
    for one in told:
        if one["over"] > 0 or one["wide"]:
            fail("%s is too wide for %d pixels: %s" % (one["page"], one["width"], one["wide"]))
    say("%d pages fit %s pixels" % (len(pages), ", ".join(map(str, WIDTHS))))


with Scratch() as scratch:
    contrasts()
    validate(scratch)
widths()

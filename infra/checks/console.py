"""Uses the console as a person does. Arguments: the API's URL, a caller's key, an operator's key, and the
folder for the pictures."""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path
from statistics import median
from urllib.request import Request, urlopen

import zxingcpp
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

api, key, operator_key, folder = sys.argv[1:]
pictures = Path(folder)
pictures.mkdir(parents=True, exist_ok=True)
axe = Axe()
errors: list[str] = []


def look(page: Page, name: str, whole: bool = True) -> None:
    """Accessibility, no sideways scrolling on a phone, and a picture of the `whole` page or of what is seen of
    it: light and dark, wide and narrow."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = axe.run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]})
        if found.violations_count:
            errors.append(f"{name}, {scheme}: {found.generate_report()}")
        for width in (1200, 360):
            page.set_viewport_size({"width": width, "height": 800})
            page.screenshot(path=pictures / f"{name}-{scheme}-{width}.png", full_page=whole)
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                errors.append(f"{name}: wider than {width} px")
    page.set_viewport_size({"width": 1200, "height": 800})


def sign_in(page: Page, with_key: str) -> None:
    page.get_by_label("API key").fill(with_key)
    page.get_by_role("button", name="Sign in").click()


def submit(page: Page, model: str, prompt: str) -> None:
    page.get_by_role("link", name="Playground", exact=True).click()
    page.get_by_label("Model").select_option(model)
    page.get_by_role("button", name="Choose").click()
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.get_by_role("button", name="Submit").click()


def call(path: str, body: object) -> dict:
    """Posts to the API as the caller."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    with urlopen(Request(api + path, json.dumps(body).encode(), headers)) as answer:
        return json.loads(answer.read())


class Hook(BaseHTTPRequestHandler):
    """A customer's server: it takes every event."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def as_caller(page: Page) -> None:
    page.goto(api)
    look(page, "sign-in")
    sign_in(page, "gmx_wrong_key")
    expect(page.get_by_role("alert")).to_contain_text("no such key")
    page.goto(api)
    sign_in(page, key)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    page.get_by_role("link", name="Playground", exact=True).click()
    page.get_by_label("Model").select_option("veo-3.1-fast")
    page.get_by_role("button", name="Choose").click()
    before = page.locator("#price").inner_text()
    page.get_by_label("Length in seconds").select_option("4")
    expect(page.locator("#price")).not_to_have_text(before)  # without a submit
    look(page, "playground")

    submit(page, "veo-3.1-fast", "a paper boat on a rainy street")
    expect(page.get_by_role("heading", name="Attempts")).to_be_visible()
    look(page, "job-running")
    # It ends by itself, without a reload.
    expect(page.locator(".status").first).to_have_text("succeeded", timeout=40_000)
    played = page.locator("video").evaluate(
        "v => new Promise(done => { v.muted = true; v.onplaying = () => done('playing');"
        " v.onerror = () => done('error ' + v.error.message); v.play().catch(e => done(String(e))); })"
    )
    # Chromium of Debian plays H.264; without that codec the file was at least fetched.
    if played != "playing" and "supported source" not in played:
        errors.append(f"the video does not play: {played}")
    look(page, "job-succeeded")

    submit(page, "gen-4.5", "a boat [[sim: fail=content_policy]]")
    expect(page.locator(".status").first).to_have_text("failed", timeout=40_000)
    expect(page.locator("main")).to_contain_text("content_policy")
    expect(page.locator("main")).to_contain_text("refunded in full")
    look(page, "job-failed")

    submit(page, "gen-4.5", "a boat [[sim: latency=60]]")
    page.get_by_role("button", name="Cancel this job").click()
    expect(page.locator(".status").first).to_have_text("canceled", timeout=40_000)

    for name in ("Overview", "Jobs", "Gallery", "Credits", "Endpoints", "Key"):
        page.get_by_role("link", name=name, exact=True).first.click()
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
        if key in page.content():
            errors.append(f"{name} shows the key")
        look(page, name.lower())
    page.get_by_role("link", name="Jobs", exact=True).click()
    page.get_by_label("Status").select_option("failed")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.locator("tbody a").click()
    expect(page.locator("main")).to_contain_text("content_policy")

    hook = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    call("/v1/endpoints", {"url": f"http://127.0.0.1:{hook.server_port}/hook", "types": ["job.*"]})
    page.get_by_role("link", name="Endpoints", exact=True).click()
    page.get_by_role("link", name="/hook").click()
    page.get_by_role("button", name="Send a test event").click()
    # It arrives by itself, without a reload.
    expect(page.get_by_role("status")).to_contain_text("delivered", timeout=20_000)
    look(page, "endpoint")
    page.get_by_role("button", name="again").first.click()
    expect(page.locator("tbody tr").first).to_contain_text("2", timeout=20_000)
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Send a test event")).to_be_visible()

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()


def read_code(page: Page) -> str:
    """What a bank's app reads from the picture, in either colour scheme."""
    found = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        picture = page.get_by_role("img", name="QR code of the PIX payment").screenshot()
        found |= {code.text for code in zxingcpp.read_barcodes(Image.open(BytesIO(picture)))}
    return "\n".join(found)


def paid_back(page: Page, checkout: str) -> None:
    """What was bought makes a video; then the processor pays it back, and its credits leave."""
    submit(page, "pika-2.2", "a boat that was paid for")
    expect(page.get_by_text("succeeded").first).to_be_visible(timeout=30_000)
    page.get_by_role("link", name="Credits", exact=True).click()
    before = page.locator(".cards dd").first.inner_text()
    page.goto(checkout)
    page.get_by_role("button", name="Refund").click()
    expect(page.get_by_role("button", name="Refund")).to_have_count(0)
    page.goto(f"{api}/console/credits")
    while page.locator(".cards dd").first.inner_text() == before:
        page.reload()
    expect(page.locator("main")).to_contain_text("refunded")
    look(page, "purchase-refunded")


def buy_credits(page: Page) -> None:
    page.goto(f"{api}/console/credits")
    sign_in(page, key)
    before = page.locator(".cards dd").first.inner_text()
    look(page, "credits-buy")
    page.get_by_label("Pack", exact=True).select_option("stripe hosted starter USD")
    page.get_by_role("button", name="Buy pack").click()
    expect(page.get_by_role("status")).to_contain_text("pending")
    look(page, "purchase-pending")
    page.get_by_role("link", name="Pay by Stripe").click()
    checkout = page.url
    page.get_by_role("button", name="Pay now").click()
    # The processor leads back, and the page shows by itself that it is paid.
    expect(page.get_by_role("status")).to_contain_text("1000 credits were added", timeout=20_000)
    expect(page.get_by_role("link", name="Pay by Stripe")).to_have_count(0)
    look(page, "purchase-paid")
    page.get_by_role("link", name="Credits", exact=True).click()
    expect(page.locator(".cards dd").first).not_to_have_text(before)
    expect(page.get_by_role("link", name="Receipt")).to_be_visible()
    paid_back(page, checkout)

    page.get_by_label("Another amount").fill("55.00")
    page.get_by_label("In", exact=True).select_option("abacatepay pix BRL")
    page.get_by_role("button", name="Buy amount").click()
    code = page.get_by_label("PIX code", exact=True).input_value()
    if read_code(page) != code:
        errors.append(f"the QR code is not the PIX code {code}")
    look(page, "purchase-pix")


def when_the_session_ends(page: Page) -> None:
    """A page that polls leads to the sign-in by itself."""
    page.goto(api)
    sign_in(page, key)
    submit(page, "gen-4.5", "a boat [[sim: latency=60]]")
    expect(page.get_by_role("heading", name="Attempts")).to_be_visible()
    page.context.clear_cookies()
    expect(page.get_by_label("API key")).to_be_visible(timeout=10_000)
    sign_in(page, key)
    expect(page.get_by_role("button", name="Cancel this job")).to_be_visible()


def read_the_api(page: Page) -> None:
    page.goto(f"{api}/docs")
    page.get_by_role("link", name="POST /v1/jobs", exact=True).click()
    expect(page.locator("#submitJob")).to_be_in_viewport()
    page.locator("#submitJob").get_by_text("Example: A model and a prompt").click()
    expect(page.locator("#submitJob")).to_contain_text("veo-3.1")


def look_at_the_api(page: Page) -> None:
    read_the_api(page)
    look(page, "docs", whole=False)


def with_100_jobs(page: Page) -> None:
    """How long the server takes for the pages of 100 active jobs."""
    for number in range(100):
        call("/v1/jobs", {"model": "gen-4.5", "prompt": "a boat [[sim: latency=600]]", "duration_s": 2, "metadata": {"n": str(number)}})
    for with_key, paths in ((key, ("", "/jobs")), (operator_key, ("/operate/jobs",))):
        page.goto(f"{api}/console/key")
        sign_in(page, with_key)
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        cookie = "; ".join(f"{one['name']}={one['value']}" for one in page.context.cookies())
        for path in paths:
            took = []
            for _ in range(20):
                start = time.perf_counter()
                with urlopen(Request(f"{api}/console{path}", headers={"cookie": cookie})) as answer:
                    size = len(answer.read())
                took.append((time.perf_counter() - start) * 1000)
            print(f"/console{path} with 100 jobs: {median(took):.0f} ms, {size // 1000} kB")
        page.context.clear_cookies()


def as_operator(page: Page) -> None:
    page.goto(f"{api}/console/operate/providers")
    sign_in(page, operator_key)
    expect(page.get_by_role("heading", name="Providers")).to_be_visible()
    page.get_by_role("button", name="Pause fal").click()
    expect(page.get_by_role("button", name="Resume fal")).to_be_visible()
    page.get_by_role("button", name="Resume fal").click()
    expect(page.get_by_role("button", name="Pause fal")).to_be_visible()
    look(page, "providers")
    page.get_by_role("link", name="Active jobs").click()
    look(page, "active-jobs")
    page.get_by_role("link", name="Alarms").click()
    expect(page.get_by_role("heading", name="Dead-letter queues")).to_be_visible()
    look(page, "alarms")
    page.get_by_role("link", name="Accounts").click()
    page.get_by_label("Account").fill("acct_demo")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("main")).to_contain_text("Balance")
    look(page, "accounts")


def without_script(page: Page) -> None:
    page.goto(api)
    sign_in(page, key)
    submit(page, "veo-3.1-fast", "a kite")
    expect(page.get_by_role("heading", name="Attempts")).to_be_visible()
    page.get_by_role("link", name="Credits", exact=True).click()
    page.get_by_label("Pack", exact=True).select_option("paypal hosted starter EUR")
    page.get_by_role("button", name="Buy pack").click()
    page.get_by_role("link", name="Pay by PayPal").click()
    page.get_by_role("button", name="Pay now").click()
    while "pending" in page.get_by_role("status").inner_text():
        page.reload()
    expect(page.get_by_role("status")).to_contain_text("1000 credits were added")
    read_the_api(page)


with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
        executable_path="/usr/bin/chromium",
        args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"],
    )
    with_script = (as_caller, buy_credits, as_operator, when_the_session_ends, look_at_the_api, with_100_jobs)
    for story, script in (*((story, True) for story in with_script), (without_script, False)):
        context = browser.new_context(java_script_enabled=script)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(f"script: {error}"))
        page.on("console", lambda line: line.type == "error" and "401" not in line.text and errors.append(line.text))
        story(page)
        context.close()
        print(f"{story.__name__}: done")
    browser.close()
if errors:
    sys.exit("\n".join(errors))

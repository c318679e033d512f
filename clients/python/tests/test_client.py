"""Against a running stack: `GENMUX_API`, `GENMUX_KEY`. Run by `infra/checks/clients`."""

import base64
import hashlib
import hmac
import http.server
import os
import threading
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import Request, urlopen

from genmux import Client, GenmuxError, JobFailed, SignatureError, verify


# The smallest that passes for one.
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0sum!"


class Stack(unittest.TestCase):
    def setUp(self):
        self.genmux = Client()

    def test_a_video_is_made_and_saved(self):
        self.assertIn("veo-3.1-fast", [model["name"] for model in self.genmux.models()])
        job = self.genmux.create("veo-3.1-fast", "a boat", duration_s=4)
        job = self.genmux.wait(job["id"])
        with TemporaryDirectory() as folder:
            file = self.genmux.download(job, Path(folder) / "boat.mp4")
            self.assertEqual(file.read_bytes()[4:8], b"ftyp")
            self.assertEqual([path.name for path in Path(folder).iterdir()], ["boat.mp4"])
        ledger = [line for line in self.genmux.account()["ledger"] if line["job"] == job["id"]]
        self.assertEqual([(line["kind"], line["micro_credits"]) for line in ledger], [("charge", job["price_micro_credits"])])
        self.assertIn(job["id"], [listed["id"] for listed in self.genmux.list(status="succeeded")])

    def test_an_image_is_uploaded(self):
        with TemporaryDirectory() as folder:
            path = Path(folder) / "boat.png"
            path.write_bytes(PNG)
            image = self.genmux.upload(path, "image/png")
            self.assertEqual(image, {"upload": hashlib.sha256(PNG).hexdigest()})
            self.assertEqual(self.genmux.upload(path, "image/png"), image)
            with self.assertRaises(GenmuxError) as caught:
                self.genmux.upload(path, "text/html")
            self.assertEqual(caught.exception.errors[0]["field"], "content_type")
        job = self.genmux.wait(self.genmux.create("pika-2.2", "a boat", image=image)["id"])
        self.assertEqual((job["status"], job["progress"], job["request"]["image"]), ("succeeded", 100, image))

    def test_a_key_makes_one_job(self):
        ids = {self.genmux.create("gen-4.5", "a kite", idempotency_key="order, 1")["id"] for _ in range(3)}
        self.assertEqual(len(ids), 1)
        self.genmux.cancel(ids.pop())

    def test_what_is_wrong_names_its_field(self):
        with self.assertRaises(GenmuxError) as caught:
            self.genmux.create("gen-4.5", "a boat", duration_s=99)
        self.assertEqual((caught.exception.status, caught.exception.code), (422, "invalid_request"))
        self.assertEqual(caught.exception.errors[0]["field"], "duration_s")
        with self.assertRaises(GenmuxError) as caught:
            Client(os.environ["GENMUX_API"], "gmx_wrong_key").models()
        self.assertEqual(caught.exception.status, 401)

    def test_a_failed_job_says_why(self):
        job = self.genmux.create("gen-4.5", "a boat [[sim: fail=content_policy]]")
        with self.assertRaises(JobFailed) as caught:
            self.genmux.wait(job["id"])
        self.assertEqual(caught.exception.job["error"]["code"], "content_policy")

    def test_a_wait_ends(self):
        job = self.genmux.create("gen-4.5", "a boat [[sim: latency=60]]")
        with self.assertRaises(TimeoutError):
            self.genmux.wait(job["id"], timeout=1)
        self.genmux.cancel(job["id"])

    def test_an_answer_that_was_lost_makes_no_second_job(self):
        with Unreliable(os.environ["GENMUX_API"]) as proxy:
            job = Client(proxy.url, os.environ["GENMUX_KEY"]).create("gen-4.5", "a lost answer")
            self.assertEqual(proxy.calls, 2)
        made = [one["id"] for one in self.genmux.list() if one["id"] == job["id"]]
        self.assertEqual(made, [job["id"]])
        newest = next(iter(self.genmux.list()))
        self.assertEqual(newest["id"], job["id"])
        self.genmux.cancel(job["id"])


class Unreliable:
    """Passes each call on, and answers the first with 503 although it was accepted."""

    def __init__(self, api):
        outer = self
        self.calls = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                outer.calls += 1
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                with urlopen(Request(api + self.path, body, headers)) as answer:
                    text, status = answer.read(), answer.status
                if outer.calls == 1:
                    text, status = b"<html>unavailable</html>", 503
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()


class Events(unittest.TestCase):
    def test_only_what_was_signed_in_time_is_an_event(self):
        key = b"0123456789abcdef0123456789abcdef"
        secret = "whsec_" + base64.b64encode(key).decode()
        body = b'{"type": "job.succeeded"}'

        def headers(at="1800000000", with_key=key):
            signed = hmac.new(with_key, b"evt_1." + at.encode() + b"." + body, hashlib.sha256).digest()
            signature = f"v1a,xyz v1,{base64.b64encode(signed).decode()}"
            return {"Webhook-Id": "evt_1", "Webhook-Timestamp": at, "Webhook-Signature": signature}

        self.assertEqual(verify(secret, headers(), body, now=1_800_000_100)["type"], "job.succeeded")
        for wrong, at, text in [
            (headers(), 1_800_000_301, body),
            (headers(), 1_799_999_600, body),
            (headers(with_key=b"other"), 1_800_000_000, body),
            (headers(), 1_800_000_000, body + b" "),
            ({}, 1_800_000_000, body),
            ({**headers(), "Webhook-Timestamp": "x"}, 1_800_000_000, body),
            ({**headers(), "Webhook-Timestamp": "9" * 5_000}, 1_800_000_000, body),
            ({**headers(), "Webhook-Timestamp": "١٨"}, 1_800_000_000, body),
            ({**headers(), "Webhook-Timestamp": "1800000000\n"}, 1_800_000_000, body),
            ({**headers(), "Webhook-Id": "\udcff"}, 1_800_000_000, body),
            ({**headers(), "Webhook-Signature": "v1,\udcff"}, 1_800_000_000, body),
        ]:
            with self.assertRaises(SignatureError):
                verify(secret, wrong, text, now=at)


if __name__ == "__main__":
    unittest.main()

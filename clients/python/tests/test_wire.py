"""Against servers that answer badly. They need no stack."""

import json
import os
import socket
import struct
import threading
import time
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from genmux import Client, GenmuxError, JobFailed, verify

JOB = b'{"id": "job_1", "status": "running"}'


def answer(body: bytes, status: str = "200 OK", length: int | None = None, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body) if length is None else length}\r\n{more}\r\n"
    return head.encode() + body


class Server:
    """Answers each connection with the next of these bytes, the last one again and again; keeps the requests."""

    def __init__(self, *answers: bytes, reset: bool = False):
        self.answers, self.reset, self.requests = list(answers), reset, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                request = connection.recv(65536)
                while b"content-length: 0" not in request.lower() and request.startswith(b"POST") and b"}" not in request:
                    request += connection.recv(65536)
                self.requests.append(request.decode())
                is_first = len(self.answers) > 1
                connection.sendall(self.answers.pop(0) if is_first else self.answers[0])
                if self.reset and is_first:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def keys(server: Server) -> list[str]:
    lines = [line for request in server.requests for line in request.split("\r\n")]
    return [line.partition(": ")[2] for line in lines if line.lower().startswith("idempotency-key")]


class BadAnswers(unittest.TestCase):
    def test_a_body_that_breaks_off_is_repeated_with_the_same_key(self):
        for reset in (False, True):
            with Server(answer(JOB[:9], length=99), answer(JOB), reset=reset) as server:
                self.assertEqual(Client(server.url, "key").create("m", "a boat")["id"], "job_1")
                self.assertEqual((len(keys(server)), len(set(keys(server)))), (2, 1))

    def test_an_error_whose_body_breaks_off_is_repeated(self):
        with Server(answer(b"{", "503 Unavailable", length=99), answer(JOB)) as server:
            self.assertEqual(Client(server.url, "key").get("job_1")["id"], "job_1")

    def test_what_is_no_answer_of_the_api_is_an_error_with_the_key(self):
        for body in (b"<html>", b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000):
            with Server(answer(body)) as server, self.assertRaises(GenmuxError) as caught:
                Client(server.url, "key").create("m", "a boat", idempotency_key="order-1")
            error = caught.exception
            self.assertEqual((error.status, error.code, error.idempotency_key), (200, "unexpected_answer", "order-1"))
            self.assertEqual(len(server.requests), 1)
        with Server(answer(b'{"errors": 5, "detail": []}', "400 Bad Request")) as server:
            with self.assertRaises(GenmuxError) as caught:
                Client(server.url, "key").get("job_1")
            self.assertEqual(caught.exception.errors, [])

    def test_a_redirect_does_not_get_the_key(self):
        with Server(answer(JOB)) as other:
            for status in ("301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
                with Server(answer(b"", status, more=f"location: {other.url}/\r\n")) as server:
                    with self.assertRaises(GenmuxError) as caught:
                        Client(server.url, "key").get("job_1")
                    self.assertIn("redirect", caught.exception.detail)
            self.assertEqual(other.requests, [])

    def test_a_server_that_does_not_wait_is_not_polled_in_a_hot_loop(self):
        for polled in (answer(JOB), answer(b"", "304 Not Modified")):
            with Server(answer(JOB), polled) as server, self.assertRaises(TimeoutError):
                start = time.monotonic()
                Client(server.url, "key").wait("job_1", timeout=2.5)
            self.assertLessEqual(len(server.requests), 3)
            self.assertLess(time.monotonic() - start, 4)

    def test_a_poll_is_shorter_than_the_time_limit_of_a_call(self):
        with Server(answer(b'{"id": "job_1", "status": "succeeded"}')) as server:
            Client(server.url, "key", timeout=10).wait("job_1")
        self.assertIn("wait=5\r\n", server.requests[0].lower())

    def test_an_api_that_is_no_url_fails_at_once(self):
        for api in ("127.0.0.1:8787", "ftp://api", "http://", "http://a b", "file:///etc/passwd", "http://api?x=1"):
            with self.assertRaises(ValueError):
                Client(api, "key")

    def test_no_server_is_an_error_with_the_key(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            api = f"http://127.0.0.1:{free.getsockname()[1]}"
        with mock.patch("genmux.client._sleep"), self.assertRaises(GenmuxError) as caught:
            Client(api, "key").create("m", "a boat")
        self.assertEqual((caught.exception.status, caught.exception.code), (None, "unreachable"))
        self.assertTrue(caught.exception.idempotency_key)


class Files(unittest.TestCase):
    def setUp(self):
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def upload(self, *of_the_store: bytes) -> tuple[Server, BaseException | None]:
        """An upload to a store that answers so, and how it failed."""
        path = self.folder / "boat.png"
        path.write_bytes(b"}")
        with Server(*of_the_store) as store:
            form = json.dumps({"id": "a", "url": f"{store.url}/store", "fields": {"policy": "p"}}).encode()
            with Server(answer(form)) as api, mock.patch("genmux.client._sleep"):
                try:
                    Client(api.url, "secret-key").upload(path, "image/png")
                except GenmuxError as error:
                    return store, error
        return store, None

    def test_a_file_is_sent_again_while_that_may_help(self):
        store, error = self.upload(b"HTTP/1.1 2", answer(b"", "503 Slow Down"), answer(b"", "204 No Content"))
        self.assertEqual((error, len(store.requests)), (None, 3))
        self.assertTrue(all('name="policy"\r\n\r\np\r\n' in request for request in store.requests), store.requests)
        self.assertNotIn("secret-key", "".join(store.requests))
        store, error = self.upload(answer(b"", "503 Slow Down"))
        self.assertEqual((error.status, len(store.requests)), (503, 5))

    def test_a_file_that_is_refused_is_sent_once_and_follows_no_redirect(self):
        with Server(answer(b"")) as other:
            for status in ("403 Forbidden", "307 Temporary Redirect"):
                store, error = self.upload(answer(b"", status, more=f"location: {other.url}/\r\n"))
                self.assertEqual((error.status, error.code, len(store.requests)), (int(status[:3]), "upload", 1))
        self.assertEqual(other.requests, [])

    def test_only_a_file_of_the_size_of_an_image_is_read(self):
        os.mkfifo(self.folder / "pipe")
        for name, size in [("largest", 10 << 20), ("larger", (10 << 20) + 1), ("huge", 10 << 30)]:
            with (self.folder / name).open("wb") as file:
                file.truncate(size)
        with Server(answer(b"{}", "422 Unprocessable Content")) as api:
            client = Client(api.url, "key")
            for path in ("/dev/zero", self.folder / "pipe", self.folder, self.folder / "larger", self.folder / "huge"):
                with self.assertRaises(ValueError, msg=path):
                    client.upload(path, "image/png")
            with self.assertRaises(FileNotFoundError):
                client.upload(self.folder / "absent", "image/png")
            self.assertEqual(api.requests, [])
            with self.assertRaises(GenmuxError):
                client.upload(self.folder / "largest", "image/png")
            self.assertEqual(len(api.requests), 1)

    def test_a_form_that_is_none_is_an_error(self):
        for form in (b'{"id": "a"}', b'{"fields": []}', b'{"fields": {}, "url": "file:///etc/passwd"}', b'{"fields": {}}'):
            (self.folder / "boat.png").write_bytes(b"}")
            with Server(answer(form)) as api, self.assertRaises(GenmuxError) as caught:
                Client(api.url, "key").upload(self.folder / "boat.png", "image/png")
            self.assertEqual((caught.exception.status, caught.exception.code), (200, "unexpected_answer"))

    def test_a_download_that_fails_is_an_error_without_its_link(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            nothing = f"127.0.0.1:{free.getsockname()[1]}"
        with Server(answer(b"", "403 Forbidden")) as refusing, Server(answer(b"a", length=9)) as breaking:
            for host in (nothing, refusing.url[7:], breaking.url[7:]):
                media = {"url": f"http://{host}/file?signature=1", "sha256": "0"}
                job = json.dumps({"id": "job_1", "status": "succeeded", "media": [media]}).encode()
                with Server(answer(job)) as api, self.assertRaises(GenmuxError) as caught:
                    Client(api.url, "key").download({"id": "job_1"}, self.folder / "a.mp4")
                self.assertEqual(caught.exception.code, "download")
                self.assertNotIn("signature", str(caught.exception))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_deleted_file_is_named_as_the_reason(self):
        job = b'{"id": "job_1", "status": "succeeded", "media_deleted_at": "2026-11-30T08:00:00.000Z"}'
        with Server(answer(job)) as api, self.assertRaises(JobFailed) as caught:
            Client(api.url, "key").download({"id": "job_1"}, self.folder / "a.mp4")
        self.assertEqual(str(caught.exception), "job_1 succeeded: its file was deleted at 2026-11-30T08:00:00.000Z")


class Secrets(unittest.TestCase):
    def test_what_is_no_secret_verifies_nothing(self):
        for secret in ("", "whsec_", None, "whsec_%%", "whsec_YQ", "whsec_é", "whsec_ YWJj", "gmx_key_of_the_api"):
            with self.assertRaises(ValueError, msg=secret):
                verify(secret, {}, b"{}")


if __name__ == "__main__":
    unittest.main()

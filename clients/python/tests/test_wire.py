"""Against servers that answer badly. They need no stack."""

import socket
import struct
import threading
import time
import unittest
from unittest import mock

from genmux import Client, GenmuxError, verify

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


class Secrets(unittest.TestCase):
    def test_what_is_no_secret_verifies_nothing(self):
        for secret in ("", "whsec_", None, "whsec_%%", "whsec_YQ", "whsec_é", "whsec_ YWJj", "gmx_key_of_the_api"):
            with self.assertRaises(ValueError, msg=secret):
                verify(secret, {}, b"{}")


if __name__ == "__main__":
    unittest.main()

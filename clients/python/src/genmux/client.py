"""Calls the API: create, wait, download."""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Job = dict[str, Any]

ENDED = ("succeeded", "failed", "canceled")
# Answers after which the same call may succeed. All calls of this client may be repeated.
PASSING = (408, 425, 429, 500, 502, 503, 504)
TRIES = 5
# The longest wait of the API for a change, in seconds.
POLL_S = 25


class GenmuxError(Exception):
    """The API rejected a call, or could not be reached (then `status` is None).

    `code` is stable, for programs; `errors` names each wrong field with its allowed values.
    """

    def __init__(self, status: int | None, problem: dict[str, Any], request_id: str | None = None):
        self.status = status
        self.code: str = problem.get("code") or "unreachable"
        self.detail: str = problem.get("detail") or ""
        self.errors: list[dict[str, Any]] = problem.get("errors") or []
        self.request_id = request_id
        fields = "".join(f"; {error.get('field')}: {error.get('detail')}" for error in self.errors)
        super().__init__(f"{status or ''} {self.code}: {self.detail}{fields}".strip())


class JobFailed(Exception):
    """A job that has ended without a file. `job["error"]` says why."""

    def __init__(self, job: Job):
        self.job = job
        error = job.get("error") or {}
        super().__init__(f"{job['id']} {job['status']}: {error.get('code', '')} {error.get('message', '')}".strip())


class Client:
    """A client of one API with one key: from `GENMUX_API` and `GENMUX_KEY`, if not given."""

    def __init__(self, api: str | None = None, key: str | None = None, timeout: float = 60):
        api = api or os.environ.get("GENMUX_API")
        key = key or os.environ.get("GENMUX_KEY")
        if not api or not key:
            raise ValueError("name the API and its key: Client(api, key), or GENMUX_API and GENMUX_KEY")
        self._api = api.rstrip("/")
        self._key = key
        self._timeout = timeout

    def models(self) -> list[dict[str, Any]]:
        """The models, with the limits of each route and prices."""
        return self._call("GET", "/v1/models")[0]["models"]

    def account(self) -> dict[str, Any]:
        """The balance, and the newest entries of the ledger."""
        return self._call("GET", "/v1/account")[0]

    def create(self, model: str, prompt: str, *, idempotency_key: str | None = None, **fields: Any) -> Job:
        """Submits a job. When this returns, it is charged and will not be lost.

        The same `idempotency_key` never makes a second job; without one, each call of this method makes
        one, however often it has to be sent. `fields` are those of the API, such as `duration_s`.
        """
        body = {"model": model, "prompt": prompt, **fields}
        headers = {"idempotency-key": json.dumps(idempotency_key or str(uuid.uuid4()))}
        return self._call("POST", "/v1/jobs", body, headers)[0]

    def upload(self, path: str | Path, content_type: str) -> dict[str, str]:
        """Uploads an image, and returns it as the `image` or `last_frame` of a request. A repeat is the same upload."""
        content = Path(path).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        announced = {"content_type": content_type, "bytes": len(content), "sha256": digest}
        form = self._call("POST", "/v1/uploads", announced)[0]
        boundary = uuid.uuid4().hex
        texts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in form["fields"].items()]
        parts = [*texts, b'name="file"; filename="image"\r\n\r\n' + content]
        head = f"--{boundary}\r\nContent-Disposition: form-data; ".encode()
        body = b"".join(head + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()
        # The form is for the store, which does not get the key.
        headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
        request = urllib.request.Request(form["url"], body, headers, method="POST")
        try:
            urllib.request.urlopen(request, timeout=self._timeout).close()
        except urllib.error.HTTPError as error:
            raise GenmuxError(error.code, {"code": "upload", "detail": "the store refuses the file"}) from None
        return {"upload": form["id"]}

    def get(self, job_id: str) -> Job:
        """A job; if it has succeeded, with a link to its file that is valid for an hour."""
        return self._call("GET", f"/v1/jobs/{_part(job_id)}")[0]

    def list(self, status: str | None = None) -> Iterator[Job]:
        """All jobs, newest first."""
        cursor = None
        while True:
            query = {"limit": "100", "status": status, "cursor": cursor}
            given = urllib.parse.urlencode({name: value for name, value in query.items() if value})
            page = self._call("GET", f"/v1/jobs?{given}")[0]
            yield from page["jobs"]
            cursor = page["next_cursor"]
            if not cursor:
                return

    def cancel(self, job_id: str) -> Job:
        """Requests the cancel of a job. `refund_micro_credits` is what comes back."""
        return self._call("POST", f"/v1/jobs/{_part(job_id)}/cancel")[0]

    def wait(self, job_id: str, timeout: float = 3600) -> Job:
        """The job at its end. Raises `JobFailed` without a file, and `TimeoutError` (the job goes on)."""
        end = time.monotonic() + timeout
        job, tag = None, None
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{job_id} is not done after {timeout} s; it continues")
            headers = {"prefer": f"wait={max(1, min(POLL_S, int(left)))}"}
            if tag:
                headers["if-none-match"] = tag
            newer, answer = self._call("GET", f"/v1/jobs/{_part(job_id)}", None, headers)
            if newer is not None:
                job, tag = newer, answer.get("etag")
            if job and job["status"] == "succeeded":
                return job
            if job and job["status"] in ENDED:
                raise JobFailed(job)

    def download(self, job: Job, path: str | Path) -> Path:
        """Saves a succeeded job's file, and checks its SHA-256. Nothing is left of one that fails."""
        path = Path(path)
        media = (self.get(job["id"]).get("media") or [None])[0]
        if media is None:
            raise JobFailed(job)
        part = path.with_name(path.name + ".part")
        digest = hashlib.sha256()
        try:
            # The link is to the store, which does not get the key.
            with urllib.request.urlopen(media["url"], timeout=self._timeout) as answer, part.open("wb") as out:
                while chunk := answer.read(1 << 20):
                    digest.update(chunk)
                    out.write(chunk)
            if digest.hexdigest() != media["sha256"]:
                raise OSError("the file is not the one that was stored: try again")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def _call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[Any, dict[str, str]]:
        """The answer and its headers; None if it is not modified."""
        data = None if body is None else json.dumps(body).encode()
        sent = {"authorization": f"Bearer {self._key}", "content-type": "application/json", **(headers or {})}
        for number in range(1, TRIES + 1):
            request = urllib.request.Request(self._api + path, data, sent, method=method)
            try:
                with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                    text = answer.read()
                    return json.loads(text) if text else None, _lower(answer.headers)
            except urllib.error.HTTPError as error:
                answered = _lower(error.headers)
                if error.code == 304:
                    return None, answered
                problem = GenmuxError(error.code, _problem(error.read()), answered.get("x-request-id"))
                pause = answered.get("retry-after", "")
                # A limit of the account that does not pass soon is for the caller to see.
                if error.code not in PASSING or number == TRIES or (pause.isdigit() and int(pause) > 60):
                    raise problem from None
                _sleep(number, int(pause) if pause.isdigit() else 0)
            except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
                if number == TRIES:
                    raise GenmuxError(None, {"detail": f"the API is not reachable: {error}"}) from error
                _sleep(number, 0)
        raise AssertionError("the last try returns or raises")


def _sleep(number: int, at_least: int) -> None:
    time.sleep(max(at_least, random.uniform(0.5, 1) * min(8, 2 ** (number - 1) / 2)))


def _part(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _problem(body: bytes) -> dict[str, Any]:
    try:
        problem = json.loads(body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}

"""Calls the API: create, wait, download."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import re
import stat
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
# The longest wait of the API for a change, and the shortest time between two polls, in seconds.
POLL_S = 25
POLL_FLOOR_S = 1.0
IMAGE_BYTES_MAX = 10 << 20


class GenmuxError(Exception):
    """The API rejected a call, could not be reached (then `status` is None), or something else answered.

    `code` is stable, for programs; `errors` names each wrong field with its allowed values.
    After `create`, `idempotency_key` is the key that it sent: a repeat with it makes at most one job.
    """

    def __init__(self, status: int | None, problem: dict[str, Any], request_id: str | None = None):
        errors = problem.get("errors")
        self.status = status
        self.code = str(problem.get("code") or ("unreachable" if status is None else "unexpected_answer"))
        self.detail = str(problem.get("detail") or "")
        self.errors: list[dict[str, Any]] = [e for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []
        self.request_id = request_id
        self.idempotency_key: str | None = None
        fields = "".join(f"; {error.get('field')}: {error.get('detail')}" for error in self.errors)
        super().__init__(f"{status or ''} {self.code}: {self.detail}{fields}".strip())


class JobFailed(Exception):
    """A job that has ended without a file, or whose file was deleted. `job["error"]` says why it has none."""

    def __init__(self, job: Job):
        self.job = job
        error, deleted_at = job.get("error") or {}, job.get("media_deleted_at")
        why = f"its file was deleted at {deleted_at}" if deleted_at else f"{error.get('code', '')} {error.get('message', '')}"
        super().__init__(f"{job.get('id')} {job.get('status')}: {why}".strip())


class Client:
    """A client of one API with one key: from `GENMUX_API` and `GENMUX_KEY`, if not given."""

    def __init__(self, api: str | None = None, key: str | None = None, timeout: float = 60):
        api = api or os.environ.get("GENMUX_API")
        key = key or os.environ.get("GENMUX_KEY")
        if not api or not key:
            raise ValueError("name the API and its key: Client(api, key), or GENMUX_API and GENMUX_KEY")
        if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", api):
            raise ValueError("the API is an http or https URL, without a query")
        self._api = api.rstrip("/")
        self._key = key.strip()
        self._timeout = timeout
        self._opener = urllib.request.build_opener(_NoRedirect)

    def models(self) -> list[dict[str, Any]]:
        """The models, with the limits of each route and prices."""
        return self._call("models", "GET", "/v1/models")[0]["models"]

    def account(self) -> dict[str, Any]:
        """The balance, and the newest entries of the ledger."""
        return self._call("id", "GET", "/v1/account")[0]

    def create(self, model: str, prompt: str, *, idempotency_key: str | None = None, **fields: Any) -> Job:
        """Submits a job. When this returns, it is charged and will not be lost.

        The same `idempotency_key` never makes a second job; without one, each call of this method makes
        one, however often it has to be sent. `fields` are those of the API, such as `duration_s`.
        """
        body = {"model": model, "prompt": prompt, **fields}
        key = str(uuid.uuid4()) if idempotency_key is None else idempotency_key
        try:
            return self._call("id", "POST", "/v1/jobs", body, {"idempotency-key": json.dumps(key)})[0]
        except GenmuxError as error:
            error.idempotency_key = key
            raise

    def upload(self, path: str | Path, content_type: str) -> dict[str, str]:
        """Uploads an image, and returns it as the `image` or `last_frame` of a request. A repeat is the same upload.

        Raises `ValueError` for what is no file, or too large.
        """
        content = _image(Path(path))
        digest = hashlib.sha256(content).hexdigest()
        announced = {"content_type": content_type, "bytes": len(content), "sha256": digest}
        form = self._call("fields", "POST", "/v1/uploads", announced)[0]
        if not isinstance(form["fields"], dict) or not re.match("https?://", str(form.get("url"))):
            raise GenmuxError(200, _problem(200, {}))
        boundary = uuid.uuid4().hex
        texts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in form["fields"].items()]
        parts = [*texts, b'name="file"; filename="image"\r\n\r\n' + content]
        head = f"--{boundary}\r\nContent-Disposition: form-data; ".encode()
        body = b"".join(head + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()
        # The form is for the store, which does not get the key.
        headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
        status = self._sent("the store", "POST", form["url"], body, headers)[0]
        if not 200 <= status < 300:
            raise GenmuxError(status, {"code": "upload", "detail": "the store refuses the file"})
        return {"upload": digest}

    def get(self, job_id: str) -> Job:
        """A job; if it has succeeded, with a link to its file that is valid for an hour."""
        return self._call("id", "GET", f"/v1/jobs/{_part(job_id)}")[0]

    def list(self, status: str | None = None) -> Iterator[Job]:
        """All jobs, newest first."""
        cursor = None
        while True:
            query = {"limit": "100", "status": status, "cursor": cursor}
            given = urllib.parse.urlencode({name: value for name, value in query.items() if value})
            page = self._call("jobs", "GET", f"/v1/jobs?{given}")[0]
            yield from page["jobs"]
            cursor = page.get("next_cursor")
            if not cursor:
                return

    def cancel(self, job_id: str) -> Job:
        """Requests the cancel of a job. `refund_micro_credits` is what comes back."""
        return self._call("id", "POST", f"/v1/jobs/{_part(job_id)}/cancel")[0]

    def wait(self, job_id: str, timeout: float = 3600) -> Job:
        """The job at its end. Raises `JobFailed` without a file, and `TimeoutError` (the job goes on)."""
        end = time.monotonic() + timeout
        longest = min(POLL_S, int(self._timeout / 2))
        job, tag = None, None
        while True:
            asked = time.monotonic()
            headers = {"prefer": f"wait={max(1, min(longest, int(end - asked)))}"}
            if tag:
                headers["if-none-match"] = tag
            newer, answered = self._call("status", "GET", f"/v1/jobs/{_part(job_id)}", None, headers)
            if newer is not None:
                job, tag = newer, answered.get("etag")
            if job and job["status"] == "succeeded":
                return job
            if job and job["status"] in ENDED:
                raise JobFailed(job)
            # A server that does not wait is not polled in a hot loop.
            next_poll = max(time.monotonic(), asked + POLL_FLOOR_S)
            time.sleep(max(0.0, min(next_poll, end) - time.monotonic()))
            if next_poll >= end:
                raise TimeoutError(f"{job_id} is not done after {timeout} s; it continues")

    def download(self, job: Job, path: str | Path) -> Path:
        """Saves a succeeded job's file, and checks its SHA-256. Nothing is left of one that fails."""
        path = Path(path)
        job = self.get(job["id"])
        media = (job.get("media") or [None])[0]
        if media is None:
            raise JobFailed(job)
        part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
        digest = hashlib.sha256()
        try:
            with part.open("xb") as out:
                for chunk in self._chunks(media["url"]):
                    digest.update(chunk)
                    out.write(chunk)
            if digest.hexdigest() != media["sha256"]:
                raise GenmuxError(None, {"code": "download", "detail": "the file is not the one that was stored: try again"})
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def _call(
        self, member: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[Any, dict[str, str]]:
        """The answer, which has this member, and its headers; None if it is not modified."""
        data = None if body is None else json.dumps(body).encode()
        sent = {"authorization": f"Bearer {self._key}", "content-type": "application/json", **(headers or {})}
        status, answered, text = self._sent("the API", method, self._api + path, data, sent)
        if status == 304:
            return None, answered
        value = _object(text)
        if status < 300 and member in value:
            return value, answered
        raise GenmuxError(status, _problem(status, value), answered.get("x-request-id"))

    def _sent(
        self, whom: str, method: str, url: str, data: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        """The status, the headers and the body of the answer, after as many tries as it takes."""
        for number in range(1, TRIES + 1):
            try:
                status, answered, text = self._send(urllib.request.Request(url, data, headers, method=method))
            except (OSError, http.client.HTTPException) as error:
                if number == TRIES:
                    raise GenmuxError(None, {"detail": f"{whom} is not reachable: {error}"}) from error
                _sleep(number, 0)
                continue
            pause = _seconds(answered.get("retry-after", ""))
            # A limit of the account that does not pass soon is for the caller to see.
            if status not in PASSING or number == TRIES or pause > 60:
                return status, answered, text
            _sleep(number, pause)
        raise AssertionError("the last try returns or raises")

    def _chunks(self, url: str) -> Iterator[bytes]:
        """A file of the store, which does not get the key. The link is a credential: it is in no error."""
        try:
            with urllib.request.urlopen(url, timeout=self._timeout) as answer:
                while chunk := answer.read(1 << 20):
                    yield chunk
        except urllib.error.HTTPError as error:
            raise GenmuxError(error.code, {"code": "download", "detail": "the store has no such file"}) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = error if isinstance(error, OSError) else type(error).__name__
            raise GenmuxError(None, {"code": "download", "detail": f"the file did not arrive: {why}"}) from None

    def _send(self, request: urllib.request.Request) -> tuple[int, dict[str, str], bytes]:
        """The status, the headers and the whole body of the answer, whatever the status is."""
        try:
            answer = self._opener.open(request, timeout=self._timeout)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Where a redirect leads to would get the key."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _image(path: Path) -> bytes:
    """The content of a regular file, in which an image has room: others may have no end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path} is not a regular file")
    with path.open("rb") as file:
        content = file.read(IMAGE_BYTES_MAX + 1)
    if len(content) > IMAGE_BYTES_MAX:
        raise ValueError(f"{path} is too large: an image may have {IMAGE_BYTES_MAX} bytes")
    return content


def _sleep(number: int, at_least: int) -> None:
    time.sleep(max(at_least, random.uniform(0.5, 1) * min(8, 2 ** (number - 1) / 2)))


def _part(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _seconds(text: str) -> int:
    """A `Retry-After` in seconds; 0 for one that is a date."""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else 0


def _object(text: bytes) -> dict[str, Any]:
    """A JSON object; empty if it is anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _problem(status: int, value: dict[str, Any]) -> dict[str, Any]:
    if status < 300:
        return {"detail": "the answer is not one of the API: check its URL"}
    if status < 400:
        return {"detail": "a redirect is not followed, because its target would get the key: name the API itself"}
    return value

"""Model Studio's own client against its simulator; the type of an answer is that of its field."""

# requires: dashscope==2.0.2

import sys
import urllib.request

import dashscope
from dashscope import VideoSynthesis

dashscope.base_http_api_url = f"{sys.argv[1]}/api/v1"
dashscope.api_key = "secret"
IMAGE = "https://images.example/boat.png"


def frame(kind):
    return {"type": kind, "url": IMAGE}


def started(prompt, model="wan2.7-t2v", **order):
    task = VideoSynthesis.async_call(model=model, prompt=prompt, **order)
    assert (task.status_code, task.output.task_status, type(task.output.task_id)) == (200, "PENDING", str), task
    return task


def refused(status, code, answer):
    assert (answer.status_code, answer.code) == (status, code), answer


film = VideoSynthesis.call(model="wan2.7-t2v", prompt="a paper boat", negative_prompt="rain", resolution="720P",
                           ratio="9:16", duration=4, seed=7, watermark=False, prompt_extend=True)
assert (film.status_code, film.output.task_status) == (200, "SUCCEEDED"), film
assert (film.usage.video_count, film.usage["duration"], film.usage["SR"]) == (1, 4, 720), film
assert urllib.request.urlopen(film.output.video_url).read()[4:8] == b"ftyp"

both = VideoSynthesis.wait(started("a boat", "wan2.7-i2v", media=[frame("first_frame"), frame("last_frame")]))
assert both.output.task_status == "SUCCEEDED", both
horse = VideoSynthesis.wait(started("a boat", "happyhorse-1.1-i2v", media=[frame("first_frame")], duration=3))
assert horse.output.task_status == "SUCCEEDED", horse

failed = VideoSynthesis.wait(started("a [[sim: fail=content_policy]]"))
assert (failed.output.task_status, failed.output["code"]) == ("FAILED", "DataInspectionFailed"), failed

waiting = started("a [[sim: latency=600]]")
listed = VideoSynthesis.list(model_name="wan2.7-t2v", status="PENDING", page_size=5)
assert (listed.output["total"], listed.output["data"][0]["task_id"]) == (1, waiting.output.task_id), listed
assert listed.output["data"][0]["request_id"] == waiting.request_id, listed
assert VideoSynthesis.cancel(waiting).status_code == 200
assert VideoSynthesis.fetch(waiting).output.task_status == "CANCELED"
refused(400, "UnsupportedOperation", VideoSynthesis.cancel(waiting))
refused(400, "UnsupportedOperation", VideoSynthesis.cancel(film))
assert VideoSynthesis.fetch("0385dc79-0000-4000-8000-000000000000").output.task_status == "UNKNOWN"

for status, code, prompt in [
    (401, "InvalidApiKey", "a [[sim: create=refuse:401]]"),
    (400, "Arrearage", "a [[sim: create=refuse:403-balance]]"),
    (400, "DataInspectionFailed", "a [[sim: create=refuse:policy]]"),
    (429, "Throttling.RateQuota", "a [[sim: create=refuse:429]]"),
    (500, "InternalError", "a [[sim: create=refuse:500]]"),
]:
    refused(status, code, VideoSynthesis.async_call(model="wan2.7-t2v", prompt=prompt))
refused(400, "InvalidParameter", VideoSynthesis.async_call(model="wan2.7-t2v", prompt="a", duration=99))
refused(400, "InvalidParameter", VideoSynthesis.async_call(model="wan9", prompt="a"))

"""ModelArk's own client against its simulator; the type of an answer is that of its field."""

# requires: arkruntime==0.17.0

import sys
import time
import urllib.request

import arkruntime
from arkruntime import Ark

client = Ark(base_url=f"{sys.argv[1]}/api/v3", api_key="secret", max_retries=0)
tasks = client.content_generation.tasks
MODEL = "dreamina-seedance-2-0-260128"


def text(prompt):
    return {"type": "text", "text": prompt}


def frame(role):
    return {"type": "image_url", "image_url": {"url": "https://images.example/boat.png"}, "role": role}


def started(*content, model=MODEL, **order):
    return tasks.create(model=model, content=list(content), **order).id


def ended(task_id):
    for _ in range(100):
        task = tasks.get(task_id=task_id)
        assert (task.id, type(task.created_at)) == (task_id, int), task
        if task.status not in ("queued", "running"):
            return task
        time.sleep(0.1)
    raise AssertionError(f"{task} does not end")


def refused(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except error:
        return
    raise AssertionError(f"{args} {kwargs} was taken")


film = ended(started(text("a paper boat"), frame("first_frame"), frame("last_frame"), resolution="480p", ratio="9:16",
                     duration=4, generate_audio=False, watermark=False, execution_expires_after=3600))
assert (film.status, film.resolution, film.ratio, film.duration, film.framespersecond) == \
    ("succeeded", "480p", "9:16", 4, 24), film
assert (film.execution_expires_after, film.generate_audio, film.error) == (3600, False, None), film
assert film.usage.completion_tokens == film.usage.total_tokens > 0, film
assert urllib.request.urlopen(film.content.video_url).read()[4:8] == b"ftyp"

failed = ended(started(text("a [[sim: fail=content_policy]]")))
assert (failed.status, failed.error.code) == ("failed", "OutputVideoSensitiveContentDetected"), failed

waiting = started(text("a [[sim: latency=600]]"), model="dreamina-seedance-2-5-260628")
listed = tasks.list(page_num=1, page_size=2, model="dreamina-seedance-2-5-260628", status="queued")
assert (listed.total, [task.id for task in listed.items]) == (1, [waiting]), listed
assert tasks.delete(task_id=waiting) is None
assert tasks.get(task_id=waiting).status == "cancelled"
refused(arkruntime._exceptions.ArkConflictError, tasks.delete, task_id=waiting)

assert tasks.delete(task_id=film.id) is None
refused(arkruntime._exceptions.ArkNotFoundError, tasks.get, task_id=film.id)
refused(arkruntime._exceptions.ArkBadRequestError, started, text("a boat"), duration=99)
refused(arkruntime._exceptions.ArkNotFoundError, started, text("a boat"), model="seedance-9")
refused(arkruntime._exceptions.ArkAuthenticationError, started, text("a [[sim: create=refuse:401]]"))
refused(arkruntime._exceptions.ArkPermissionDeniedError, started, text("a [[sim: create=refuse:403-balance]]"))
refused(arkruntime._exceptions.ArkRateLimitError, started, text("a [[sim: create=refuse:429]]"))
refused(arkruntime._exceptions.ArkInternalServerError, started, text("a [[sim: create=refuse:500]]"))

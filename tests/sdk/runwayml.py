"""Runway's own client against its simulator; it checks every answer by its types."""

# requires: runwayml==5.24.0

import sys
import time
import urllib.request

import runwayml
from runwayml import RunwayML

client = RunwayML(base_url=sys.argv[1], api_key="secret", max_retries=0, _strict_response_validation=True)


def text(**order):
    order = {"model": "gen4.5", "prompt_text": "a paper boat", "ratio": "1280:720", "duration": 5, **order}
    return client.text_to_video.create(**order)


def ended(task):
    for _ in range(100):
        task = client.tasks.retrieve(task.id)
        if task.status in ("SUCCEEDED", "FAILED", "CANCELLED"):
            return task
        time.sleep(0.1)
    raise AssertionError(f"{task} does not end")


def refused(error, **order):
    try:
        text(**order)
    except error:
        return
    raise AssertionError(f"{order} was taken")


done = ended(text())
assert done.status == "SUCCEEDED" and len(done.output) == 1, done
assert urllib.request.urlopen(done.output[0]).read()[4:8] == b"ftyp"

image = client.image_to_video.create(
    model="gen4_turbo", prompt_image="https://images.example/boat.png", prompt_text="a boat", ratio="1584:672",
    duration=3, seed=7)
assert ended(image).status == "SUCCEEDED"

failed = ended(text(prompt_text="a [[sim: fail=content_policy]]"))
assert (failed.status, failed.failure_code) == ("FAILED", "SAFETY.INPUT.TEXT"), failed

running = text(prompt_text="a [[sim: latency=60]]")
client.tasks.delete(running.id)
assert client.tasks.retrieve(running.id).status == "CANCELLED"
# What has ended is removed, and its output with it.
client.tasks.delete(done.id)
try:
    client.tasks.retrieve(done.id)
    raise AssertionError("a removed task is still there")
except runwayml.NotFoundError:
    pass

assert client.organization.retrieve().credit_balance > 0

refused(runwayml.BadRequestError, ratio="16:9")
refused(runwayml.BadRequestError, duration=11)
refused(runwayml.BadRequestError, prompt_text="a [[sim: create=refuse:403-balance]]")
refused(runwayml.AuthenticationError, prompt_text="a [[sim: create=refuse:401]]")
refused(runwayml.RateLimitError, prompt_text="a [[sim: create=refuse:429]]")
refused(runwayml.InternalServerError, prompt_text="a [[sim: create=refuse:503]]")

"""The client of Luma's older API against its simulator; it checks every answer by its types."""

# requires: lumaai==1.21.0

import sys
import time
import urllib.request

import lumaai
from lumaai import LumaAI

client = LumaAI(base_url=f"{sys.argv[1]}/dream-machine/v1", auth_token="secret", max_retries=0,
                _strict_response_validation=True)
FRAME = {"type": "image", "url": "https://images.example/boat.png"}


def made(**order):
    generation = client.generations.video.create(**order)
    assert (generation.state, generation.model) == ("queued", order["model"]), generation
    for _ in range(100):
        generation = client.generations.get(generation.id)
        if generation.state in ("completed", "failed"):
            return generation
        time.sleep(0.1)
    raise AssertionError(f"{generation} does not end")


def refused(error, **order):
    try:
        client.generations.video.create(**{"prompt": "a boat", "model": "ray-2", **order})
    except error:
        return
    raise AssertionError(f"{order} was taken")


first = made(prompt="a paper boat", model="ray-2", duration="9s", resolution="540p", aspect_ratio="9:21",
             keyframes={"frame0": FRAME, "frame1": FRAME})
assert first.request.aspect_ratio == "9:21" and first.request.keyframes.frame1.url == FRAME["url"], first
assert urllib.request.urlopen(first.assets.video).read()[4:8] == b"ftyp"

failed = made(prompt="a [[sim: fail=content_policy]]", model="ray-flash-2")
assert failed.state == "failed" and "moderation" in failed.failure_reason, failed

listed = client.generations.list(limit=10)
assert [item.id for item in listed.generations] == [failed.id, first.id] and not listed.has_more, listed
assert client.credits.get().credit_balance > 0
assert client.ping.check().message == "pong"

client.generations.delete(first.id)
try:
    client.generations.get(first.id)
    raise AssertionError("a removed generation is still there")
except lumaai.NotFoundError:
    pass

refused(lumaai.BadRequestError, duration="10s")
refused(lumaai.BadRequestError, prompt="a [[sim: create=refuse:policy]]")
refused(lumaai.AuthenticationError, prompt="a [[sim: create=refuse:401]]")
refused(lumaai.RateLimitError, prompt="a [[sim: create=refuse:429]]")
refused(lumaai.InternalServerError, prompt="a [[sim: create=refuse:503]]")

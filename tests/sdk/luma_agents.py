"""The client of Luma's newer API against its simulator; it checks every answer by its types."""

# requires: luma-agents==0.5.0

import sys
import time
import urllib.request

import luma_agents
from luma_agents import Luma

client = Luma(base_url=f"{sys.argv[1]}/v1", auth_token="secret", max_retries=0, _strict_response_validation=True)
FRAME = {"url": "https://images.example/boat.png"}


def made(**order):
    generation = client.generations.create(**order)
    assert (generation.state, generation.model) == ("queued", order["model"]), generation
    for _ in range(100):
        generation = client.generations.get(generation.id)
        if generation.state in ("completed", "failed"):
            return generation
        time.sleep(0.1)
    raise AssertionError(f"{generation} does not end")


def refused(error, **order):
    try:
        client.generations.create(**{"prompt": "a boat", "model": "ray-3.2", "type": "video", **order})
    except error:
        return
    raise AssertionError(f"{order} was taken")


film = made(prompt="a paper boat", model="ray-3.2", type="video", aspect_ratio="21:9",
            video={"duration": "5s", "resolution": "720p", "start_frame": FRAME, "end_frame": FRAME})
assert film.output and film.output[0].type == "video", film
assert urllib.request.urlopen(film.output[0].url).read()[4:8] == b"ftyp"

film = made(prompt="a paper boat", model="ray-3.2", type="video",
            video={"duration": "10s", "keyframes": [FRAME], "keyframe_indexes": [0]})
assert film.state == "completed", film

still = made(prompt="a paper boat", model="uni-1", type="image", aspect_ratio="3:1", output_format="png")
assert still.output and still.output[0].type == "image", still
assert urllib.request.urlopen(still.output[0].url).read()[1:4] == b"PNG"

failed = made(prompt="a [[sim: fail=content_policy]]", model="ray-3.2", type="video")
assert (failed.state, failed.failure_code) == ("failed", "content_moderated"), failed

assert client.files.list(limit=1).data == []
try:
    client.generations.get("none")
    raise AssertionError("an unknown generation is there")
except luma_agents.NotFoundError:
    pass

refused(luma_agents.UnprocessableEntityError, video={"duration": "10s", "start_frame": FRAME})
refused(luma_agents.AuthenticationError, prompt="a [[sim: create=refuse:401]]")
refused(luma_agents.RateLimitError, prompt="a [[sim: create=refuse:429]]")
refused(luma_agents.InternalServerError, prompt="a [[sim: create=refuse:500]]")

"""OpenAI's own client, with another base URL, against the API: what its users have is enough."""

# requires: openai==3.54.0

import sys
import warnings

import openai

api, proxy, key, image = sys.argv[1:]
warnings.simplefilter("ignore", DeprecationWarning)
client = openai.OpenAI(base_url=f"{api}/v1", api_key=key)
MODEL = "pika-2.2"


def refused(error, code, call, **order):
    try:
        call(**order)
    except error as refusal:
        assert refusal.code == code, refusal
    else:
        raise AssertionError(f"{order} was taken")


assert MODEL in {model.id for model in client.models.list()}

video = client.videos.create_and_poll(
    model=MODEL, prompt="a paper boat", seconds="5", size="1280x720", poll_interval_ms=100)
assert (video.status, video.progress, video.error) == ("completed", 100, None), video
assert client.videos.download_content(video.id).read()[4:8] == b"ftyp"

with open(image, "rb") as file:
    moving = client.videos.create(model=MODEL, prompt="a boat", input_reference=file, extra_body={"seed": 7})
assert moving.status == "queued", moving
refused(openai.ConflictError, "not_finished", client.videos.delete, video_id=moving.id)
assert client.videos.poll(moving.id, poll_interval_ms=100).status == "completed"
reference = {"input_reference": {"image_url": f"{proxy}/boat.png"}}
by_url = client.videos.create(model=MODEL, prompt="a boat", extra_body=reference)
assert client.videos.poll(by_url.id, poll_interval_ms=100).status == "completed"

failed = client.videos.create_and_poll(
    model=MODEL, prompt="a [[sim: fail=content_policy]]", poll_interval_ms=100)
assert (failed.status, failed.error.code) == ("failed", "moderation_blocked"), failed

ids = [video.id, moving.id, by_url.id, failed.id]
assert [one.id for one in client.videos.list(limit=2, order="asc")] == ids
assert [one.id for one in client.videos.list(limit=3)] == ids[::-1]

assert client.videos.delete(failed.id).deleted
assert client.videos.delete(video.id).deleted
refused(openai.NotFoundError, "not_found", client.videos.retrieve, video_id=video.id)
assert [one.id for one in client.videos.list()] == [by_url.id, moving.id]

# The proxy drops the answer to the first call that is accepted, and answers 503.
lossy = openai.OpenAI(base_url=f"{proxy}/v1", api_key=key)
with open(image, "rb") as file:
    once = lossy.videos.create(model=MODEL, prompt="once", input_reference=file)
assert [one.id for one in client.videos.list()] == [once.id, by_url.id, moving.id]
assert len({lossy.videos.create(model=MODEL, prompt="twice on purpose").id for _ in range(2)}) == 2

refused(openai.BadRequestError, "model_not_found", client.videos.create, prompt="a")
refused(openai.BadRequestError, "invalid_value", client.videos.create, model=MODEL, prompt="a", seconds="4")
refused(openai.BadRequestError, "invalid_value", client.videos.create, model=MODEL, prompt="a", size="1x1")
refused(openai.BadRequestError, "unsupported", client.videos.remix, video_id=moving.id, prompt="a")
stranger = openai.OpenAI(base_url=f"{api}/v1", api_key="sk-123")
refused(openai.AuthenticationError, "invalid_api_key", stranger.videos.list)

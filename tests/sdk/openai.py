"""OpenAI's own client, in a version that still has `videos`, against the simulator of that shape."""

# requires: openai==3.54.0

import sys
import warnings

import openai

warnings.simplefilter("ignore", DeprecationWarning)
client = openai.OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="secret", max_retries=0)
TEXT, IMAGE = "Wan-AI/Wan2.2-T2V-A14B-Diffusers", "Wan-AI/Wan2.2-I2V-A14B-Diffusers"


def refused(error, code, **order):
    try:
        client.videos.create(**order)
    except error as refusal:
        assert refusal.code == code, refusal
    else:
        raise AssertionError(f"{order} was taken")


assert {model.id for model in client.models.list()} == {TEXT, IMAGE}

video = client.videos.create(prompt="a paper boat", model=TEXT, seconds="4", size="1280x720")
assert (video.status, video.seconds, video.size) == ("queued", "4", "1280x720"), video
done = client.videos.poll(video.id, poll_interval_ms=100)
assert (done.status, done.progress, done.error) == ("completed", 100, None), done
content = client.videos.download_content(video.id).read()
assert content[4:8] == b"ftyp", content[:16]

image = ("boat.png", b"\x89PNG\r\n\x1a\n", "image/png")
video = client.videos.create_and_poll(prompt="a boat", model=IMAGE, input_reference=image, poll_interval_ms=100)
assert video.status == "completed", video
assert client.videos.delete(video.id).deleted
try:
    client.videos.retrieve(video.id)
    raise AssertionError("a deleted video is still there")
except openai.NotFoundError:
    pass

video = client.videos.create_and_poll(prompt="a [[sim: fail=content_policy]]", model=TEXT, poll_interval_ms=100)
assert (video.status, video.error.code) == ("failed", "moderation_blocked"), video

refused(openai.RateLimitError, "insufficient_quota", prompt="a [[sim: create=refuse:403-balance]]")
refused(openai.RateLimitError, "rate_limit_exceeded", prompt="a [[sim: create=refuse:429]]")
refused(openai.BadRequestError, "moderation_blocked", prompt="a [[sim: create=refuse:policy]]")
refused(openai.BadRequestError, "invalid_value", prompt="a", seconds="5")
refused(openai.AuthenticationError, "invalid_api_key", prompt="a [[sim: create=refuse:401]]")
refused(openai.InternalServerError, "server_error", prompt="a [[sim: create=refuse:500]]")

"""Google's own client against the simulator of Gemini: interactions, and what it makes of refusals."""

# requires: google-genai==3.4.0

import base64
import sys
import time
import urllib.request

from google import genai

client = genai.Client(api_key="secret", http_options={"base_url": sys.argv[1], "api_version": "v1beta"})
FORMAT = {"type": "video", "aspect_ratio": "16:9", "duration": "4s", "resolution": "720p", "delivery": "uri"}


def begun(prompt, **more):
    return client.interactions.create(model="gemini-omni-1.2-flash", input=prompt, response_format=FORMAT,
                                      background=True, store=True, **more)


def ended(prompt, **more):
    interaction = begun(prompt, **more)
    assert interaction.status == "queued" and interaction.id, interaction
    for _ in range(100):
        interaction = client.interactions.get(interaction.id)
        if interaction.status not in ("queued", "in_progress"):
            return interaction
        time.sleep(0.1)
    raise AssertionError(f"{interaction} does not end")


def refused(code, prompt):
    try:
        begun(prompt)
    except Exception as error:
        assert error.status_code == code, (code, repr(error))
        return
    raise AssertionError(f"{prompt} was taken")


made = ended([{"type": "text", "text": "a paper boat"},
              {"type": "image", "mime_type": "image/png", "data": "aW1hZ2U="}])
assert made.status == "completed", made
video = made.output_video
assert video.mime_type == "video/mp4", video
request = urllib.request.Request(f"{video.uri}:download?alt=media", headers={"x-goog-api-key": "secret"})
assert urllib.request.urlopen(request).read()[4:8] == b"ftyp"

inline = ended("a [[sim: gemini=inline]]").output_video
assert inline.data and not inline.uri, inline

failed = ended("a [[sim: fail=content_policy]]")
assert failed.status == "failed" and "safety" in failed.errors[0].message, failed
assert ended("a [[sim: gemini=budget_exceeded]]").status == "budget_exceeded"
assert ended("a [[sim: result=422]]").output_video is None

running = begun("a [[sim: latency=60]]")
assert client.interactions.cancel(running.id).status == "cancelled"
client.interactions.delete(running.id)


def drawn(prompt, **more):
    return client.interactions.create(model="gemini-nano-banana-2.1", input=prompt, **more,
                                      response_format={"type": "image", "aspect_ratio": "16:9", "image_size": "2K"})


still = drawn("a paper boat")
image = still.output_image
assert still.status == "completed" and image.mime_type == "image/png", still
assert base64.b64decode(image.data).startswith(b"\x89PNG"), image
assert client.interactions.get(still.id).output_image.data == image.data
again = drawn("a paper boat [[sim: gemini=draft]]")
assert base64.b64decode(again.output_image.data).startswith(b"\x89PNG"), again
assert drawn("a [[sim: result=422]]").output_image is None
assert drawn("a [[sim: fail=content_policy]]").status == "failed"
try:
    drawn("a boat", background=True)
except Exception as error:
    assert error.status_code == 400 and "background" in str(error), error
else:
    raise AssertionError("an image was made in the background")

refused(400, "a [[sim: create=refuse:401]]")
refused(402, "a [[sim: create=refuse:403-balance, times=9]]")
refused(400, "a [[sim: create=refuse:policy]]")

"""Replicate's own client against its simulator."""

# requires: replicate==1.0.7

import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError
from replicate.webhook import InvalidSignatureError, Webhooks

client = Client(api_token="r8_secret", base_url=sys.argv[1])
client.poll_interval = 0.1
VEO = "google/veo-3.1"
STILL = "stability-ai/stable-diffusion-3.5-large"


def refused(status, prompt="a boat", model=VEO, **options):
    try:
        client.predictions.create(version=model, input={"prompt": prompt, **options})
    except ReplicateError as refusal:
        assert refusal.status == status and refusal.detail, refusal
    else:
        raise AssertionError(f"{prompt} was taken")


def made(model, **options):
    """The client itself fetches https only."""
    return client.run(model, input={"prompt": "a paper boat", **options}, use_file_output=False)


film = made(VEO, duration=4, generate_audio=False)
assert urllib.request.urlopen(film).read()[4:8] == b"ftyp", film
[still] = made(STILL, output_format="png")
assert urllib.request.urlopen(still).read()[1:4] == b"PNG", still

prediction = client.predictions.create(version=VEO, input={"prompt": "a paper boat"})
assert (prediction.status, prediction.version, prediction.output) == ("starting", "hidden", None), prediction
prediction.wait()
assert prediction.status == "succeeded" and prediction.output.endswith(".mp4"), prediction
assert client.predictions.get(prediction.id).completed_at == prediction.completed_at
assert [item.id for item in client.predictions.list().results][0] == prediction.id

prediction = client.predictions.create(version=VEO, input={"prompt": "a [[sim: latency=60]]"})
prediction.cancel()
prediction.reload()
assert prediction.status == "canceled", prediction

try:
    client.run(VEO, input={"prompt": "a [[sim: fail=content_policy]]"})
    raise AssertionError("what failed was given")
except ModelError as failure:
    assert "flagged as sensitive" in failure.prediction.error, failure

try:
    client.predictions.get("none")
    raise AssertionError("an unknown prediction is there")
except ReplicateError as refusal:
    assert refusal.status == 404, refusal

refused(401, "a [[sim: create=refuse:401]]")
refused(402, "a [[sim: create=refuse:403-balance]]")
refused(422, duration="8s")
refused(422, model="nobody/nothing")


class Receiver(BaseHTTPRequestHandler):
    taken = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.taken.append((dict(self.headers), body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
hook = f"http://127.0.0.1:{server.server_port}/hook"
for play in ("early", "early]] [[sim: fail=internal"):
    client.predictions.create(version=VEO, input={"prompt": f"a [[sim: webhook={play}]]"}, webhook=hook,
                              webhook_events_filter=["completed"])
secret = client.webhooks.default.secret()
assert len(Receiver.taken) == 2, Receiver.taken
for headers, body in Receiver.taken:
    Webhooks.validate(headers=headers, body=body, secret=secret, tolerance=300)
    try:
        Webhooks.validate(headers=headers, body=body + " ", secret=secret)
        raise AssertionError("a changed body was taken")
    except InvalidSignatureError:
        pass

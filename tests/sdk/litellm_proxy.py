"""A LiteLLM proxy in front of the API, and OpenAI's client in front of that."""

# requires: litellm[proxy]==1.108.7

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from pathlib import Path

import openai

api, lossy, key, image = sys.argv[1:]
warnings.simplefilter("ignore", DeprecationWarning)


def config():
    """JSON is YAML as well."""
    def model(name, base):
        params = {"model": "openai/pika-2.2", "api_base": f"{base}/v1", "api_key": "os.environ/GENMUX_KEY"}
        return {"model_name": name, "litellm_params": params}

    return json.dumps({
        "model_list": [model("film", api), model("lossy", lossy)],
        "general_settings": {"master_key": "sk-proxy"},
    })


def finished(client, video):
    for _ in range(240):
        video = client.videos.retrieve(video.id)
        if video.status in ("completed", "failed"):
            return video
        time.sleep(0.25)
    raise AssertionError(f"it never ends: {video}")


def play(client):
    video = client.videos.create(model="film", prompt="a paper boat", seconds="5", size="1280x720")
    assert (video.status, video.seconds, video.size) == ("queued", "5", "1280x720"), video
    video = finished(client, video)
    assert (video.status, video.progress, video.error) == ("completed", 100, None), video
    assert client.videos.download_content(video.id).read()[4:8] == b"ftyp"

    with open(image, "rb") as file:
        moving = client.videos.create(model="film", prompt="a boat", input_reference=file)
    assert finished(client, moving).status == "completed"

    failed = finished(client, client.videos.create(model="film", prompt="a [[sim: fail=content_policy]]"))
    assert (failed.status, failed.error.code) == ("failed", "moderation_blocked"), failed

    try:
        client.videos.create(model="film", prompt="a", seconds="4")
    except openai.BadRequestError as refusal:
        assert "allowed: 5, 10" in str(refusal), refusal
    else:
        raise AssertionError("a length that the model does not make was taken")


def play_lossy(client, direct):
    """The API's answer to the first call is dropped: a 503, which the proxy or the client repeats."""
    before = {video.id for video in direct.videos.list()}
    # The proxy passes on fields that it does not know, and no headers.
    once = client.videos.create(model="lossy", prompt="once", extra_body={"idempotency_key": "order-1"})
    assert finished(client, once).status == "completed"
    assert len({video.id for video in direct.videos.list()} - before) == 1


with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder, "config.yaml")
    file.write_text(config(), encoding="utf-8")
    program = Path(sys.executable).with_name("litellm")
    command = [program, "--config", file, "--host", "127.0.0.1", "--port", str(port)]
    env = os.environ | {"GENMUX_KEY": key, "LITELLM_TELEMETRY": "False", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with open(Path(folder, "log"), "w+", encoding="utf-8") as log:
        proxy = subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log)
        try:
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=5)
                    break
                except (urllib.error.URLError, ConnectionError):
                    assert proxy.poll() is None, Path(folder, "log").read_text(encoding="utf-8")
                    time.sleep(0.5)
            client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-proxy")
            play(client)
            play_lossy(client, openai.OpenAI(base_url=f"{api}/v1", api_key=key))
        finally:
            proxy.terminate()
            proxy.wait(30)

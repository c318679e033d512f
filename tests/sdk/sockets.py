"""The WebSocket client of Python against the API: a ticket, a job that is watched, and what was missed."""

# requires: websockets==17.4

import asyncio
import json
import sys
import urllib.request

import websockets

api, _proxy, key, _image = sys.argv[1:]


def call(path, body):
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(f"{api}{path}", json.dumps(body).encode(), headers, method="POST")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def submit():
    return call("/v1/jobs", {"model": "pika-2.2", "prompt": "a paper boat"})["id"]


async def events(socket):
    async for text in socket:
        message = json.loads(text)
        if "id" in message:
            yield message


async def main():
    endpoint = call("/v1/endpoints", {"kind": "websocket", "types": ["job.*"]})["id"]
    connect = lambda: websockets.connect(call(f"/v1/endpoints/{endpoint}/tickets", {})["url"])
    async with connect() as socket:
        job = submit()
        await socket.send(json.dumps({"watch": [job], "ping": "here"}))
        assert json.loads(await socket.recv()) == {"watching": [job], "pong": "here"}
        seen = []
        async for event in events(socket):
            assert event["data"]["id"] == job, event
            seen.append(event)
            if event["type"] == "job.succeeded":
                break
        assert [event["type"] for event in seen] == ["job.running", "job.succeeded"], seen

    missed = submit()
    async with connect() as socket:
        # It asks until the end has happened, as a client does that connects again.
        while True:
            await socket.send(json.dumps({"since": seen[-1]["id"]}))
            found = [event async for event in until_answered(socket)]
            if any(e["type"] == "job.succeeded" and e["data"]["id"] == missed for e in found):
                break
            await asyncio.sleep(0.2)

    try:
        await websockets.connect(call(f"/v1/endpoints/{endpoint}/tickets", {})["url"] + "x")
    except websockets.exceptions.InvalidStatus as refused:
        assert refused.response.status_code == 401, refused
    else:
        raise AssertionError("a wrong ticket was taken")


async def until_answered(socket):
    async for text in socket:
        message = json.loads(text)
        if "replayed" in message:
            return
        yield message


asyncio.run(main())

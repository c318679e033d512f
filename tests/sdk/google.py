"""The official clients of Google for Python against the simulators of what takes events there."""

# requires: firebase-admin==7.7.0 google-api-python-client==2.202.0

import json
import sys

import firebase_admin
import google.auth.exceptions
import requests
from firebase_admin import credentials, exceptions, messaging
from google.auth.transport.requests import AuthorizedSession, Request
from google.oauth2 import service_account
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

BASE, ACCOUNT = sys.argv[1], json.loads(sys.argv[2])
send = requests.adapters.HTTPAdapter.send


def here(self, request, **more):
    for host in ["fcm", "oauth2"]:
        request.url = request.url.replace(f"https://{host}.googleapis.com", BASE)
    return send(self, request, **more)


requests.adapters.HTTPAdapter.send = here


def refused(error, call):
    try:
        call()
    except error as found:
        return found
    raise AssertionError("it was taken")


firebase_admin.initialize_app(credentials.Certificate(ACCOUNT))
LONG = "x" * 40


def notify(token, **more):
    tag = messaging.AndroidConfig(notification=messaging.AndroidNotification(tag="evt_1"))
    text = messaging.Notification(title="Genmux", body="hello")
    return messaging.send(messaging.Message(token=token, notification=text, android=tag, **more))


assert notify(f"token-{LONG}", data={"id": "evt_1"}).startswith("projects/simulated-project/messages/")
refused(messaging.UnregisteredError, lambda: notify(f"gone-{LONG}"))
refused(messaging.SenderIdMismatchError, lambda: notify(f"other-{LONG}"))
refused(exceptions.InvalidArgumentError, lambda: notify(f"bad-{LONG}"))
refused(exceptions.InvalidArgumentError, lambda: notify(f"token-{LONG}", data={"a": "x" * 5_000}))
refused(exceptions.InvalidArgumentError, lambda: notify(f"token-{LONG}", data={"from": "us"}))


def account(**more):
    scopes = ["https://www.googleapis.com/auth/pubsub"]
    made = service_account.Credentials.from_service_account_info({**ACCOUNT, **more}, scopes=scopes)
    made.refresh(Request())
    return made


refused(google.auth.exceptions.RefreshError, lambda: account(client_email="other@a.iam.gserviceaccount.com"))
options = {"api_endpoint": BASE}
topics = build("pubsub", "v1", credentials=account(), client_options=options, static_discovery=True).projects().topics()
event = {"messages": [{"data": "e30=", "attributes": {"id": "evt_1"}}]}
topic = "projects/simulated-project/topics/"
assert topics.publish(topic=topic + "events", body=event).execute()["messageIds"]
gone = refused(HttpError, lambda: topics.publish(topic=topic + "gone", body=event).execute())
assert gone.status_code == 404, gone
wrong = {"messages": [{"data": "?"}]}
assert refused(HttpError, lambda: topics.publish(topic=topic + "events", body=wrong).execute()).status_code == 400

url = f"{BASE}/cloud-run/f"
good = lambda audience: service_account.IDTokenCredentials.from_service_account_info(ACCOUNT, target_audience=audience)
assert AuthorizedSession(good(url)).post(url, json={}).status_code == 200
assert AuthorizedSession(good(url), max_refresh_attempts=0).post(url + "2", json={}).status_code == 401
assert requests.post(url, json={}).status_code == 401

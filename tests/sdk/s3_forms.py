"""boto3 makes the form that we make, byte for byte, and the bucket takes boto3's as well as ours."""

# requires: boto3==1.44.8 requests==2.34.2

import base64
import datetime
import json
import sys

import boto3
import requests
from botocore.auth import S3SigV4PostAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config

ours, endpoint, image = json.loads(sys.argv[1]), sys.argv[2], bytes.fromhex(sys.argv[3])
bucket = ours["url"].rstrip("/").rsplit("/", 1)[1]
session = boto3.Session("local", "local", region_name="us-east-1")
client = session.client(
    "s3", endpoint_url=endpoint, config=Config(signature_version="s3v4", s3={"addressing_style": "path"})
)
signing = {"policy", "x-amz-signature", "x-amz-algorithm", "x-amz-credential", "x-amz-date"}
own = {name: value for name, value in ours["fields"].items() if name not in signing and name != "key"}


def policy(form):
    return json.loads(base64.b64decode(form["fields"]["policy"]))


def conditions(form):
    """Without the time, which is of the call; a condition has two forms."""
    lists = [c if isinstance(c, list) else ["eq", "$" + next(iter(c)), next(iter(c.values()))] for c in policy(form)["conditions"]]
    return {tuple(c) for c in lists if c[1] != "$x-amz-date"}


def made(key, content):
    exact = [{name: value} for name, value in own.items()] + [["content-length-range", len(content), len(content)]]
    return client.generate_presigned_post(bucket, key, Fields=dict(own), Conditions=exact, ExpiresIn=900)


def post(form, content):
    return requests.post(form["url"], data=form["fields"], files={"file": ("boat.png", content)}, timeout=10)


theirs = made(ours["fields"]["key"], image)
assert theirs["fields"].keys() == ours["fields"].keys(), (theirs, ours)
assert conditions(theirs) == conditions(ours), (conditions(theirs), conditions(ours))
assert theirs["url"].rstrip("/") == ours["url"].rstrip("/")
span = datetime.datetime.fromisoformat(policy(ours)["expiration"]) - datetime.datetime.strptime(
    ours["fields"]["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z"
)
assert 899 <= span.total_seconds() <= 901, span

# botocore signs our policy as we did.
request = AWSRequest("POST", ours["url"])
request.context["timestamp"] = ours["fields"]["x-amz-date"]
signer = S3SigV4PostAuth(session.get_credentials(), "s3", "us-east-1")
assert signer.signature(ours["fields"]["policy"], request) == ours["fields"]["x-amz-signature"]

# The bucket takes both, and neither for another file.
for form in (ours, theirs):
    assert post(form, image).status_code == 204
    for other, code in ((image + b"1", "EntityTooLarge"), (image[:-1], "EntityTooSmall"), (image[::-1], "BadDigest")):
        refused = post(form, other)
        assert refused.status_code == 400 and f"<Code>{code}</Code>" in refused.text, refused.text
found = client.get_object(Bucket=bucket, Key=ours["fields"]["key"])
assert found["Body"].read() == image and found["ContentType"] == "image/png"

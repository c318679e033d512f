"""Deploys the template to the emulator, runs the real binaries in it, and plays the
end-to-end suite against the API's URL. Started by `cargo run -- deploy-local`, which simulates the
providers; what it is to do comes as JSON on standard input.
"""

import base64
import hmac
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import boto3
from botocore.config import Config

from translate import translated

STACK = "genmux"
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 180
# Every request goes to this machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


NO_REDIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stays)


def until(what, look, patience_s=PATIENCE_S):
    """The first truth that `look` gives; an error that says what never came."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.25)
    raise AssertionError(f"never came: {what}")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Emulator:
    def __init__(self, folder, auth):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = open(folder / "emulator.log", "w", encoding="utf-8")
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "AWS_ENDPOINT_URL": self.url,  # or functions would look for AWS itself
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
        }
        settings = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(self.port), "STATE_DIR": str(folder / "state")}
        settings["AUTH"] = str(auth).lower()
        command = [sys.executable, str(ROOT / "infra/checks/emulator.py")]
        self.process = subprocess.Popen(command, env=self.env | settings, stdout=self.log, stderr=self.log)
        until("the emulator", self.answers)

    def answers(self):
        assert self.process.poll() is None, "the emulator ended: see emulator.log"
        try:
            return OPENER.open(f"{self.url}/_ministack/health", timeout=5).status == 200
        except OSError:
            return False

    def client(self, service):
        config = Config(retries={"max_attempts": 2}, read_timeout=60, s3={"addressing_style": "path"})
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        return boto3.client(service, endpoint_url=self.url, config=config, **keys)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def template(without):
    """The translated template; for a look at what a permission is good for, without one statement."""
    whole = translated(ROOT / "infra/template.yaml")
    if without:
        role, number = without.split("/")
        statements = whole["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
        print(f"without {role}: {json.dumps(statements.pop(int(number)))}")
    return whole


def deploy(emulator, order):
    whole, s3, cfn = template(order.get("without")), emulator.client("s3"), emulator.client("cloudformation")
    s3.create_bucket(Bucket="artifacts")
    functions = [it for it in whole["Resources"].values() if it["Type"] == "AWS::Lambda::Function"]
    for function in functions:
        # The one difference from what is deployed: the simulated providers are on this machine.
        function["Properties"]["Environment"]["Variables"]["MEDIA_ALLOW_LOOPBACK"] = "true"
        key = function["Properties"]["Code"]["S3Key"]
        with tempfile.SpooledTemporaryFile() as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
                entry = zipfile.ZipInfo("bootstrap")
                entry.external_attr = 0o755 << 16
                zipped.writestr(entry, (Path(order["binaries"]) / key.removesuffix(".zip")).read_bytes())
            file.seek(0)
            s3.upload_fileobj(file, "artifacts", key)
    s3.put_object(Bucket="artifacts", Key="template.json", Body=json.dumps(whole).encode())
    parameters = {"Architecture": "x86_64", "DeletionProtection": "false"} | order["parameters"]
    names = {"StackName": STACK, "ChangeSetName": "first"}
    cfn.create_change_set(
        **names,
        ChangeSetType="CREATE",
        TemplateURL=f"{emulator.url}/artifacts/template.json",
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    until("the change set", lambda: cfn.describe_change_set(**names)["Status"] == "CREATE_COMPLETE")
    cfn.execute_change_set(**names)

    def done():
        stack = cfn.describe_stacks(StackName=STACK)["Stacks"][0]
        return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack

    stack = until("the stack", done)
    assert stack["StackStatus"] == "CREATE_COMPLETE", f"{stack['StackStatus']}: see emulator.log"
    resources = cfn.get_paginator("list_stack_resources").paginate(StackName=STACK)
    kinds = sorted(it["ResourceType"] for page in resources for it in page["StackResourceSummaries"])
    for kind in dict.fromkeys(kinds):
        print(f"deployed {kinds.count(kind):3} {kind}")
    return {it["OutputKey"]: it["OutputValue"] for it in stack["Outputs"]}


def operate(emulator, outputs, order):
    """What an operator does after the deployment, and what the emulator left out of the template."""
    secrets, sqs = emulator.client("secretsmanager"), emulator.client("sqs")
    for name, values in order["secrets"].items():
        secret = outputs[f"{name}Secret"]
        made = {} if name == "ProviderKeys" else json.loads(secrets.get_secret_value(SecretId=secret)["SecretString"])
        if name == "WebhookSecrets":
            assert len(made["WEBHOOK_TOKEN_SECRET"]) == 64, "the template makes the secret of callback URLs"
        secrets.put_secret_value(SecretId=secret, SecretString=json.dumps(values | made))
    # The emulator speaks no TLS, and its roles keep to the bucket's policy, which asks for it.
    emulator.client("s3").delete_bucket_policy(Bucket=outputs["MediaBucketName"])
    # The emulator does not apply the table's TTL.
    emulator.client("dynamodb").update_time_to_live(
        TableName=outputs["TableName"],
        TimeToLiveSpecification={"AttributeName": "expires_at", "Enabled": True},
    )
    # Five deliveries in vain take half an hour with the template's visibility timeouts.
    for queue in ["dispatch", "poll", "settle", "fetch", "notify", "deliver", "payment"]:
        url = sqs.get_queue_url(QueueName=f"{STACK}-{queue}")["QueueUrl"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "6"})


def serve_api(emulator, port, api_id):
    """The API under an address that resolves everywhere, for callers and for providers' webhooks."""

    class Front(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "content-length"}
            headers["Host"] = f"{api_id}.execute-api.localhost:{emulator.port}"
            url = emulator.url + self.path
            request = urllib.request.Request(url, body or None, headers, method=self.command)
            try:
                answer = OPENER.open(request, timeout=60)
            except urllib.error.HTTPError as refused:
                answer = refused
            content = answer.read()
            self.send_response(answer.status)
            hidden = {"content-length", "transfer-encoding", "connection", "date", "server"}
            for name, value in answer.headers.items():
                if name.lower() not in hidden:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = forward

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Front)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{port}"


def receiver(came):
    """A customer's server: it keeps what is sent to it."""

    class Server(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            text = self.rfile.read(int(self.headers.get("content-length", 0)))
            came.append((self.headers, text))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Suite:
    def __init__(self, emulator, outputs, order, api):
        self.emulator, self.outputs, self.order, self.api = emulator, outputs, order, api
        self.sqs = emulator.client("sqs")
        self.genmux("credits", "grant", "acct_e2e", "100000", "--table", outputs["TableName"])
        made = self.genmux("keys", "create", "--account", "acct_e2e", "--table", outputs["TableName"])
        self.key = made.split()[-1]

    def genmux(self, *arguments):
        """An operator's command, on the deployed stack."""
        ran = subprocess.run(
            [self.order["genmux"], *arguments], env=self.emulator.env, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"genmux {arguments[0]}: {ran.stdout}{ran.stderr}"
        return ran.stdout

    def call(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"} | headers
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.api + path, data, headers, method=method)
        try:
            answer = OPENER.open(request, timeout=60)
        except urllib.error.HTTPError as refused:
            answer = refused
        return answer.status, answer.headers, json.loads(answer.read() or "null")

    def submit(self, model, prompt, key):
        body = {"model": model, "prompt": prompt, "duration_s": None}
        body = {name: value for name, value in body.items() if value is not None}
        status, _, job = self.call("POST", "/v1/jobs", body, idempotency_key=key)
        assert status == 202, (status, job)
        return job["id"]

    def ended(self, job, state, **patience):
        def look():
            status, _, seen = self.call("GET", f"/v1/jobs/{job}")
            assert status == 200, (status, seen)
            return seen if seen["status"] in ("succeeded", "failed", "canceled") else None

        seen = until(f"the end of a job that shall be {state}", look, **patience)
        assert seen["status"] == state, seen
        return seen

    def ledger(self, job):
        _, _, account = self.call("GET", "/v1/account?limit=100")
        return sorted(line["kind"] for line in account["ledger"] if line["job"] == job)

    def queue(self, name):
        return self.sqs.get_queue_url(QueueName=f"{STACK}-{name}")["QueueUrl"]

    def depth(self, name):
        wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.queue(name), AttributeNames=wanted)
        return sum(int(attributes["Attributes"][name]) for name in wanted)

    # The suites, each a sentence.

    def a_job_by_webhook_ends_with_its_media(self):
        # Before `reconcile` looks after it, which would have it polled: by its webhook alone.
        job = self.ended(self.submit("pika-2.2", "a paper boat", "webhook"), "succeeded", patience_s=90)
        film = OPENER.open(job["media"][0]["url"], timeout=60).read()
        assert film[4:8] == b"ftyp" and len(film) == job["media"][0]["bytes"], len(film)
        assert self.ledger(job["id"]) == ["charge"]

    def a_job_by_polling_ends_with_its_media(self):
        self.ended(self.submit("gen-4.5", "a paper boat", "polling"), "succeeded")

    def a_still_comes_with_the_answer_to_its_create(self):
        job = self.ended(self.submit("stable-image-core", "a paper boat", "still"), "succeeded", patience_s=90)
        assert OPENER.open(job["media"][0]["url"], timeout=60).read(4) == b"\x89PNG"

    def a_refused_job_fails_over(self):
        job = self.ended(self.submit("veo-3.1", "a boat [[sim: create=refuse:429, only=fal]]", "over"), "succeeded")
        assert len(job["attempts"]) == 2, job

    def a_broken_job_fails_over(self):
        prompt = "a boat [[sim: fail=internal, only=fal]]"
        job = self.ended(self.submit("veo-3.1", prompt, "broken"), "succeeded", patience_s=90)
        assert [made["status"] for made in job["attempts"]] == ["broke", "finished"], job

    def a_failed_job_is_refunded(self):
        job = self.ended(self.submit("pika-2.2", "a boat [[sim: fail=content_policy]]", "failed"), "failed")
        assert self.ledger(job["id"]) == ["charge", "refund"]

    def a_canceled_job_is_refunded(self):
        job = self.submit("gen-4.5", "a boat [[sim: latency=600]]", "canceled")
        until("the job runs", lambda: self.call("GET", f"/v1/jobs/{job}")[2]["status"] == "running")
        assert self.call("POST", f"/v1/jobs/{job}/cancel")[0] == 202
        self.ended(job, "canceled")
        assert self.ledger(job) == ["charge", "refund"]

    def the_reads_answer_and_strangers_do_not_get_in(self):
        for path in ["/v1/jobs", "/v1/models", "/v1/account", "/openapi.json"]:
            assert self.call("GET", path)[0] == 200, path
        assert self.call("GET", "/v1/jobs", authorization="Bearer gmx_no")[0] == 401
        assert self.call("POST", "/v1/webhooks/fal/no", {})[0] == 401
        assert self.call("GET", "/v1/nothing")[0] == 404

    def a_callback_arrives_signed(self):
        """From the move of a job to a server that checks the signature, by `notify` and `deliver`."""
        status, _, shown = self.call("GET", "/v1/endpoints/ep_callback/secret")
        assert status == 200, (status, shown)
        came = []
        server = receiver(came)
        url = f"http://127.0.0.1:{server.server_address[1]}/ended"
        body = {"model": "gen-4.5", "prompt": "a boat", "callback_url": url}
        status, _, job = self.call("POST", "/v1/jobs", body, idempotency_key="callback")
        assert status == 202, (status, job)
        self.ended(job["id"], "succeeded")
        until("the callback", lambda: came)
        server.shutdown()
        headers, text = came[0]
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + text
        secret = base64.b64decode(shown["secret"].removeprefix("whsec_"))
        mac = base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
        assert f"v1,{mac}" in headers["webhook-signature"].split(), headers["webhook-signature"]
        event = json.loads(text)
        assert (event["type"], event["data"]["id"]) == ("job.succeeded", job["id"]), event

        def recorded():
            found = self.call("GET", "/v1/endpoints/ep_callback/deliveries")[2]["deliveries"]
            return [it for it in found if it["status"] == "delivered"]

        until("its record", recorded)

    def a_socket_without_a_ticket_is_refused(self):
        """By the function itself: the emulator is not asked to speak WebSocket, which `it events::sockets` does."""
        context = {"routeKey": "$connect", "eventType": "CONNECT", "connectionId": "ZDb-VclrIAMCJ3w=", "requestId": "x"}
        event = json.dumps({"requestContext": context, "queryStringParameters": {"ticket": "x"}, "isBase64Encoded": False})
        answer = self.emulator.client("lambda").invoke(FunctionName=f"{STACK}-socket", Payload=event)
        assert json.loads(answer["Payload"].read())["statusCode"] == 401

    def a_purchase_is_paid(self):
        """By a message, as `reconcile` sends one: the simulated processor sends no webhooks here."""
        body = {"processor": "stripe", "amount": 1000, "currency": "USD", "return_url": "https://shop.example/back"}
        status, _, bought = self.call("POST", "/v1/topups", body, idempotency_key="purchase")
        assert status == 201, (status, bought)
        page = urllib.request.Request(bought["url"], b"", method="POST")
        try:
            NO_REDIRECT.open(page, timeout=60)
        except urllib.error.HTTPError as paid:
            assert paid.status in (302, 303), paid.status
        self.sqs.send_message(
            QueueUrl=self.queue("payment"),
            MessageBody=json.dumps({"type": "payment_check.v1", "topup": bought["id"]}),
        )
        until("the credits", lambda: self.call("GET", f"/v1/topups/{bought['id']}")[2]["status"] == "paid")

    def a_page_of_the_console_is_served(self):
        with OPENER.open(f"{self.api}/console", timeout=60) as page:
            assert "sign-in" in page.read().decode()

    def the_schedules_run(self):
        def healthy():
            providers = self.call("GET", "/v1/providers")[2]["providers"]
            return providers and all(it["health"] == "healthy" for it in providers)

        until("health", healthy)

    def a_job_whose_message_is_lost_is_found_again(self):
        """reconcile brings on, after two minutes, what nobody else knows of."""
        self.sqs.set_queue_attributes(QueueUrl=self.queue("dispatch"), Attributes={"DelaySeconds": "0"})
        mappings = self.emulator.client("lambda")
        mapping = next(
            it
            for it in mappings.list_event_source_mappings()["EventSourceMappings"]
            if it["EventSourceArn"].endswith(f":{STACK}-dispatch")
        )["UUID"]
        mappings.update_event_source_mapping(UUID=mapping, Enabled=False)
        time.sleep(3)  # a poll of the mapping may be under way
        job = self.submit("gen-4.5", "a boat", "lost")
        self.sqs.purge_queue(QueueUrl=self.queue("dispatch"))
        mappings.update_event_source_mapping(UUID=mapping, Enabled=True)
        until("reconcile", lambda: self.call("GET", f"/v1/jobs/{job}")[2]["status"] != "queued", 300)
        self.ended(job, "succeeded")

    def a_poison_message_alone_goes_to_the_dead_letter_queue_and_back(self):
        job = self.submit("gen-4.5", "a boat", "beside")
        messages = [{"type": kind, "job_id": job, "attempt": 1} for kind in ("poll.v9", "poll.v1")]
        entries = [{"Id": it["type"].replace(".", ""), "MessageBody": json.dumps(it)} for it in messages]
        self.sqs.send_message_batch(QueueUrl=self.queue("poll"), Entries=entries)
        until("the dead letter", lambda: self.depth("poll-dead") == 1)
        assert "dead-letter queue of poll: 1" in self.genmux("dlq", "list", "--stack", STACK)
        self.ended(job, "succeeded")

        # The emulator has no StartMessageMoveTask, so the move is made by hand.
        def letter():
            return self.sqs.receive_message(QueueUrl=self.queue("poll-dead"), WaitTimeSeconds=2).get("Messages")

        [moved] = until("the letter", letter)
        self.sqs.send_message(QueueUrl=self.queue("poll"), MessageBody=moved["Body"])
        self.sqs.delete_message(QueueUrl=self.queue("poll-dead"), ReceiptHandle=moved["ReceiptHandle"])
        until("the letter again", lambda: self.depth("poll-dead") == 1)
        shown = self.genmux("jobs", "show", job, "--table", self.outputs["TableName"], "--stack", STACK)
        assert "poll.v9 sent, now in the dead-letter queue" in shown, shown

    def the_books_add_up(self):
        table, bucket = self.outputs["TableName"], self.outputs["MediaBucketName"]
        print(self.genmux("audit", "--table", table, "--bucket", bucket).strip())

    def every_function_ran(self):
        logs = self.emulator.client("logs")
        for group in logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{STACK}-")["logGroups"]:
            name = group["logGroupName"]
            events = logs.filter_log_events(logGroupName=name)["events"]
            started = sum("process.started" in event["message"] for event in events)
            assert started, f"{name}: no process has ever started"
            print(f"ran {name.rsplit('/', 1)[-1]}: {started} processes, {len(events)} lines")

    def run(self):
        suites = [
            self.the_reads_answer_and_strangers_do_not_get_in,
            self.a_job_by_webhook_ends_with_its_media,
            self.a_job_by_polling_ends_with_its_media,
            self.a_still_comes_with_the_answer_to_its_create,
            self.a_refused_job_fails_over,
            self.a_broken_job_fails_over,
            self.a_failed_job_is_refunded,
            self.a_canceled_job_is_refunded,
            self.a_callback_arrives_signed,
            self.a_socket_without_a_ticket_is_refused,
            self.a_purchase_is_paid,
            self.a_page_of_the_console_is_served,
            self.the_schedules_run,
            self.a_poison_message_alone_goes_to_the_dead_letter_queue_and_back,
            self.a_job_whose_message_is_lost_is_found_again,
            self.the_books_add_up,
            self.every_function_ran,
        ]
        for suite in suites:
            start = time.monotonic()
            suite()
            print(f"ok {suite.__name__} ({time.monotonic() - start:.0f} s)", flush=True)


def main():
    order = json.load(sys.stdin)
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"  # the translator asks for one
    folder = Path(tempfile.mkdtemp(prefix="genmux-deploy-"))
    emulator = None
    try:
        emulator = Emulator(folder, order["auth"])
        outputs = deploy(emulator, order)
        operate(emulator, outputs, order)
        api_id = outputs["ApiEndpoint"].split("//")[1].split(".")[0]
        api = serve_api(emulator, order["port"], api_id)
        print(f"the API answers at {api}{', roles enforced' if order['auth'] else ''}", flush=True)
        Suite(emulator, outputs, order, api).run()
    except BaseException:
        shutil.copy(folder / "emulator.log", order["log"])
        print(f"the emulator's log is {order['log']}", file=sys.stderr)
        raise
    finally:
        if emulator:
            emulator.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

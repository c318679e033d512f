"""The official clients of the channels' vendors against their simulators."""

# requires: python-telegram-bot==22.8 sendgrid==6.12.5 twilio==9.13.0 boto3==1.44.5 slack-sdk==3.47.0

import asyncio
import sys

import boto3
import sendgrid
import telegram
from botocore.config import Config
from botocore.exceptions import ClientError
from sendgrid.helpers.mail import Mail
from slack_sdk.webhook import WebhookClient
from telegram.error import BadRequest, Forbidden, InvalidToken
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

BASE = sys.argv[1]
ACCOUNT = "AC00000000000000000000000000000001"


def refused(error, call):
    try:
        call()
    except error as found:
        return found
    raise AssertionError("it was taken")


async def chats():
    async with telegram.Bot("7000000001:simulated-bot", base_url=f"{BASE}/bot") as bot:
        assert bot.username == "genmux_bot"
        said = await bot.send_message(12, "hello")
        assert (said.text, said.chat.id, said.chat.type) == ("hello", 12, "private"), said
        for chat, error in [(404, BadRequest), (403, Forbidden), (-400, telegram.error.ChatMigrated)]:
            try:
                await bot.send_message(chat, "hello")
                raise AssertionError(f"{chat} was taken")
            except error:
                pass
    try:
        await telegram.Bot("1:other", base_url=f"{BASE}/bot").initialize()
        raise AssertionError("a wrong token was taken")
    except InvalidToken:
        pass


asyncio.run(chats())

slack = WebhookClient(f"{BASE}/services/T0/B0/x")
answer = slack.send(text="hello")
assert (answer.status_code, answer.body) == (200, "ok"), answer.body
assert WebhookClient(f"{BASE}/services/T0/B0/gone").send(text="hello").body == "no_service"

mail = Mail("events@genmux.example", "anna@mail.example", "A subject", plain_text_content="A text")
mails = sendgrid.SendGridAPIClient("SG.simulated", host=BASE)
sent = mails.send(mail)
assert sent.status_code == 202 and sent.headers["X-Message-Id"], sent.headers
other = Mail("other@genmux.example", "anna@mail.example", "A subject", plain_text_content="A text")
assert refused(Exception, lambda: mails.send(other)).status_code == 403
wrong = sendgrid.SendGridAPIClient("SG.other", host=BASE)
assert refused(Exception, lambda: wrong.send(mail)).status_code == 401


class Here(TwilioHttpClient):
    def request(self, method, url, *rest, **more):
        return super().request(method, url.replace("https://api.twilio.com", BASE), *rest, **more)


texts = Client(ACCOUNT, "simulated", http_client=Here())
text = texts.messages.create(to="+4915123456789", from_="+15005550006", body="hello")
assert (text.status, text.body, text.to) == ("queued", "hello", "+4915123456789"), text
for number, code in [("+15005550001", 21211), ("+15005550004", 21610), ("+15005550009", 21614)]:
    create = lambda: texts.messages.create(to=number, from_="+15005550006", body="hello")
    assert refused(TwilioRestException, create).code == code, number
wrong = Client(ACCOUNT, "other", http_client=Here())
create = lambda: wrong.messages.create(to="+4915123456789", from_="+15005550006", body="hello")
assert refused(TwilioRestException, create).status == 401


def aws(service, secret="local"):
    return boto3.client(service, endpoint_url=BASE, region_name="us-east-1", aws_access_key_id="local",
                        aws_secret_access_key=secret, config=Config(retries={"total_max_attempts": 1}))


def code(call):
    return refused(ClientError, call).response["Error"]["Code"]


topic = "arn:aws:sns:us-east-1:000000000000:"
assert aws("sns").publish(TopicArn=topic + "events", Message="{}")["MessageId"]
assert aws("sns").publish(PhoneNumber="+4915123456789", Message="hello")["MessageId"]
assert code(lambda: aws("sns").publish(TopicArn=topic + "gone", Message="{}")) == "NotFound"
assert code(lambda: aws("sns", "other").publish(TopicArn=topic + "events", Message="{}")) == "SignatureDoesNotMatch"

queue = f"{BASE}/000000000000/"
assert aws("sqs").send_message(QueueUrl=queue + "events", MessageBody="{}")["MessageId"]
gone = code(lambda: aws("sqs").send_message(QueueUrl=queue + "gone", MessageBody="{}"))
assert gone.endswith(("QueueDoesNotExist", "NonExistentQueue")), gone

entry = {"Source": "genmux", "DetailType": "job.failed", "Detail": "{}", "EventBusName": "default"}
assert aws("events").put_events(Entries=[entry])["FailedEntryCount"] == 0
assert aws("events").put_events(Entries=[{**entry, "Detail": "no"}])["FailedEntryCount"] == 1

function = "arn:aws:lambda:us-east-1:000000000000:function:"
invoked = aws("lambda").invoke(FunctionName=function + "events", InvocationType="Event", Payload=b"{}")
assert invoked["StatusCode"] == 202, invoked
gone = lambda: aws("lambda").invoke(FunctionName=function + "gone", InvocationType="Event", Payload=b"{}")
assert code(gone) == "ResourceNotFoundException"

content = {"Simple": {"Subject": {"Data": "A subject"}, "Body": {"Text": {"Data": "A text"}}}}
to = {"ToAddresses": ["anna@mail.example"]}
ses = aws("sesv2")
assert ses.send_email(FromEmailAddress="events@genmux.example", Destination=to, Content=content)["MessageId"]
other = lambda: ses.send_email(FromEmailAddress="other@genmux.example", Destination=to, Content=content)
assert code(other) == "MailFromDomainNotVerifiedException"

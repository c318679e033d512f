"""Runs the emulator, with what it lacks put in. Nothing here changes the template."""

import string

import ministack.app
from ministack.core import iam_actions
from ministack.services.cloudformation import provisioners

simple_alarm = provisioners._cw_metric_alarm_record


def alarm(name, properties):
    """It refuses alarms over a sum of metrics: such an alarm stands here for its first metric."""
    first = next((metric["MetricStat"] for metric in properties.get("Metrics", []) if "MetricStat" in metric), None)
    if first is None:
        return simple_alarm(name, properties)
    rest = {key: value for key, value in properties.items() if key != "Metrics"}
    metric = first["Metric"]
    return simple_alarm(name, rest | metric | {"Statistic": first["Stat"], "Period": first["Period"]})


provisioners._cw_metric_alarm_record = alarm

handlers = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
simple_secret = handlers["create"]


def secret(logical_id, properties, stack_name):
    """Its `Ref` is the secret's name; on AWS it is the ARN, which policies need. It generates secrets with
    punctuation, also where that is excluded."""
    generate = properties.get("GenerateSecretString", {})
    if generate.get("ExcludePunctuation"):
        properties = properties | {"GenerateSecretString": generate | {"ExcludeCharacters": string.punctuation}}
    _, attributes = simple_secret(logical_id, properties, stack_name)
    return attributes["Arn"], attributes


handlers["create"] = secret


def left_out(named):
    """A resource of which nothing is made."""
    return {
        "create": lambda logical_id, properties, stack_name: (named(logical_id, properties), {}),
        "update": lambda *_: None,
        "delete": lambda *_: None,
    }


# It knows no responses of WebSocket routes.
provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::RouteResponse"] = left_out(
    lambda _, properties: f"{properties['RouteId']}-{properties['RouteResponseKey']}"
)
# It speaks no TLS, which is all that the queues' policy asks for.
provisioners._RESOURCE_HANDLERS["AWS::SQS::QueuePolicy"] = left_out(lambda logical_id, _: logical_id)

action_of = iam_actions.extract_iam_action


def action(*request):
    """A batch of messages needs the right of one: on AWS there is no other."""
    found = action_of(*request)
    return found.removesuffix("Batch") if found and found.startswith("sqs:") else found


iam_actions.extract_iam_action = action

if __name__ == "__main__":
    ministack.app.main()

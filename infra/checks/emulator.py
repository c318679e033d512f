"""Runs the emulator, with what it lacks put in. Nothing here changes the template."""

import ministack.app
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
    """Its `Ref` is the secret's name; on AWS it is the ARN, which policies need."""
    _, attributes = simple_secret(logical_id, properties, stack_name)
    return attributes["Arn"], attributes


handlers["create"] = secret

if __name__ == "__main__":
    ministack.app.main()

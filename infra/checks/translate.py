"""Translates infra/template.yaml, a SAM template, to plain CloudFormation, without a network.

    translate.py TEMPLATE OUT [ZIPS]

A function's code becomes `<binary>.zip` in the bucket that the parameter-free name ZIPS gives
("artifacts" if it is left out). `aws cloudformation deploy` takes the result.
"""

import json
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies:
    """No policy of AWS's own is named in the template, so nobody need be asked for their ARNs."""

    def load(self):
        return {}


def translated(path, zips="artifacts"):
    with open(path, encoding="utf-8") as file:
        template = yaml_parse(file.read())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            binary = resource.pop("Metadata")["BuildProperties"]["Binary"]
            resource["Properties"]["CodeUri"] = {"Bucket": zips, "Key": f"{binary}.zip"}
    return transform(template, {}, NoManagedPolicies())


if __name__ == "__main__":
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        json.dump(translated(sys.argv[1], *sys.argv[3:]), out, indent=1)

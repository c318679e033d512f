"""Holds the translated template against the one that is written.

    consistent.py TEMPLATE TRANSLATED

The tests of this repository compare the template as written with the code, the API's document
and the pages of docs. This shows that what is deployed says the same: the same resources with the same
properties, where a function gets those of `Globals` and its code, and nothing else is made up.
"""

import json
import sys

from samtranslator.yaml_helper import yaml_parse

# What the translation puts in beside the code: who made it.
MADE_UP = {"Code", "Tags"}
# Of SAM alone, and what becomes of it.
RENAMED = {"Tracing": lambda mode: ("TracingConfig", {"Mode": mode})}


def merged(below, above):
    """What a function says itself goes before `Globals`, at every depth."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {**below, **{name: merged(below.get(name, {}), value) for name, value in above.items()}}


def expected(resource, common):
    if resource["Type"] != "AWS::Serverless::Function":
        return resource
    properties = merged(common, resource["Properties"])
    properties.pop("CodeUri")
    properties = dict(RENAMED[name](value) if name in RENAMED else (name, value) for name, value in properties.items())
    rest = {name: value for name, value in resource.items() if name != "Metadata"}
    return {**rest, "Type": "AWS::Lambda::Function", "Properties": properties}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        written = yaml_parse(file.read())
    with open(sys.argv[2], encoding="utf-8") as file:
        translated = json.load(file)
    written = json.loads(json.dumps(written))
    common = written["Globals"]["Function"]
    wrong = sorted(set(written["Resources"]) ^ set(translated["Resources"]))
    for name, resource in written["Resources"].items():
        became = translated["Resources"].get(name, {"Properties": {}})
        if resource["Type"] == "AWS::Serverless::Function":
            kept = {key: value for key, value in became["Properties"].items() if key not in MADE_UP}
            became = {**became, "Properties": kept}
        if became != expected(resource, common):
            print(f"{name}: {json.dumps(expected(resource, common))}\n  became {json.dumps(became)}")
            wrong.append(name)
    for section in ("Parameters", "Conditions", "Outputs"):
        if written[section] != translated[section]:
            wrong.append(section)
    if wrong:
        sys.exit(f"not as written: {', '.join(wrong)}")
    print(f"{len(translated['Resources'])} resources are translated as they are written")


if __name__ == "__main__":
    main()

"""The schemas under shared/ngsi, as its README says to use them."""

import json

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

MODELS = {
    "WaterObserved": "Environment",
    "WeatherObserved": "Weather",
    "TrafficFlowObserved": "Transportation",
    "CrowdFlowObserved": "Transportation",
    "Device": "Device",
    "Alert": "Alert",
}
ALIASES = {
    "https://smart-data-models.github.io/dataModel.Alert/alert-schema.json": "dataModel.Alert/alert-schema.json",
    "https://fiware.github.io/dataModels/common-schema.json": "data-models/common-schema.json",
    "https://raw.githubusercontent.com/smart-data-models/dataModel.Environment/master/Environment-schema.json": (
        "dataModel.Environment/Environment-schema.json"
    ),
}


class Models:
    def __init__(self, shared):
        self._root = shared / "ngsi" / "smart-data-models"
        resources = {}
        for file in self._root.rglob("*schema.json"):
            content = json.loads(file.read_text())
            resources[content["$id"]] = content
        for url, path in ALIASES.items():
            resources[url] = json.loads((self._root / path).read_text())
        self._contents = resources
        self._registry = Registry().with_resources(
            (url, Resource.from_contents(content, default_specification=DRAFT202012))
            for url, content in resources.items()
        )

    def schema(self, type_):
        return json.loads((self._root / f"dataModel.{MODELS[type_]}" / type_ / "schema.json").read_text())

    def errors(self, entity):
        """What is wrong with a key-values entity."""
        validator = Draft202012Validator(
            self.schema(entity["type"]), registry=self._registry, format_checker=FormatChecker()
        )
        return [f"{list(e.path)}: {e.message[:200]}" for e in validator.iter_errors(entity)]

    def properties(self, type_):
        """Every attribute name the model knows; none for a type of our own."""
        if type_ not in MODELS:
            return set()
        return set(self._properties(self.schema(type_)))

    def context(self, domain):
        return json.loads((self._root / f"dataModel.{domain}" / "context.jsonld").read_text())["@context"]

    def _properties(self, schema):
        yield from schema.get("properties", {})
        for part in schema.get("allOf", ()):
            yield from self._properties(part)
            if "$ref" in part:
                url, _, pointer = part["$ref"].partition("#/")
                found = self._contents[url]
                for step in pointer.split("/"):
                    found = found[step]
                yield from self._properties(found)


def key_values(entity):
    """A normalized entity (NGSI-LD or NGSIv2) reduced to attribute: value."""
    made = {}
    for name, attribute in entity.items():
        if name in ("id", "type"):
            made[name] = attribute
            continue
        value = attribute.get("value", attribute.get("object"))
        made[name] = value["@value"] if isinstance(value, dict) and "@value" in value else value
    return made

"""What the city receives fits the Smart Data Models and the API descriptions, names included."""

import json
from pathlib import Path

import jsonschema
import pytest

import edgeagent.ngsi
from edgeagent.ngsi import entities, iota_json, iota_ul, ld, terms, v2
from edgeagent.reading import Kind
from tests.conftest import SHARED
from tests.ngsi.samples import ALL, SITE
from tests.ngsi.smart_data_models import MODELS, Models, key_values

CONTEXT = json.loads((Path(edgeagent.ngsi.__file__).parent / "context.jsonld").read_text())["@context"]
CORE = {"location", "description"}  # terms of the core context, which nobody may redefine
OWN = "edgeagent:"
BORROWED = {  # of another Smart Data Model, where the type's own has no word for it
    "WaterObserved": {"measuredDistance"},
    "WeatherObserved": {"dateObservedFrom", "dateObservedTo"},
    "Alert": {"waterLevel"},
    # types of our own
    "ReadingGap": {"name", "location", "dateObserved", "dateObservedFrom", "dateObservedTo"},
    "ReadingCompleteness": {"name", "location", "dateObserved"},
}
OWN_TYPES = (Kind.GAP, Kind.COMPLETENESS)

pytestmark = pytest.mark.shared
every_kind = pytest.mark.parametrize("reading", ALL.values(), ids=ALL.keys())


@pytest.fixture(scope="module")
def models():
    return Models(SHARED)


@pytest.mark.parametrize("reading", [r for r in ALL.values() if r.kind not in OWN_TYPES], ids=lambda r: r.stream)
def test_an_entity_fits_its_model(models, reading):
    for text in (ld.normalized(entities.entity(reading, SITE)), v2.normalized(entities.entity(reading, SITE))):
        assert models.errors(key_values(json.loads(text))) == []


@every_kind
def test_every_attribute_is_the_models_or_our_published_own(models, reading):
    made = json.loads(ld.normalized(entities.entity(reading, SITE)))
    for name in set(made) - {"id", "type"}:
        own = str(CONTEXT.get(name, "")).startswith(OWN)
        known = models.properties(made["type"]) | BORROWED.get(made["type"], set())
        assert name in CONTEXT or name in CORE
        assert own or name in known, name


@every_kind
def test_measures_use_the_same_names(models, reading):
    measure = json.loads(iota_json.measure(reading, SITE))
    made = json.loads(ld.normalized(entities.entity(reading, SITE)))
    assert set(measure) - {"TimeInstant"} <= set(made)
    spoken = iota_ul.measure(reading, SITE).decode().split("|")[1::2]
    assert set(spoken) == {name for name, value in measure.items() if value != ""} - {"TimeInstant"}


def test_the_context_lists_what_the_tables_say():
    names = {n for table in (*terms.OBSERVED.values(), *terms.FACTS.values()) for n in table.values()}
    assert names | set(terms.TYPES.values()) <= set(CONTEXT)


def test_borrowed_terms_mean_what_their_owners_say(models):
    for name, iri in CONTEXT.items():
        domain = iri.removeprefix("https://smartdatamodels.org/dataModel.").partition("/")[0]
        if domain in MODELS.values() and domain != "Alert":
            assert models.context(domain)[name] == iri
    assert not {"id", "type", *CORE} & set(CONTEXT)


def test_no_own_term_shadows_one_of_the_core_context(shared):
    core = json.loads((shared / "ngsi/contexts/ngsi-ld-core-context-v1.6.jsonld").read_text())["@context"]
    core = (
        core if isinstance(core, dict) else {k: v for part in core if isinstance(part, dict) for k, v in part.items()}
    )
    assert not set(core) & set(CONTEXT)


def test_the_batch_is_what_the_api_describes(shared):
    api = json.loads((shared / "ngsi/openapi/ngsi-ld.fixed.json").read_text())
    batch = [json.loads(ld.normalized(entities.entity(r, SITE))) for r in ALL.values()]
    jsonschema.Draft4Validator({"$ref": "#/components/schemas/EntityList", **api}).validate(batch)


def test_the_history_is_what_the_api_describes(shared):
    api = json.loads((shared / "ngsi/openapi/ngsi-ld.fixed.json").read_text())
    body = json.loads(ld.temporal([entities.entity(ALL["water"], SITE), entities.entity(ALL["blind"], SITE)]))
    jsonschema.Draft4Validator({"$ref": "#/components/schemas/EntityTemporal", **api}).validate(body)


def test_the_update_is_what_the_api_describes(shared):
    api = json.loads((shared / "ngsi/openapi/ngsiv2-openapi.json").read_text())
    body = json.loads(v2.append([v2.normalized(entities.entity(r, SITE)) for r in ALL.values()]))
    jsonschema.Draft4Validator({"$ref": "#/definitions/UpdateRequest", **api}).validate(body)

"""The parts list of the package: CycloneDX 1.6, every distribution with its licence, its needs and its hash.

The hash is over every file that a distribution's own RECORD names and the package keeps; a library that a
wheel carries along in its `.libs` folder is a part within the part, and the detector is a part of its own.
Specification: ECMA-424, 1st edition (CycloneDX 1.6).
"""

import csv
import datetime as dt
import email.parser
import hashlib
import json
import re
import uuid
from pathlib import Path

# Who installed it, from where, and when: differs from machine to machine and is left out of the package.
GONE = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json")
_EXPRESSION = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*")


def of_parts(site, version, epoch):
    """The document for what lies in `site`, before its RECORDs are removed.

    Args:
        site: folder of distributions.
        version: of the package.
        epoch: UTC seconds that it is said to be made at.
    """
    folders = {canonical(about(folder)["Name"]): folder for folder in sorted(site.glob("*.dist-info"))}
    refs = {name: f"pkg:pypi/{name}@{about(folder)['Version']}" for name, folder in folders.items()}
    us = f"pkg:generic/edgeagent@{version}"
    needs = [
        {"ref": refs[name], "dependsOn": sorted({refs[one] for one in needed(folder) if one in refs and one != name})}
        for name, folder in folders.items()
    ]
    models = [model(site, file) for file in sorted(site.glob("edgeagent/_shipped/models/*.onnx"))]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": dt.datetime.fromtimestamp(epoch, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "authors": [{"name": "edgeagent maintainers"}],
            "component": {"type": "application", "bom-ref": us, "name": "edgeagent", "version": version, "purl": us},
        },
        "components": [part(site, name, folder, refs[name]) for name, folder in folders.items()] + models,
        "dependencies": [
            {"ref": us, "dependsOn": sorted([*refs.values(), *(one["bom-ref"] for one in models)])},
            *needs,
        ],
    }
    text = json.dumps(document, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, text)}"
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def part(site, name, folder, ref):
    """One distribution."""
    said, kept = about(folder), record(site, folder)
    made = {
        "type": "application" if name == "edgeagent" else "library",
        "bom-ref": ref,
        "name": name,
        "version": said["Version"],
        "purl": ref,
        "hashes": [sha256(*((str(at), (site / at).read_bytes()) for at in kept))],
    }
    classified = [line.rpartition(" :: ")[2] for line in said.get_all("Classifier") or () if line.startswith("License")]
    licence = (said["License-Expression"] or said["License"] or ", ".join(classified)).strip()
    if licence and len(licence) < 200:  # some put the whole text there
        expression = said["License-Expression"] and _EXPRESSION.fullmatch(licence)
        made["licenses"] = [{"expression": licence}] if expression else [{"license": {"name": licence}}]
    inside = [at for at in kept if at.parent.name.endswith(".libs")]
    if inside:
        made["components"] = [
            {
                "type": "library",
                "bom-ref": f"{ref}#{at}",
                "name": at.name,
                "hashes": [sha256(("", (site / at).read_bytes()))],
            }
            for at in inside
        ]
    return made


def model(site, file):
    """A detector: its file name and its hash, which its reports name too."""
    at = str(file.relative_to(site))
    return {
        "type": "machine-learning-model",
        "bom-ref": at,
        "name": file.stem,
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}],
    }


def record(site, folder):
    """Paths within `site` of what a distribution brought and the package keeps, sorted."""
    with (folder / "RECORD").open(encoding="utf-8", newline="") as lines:
        named = [Path(line[0]) for line in csv.reader(lines) if line]
    return sorted(
        at
        for at in named
        if ".." not in at.parts
        and not {"__pycache__", "tests"} & set(at.parts)
        and at.parts[0] != "bin"
        and not (at.parent == Path(folder.name) and at.name in GONE)
        and (site / at).is_file()
    )


def needed(folder):
    """Names of the distributions that one asks for, extras left out."""
    for line in about(folder).get_all("Requires-Dist") or ():
        if "extra ==" not in line:
            yield canonical(re.match(r"[A-Za-z0-9._-]+", line)[0])


def about(folder):
    """METADATA of a distribution."""
    return email.parser.Parser().parsestr((folder / "METADATA").read_text(encoding="utf-8", errors="replace"))


def canonical(name):
    """A name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def sha256(*named):
    """One hash over (name, content) pairs; over the content alone where the name is ""."""
    digest = hashlib.sha256()
    for name, content in named:
        digest.update(name.encode() + b"\0" + content if name else content)
    return {"alg": "SHA-256", "content": digest.hexdigest()}

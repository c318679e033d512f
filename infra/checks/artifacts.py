"""Packs the functions' binaries, and tells what is in them.

    artifacts.py BINARIES OUT

The same binaries and the same lock file give the same bytes.
"""

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The most that a zip may have, in bytes; more is more to fetch at each cold start. As measured, with some
# room: docs/deploy.md says what is in those that use the bucket.
ZIP_MAX = 5_200_000
WITHOUT_BUCKET = 4_000_000
ZIP_MAX_OF = {"console": 5_500_000} | dict.fromkeys(
    ("deliver", "endpoints", "payment", "socket", "webhook"), WITHOUT_BUCKET
)


def linked(functions):
    """The packages that end up in a binary, without ours, by name and version."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    command += ["--filter-platform", "x86_64-unknown-linux-gnu"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    open_ids = [id for id, package in packages.items() if package["name"] in functions and package["source"] is None]
    seen = set(open_ids)
    while open_ids:
        for dependency in nodes[open_ids.pop()]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if normal and dependency["pkg"] not in seen:
                seen.add(dependency["pkg"])
                open_ids.append(dependency["pkg"])
    found = [packages[id] for id in seen if packages[id]["source"]]
    return sorted(found, key=lambda package: (package["name"], package["version"]))


def pack(binary, file):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as zipped:
        entry = zipfile.ZipInfo("bootstrap")  # of 1980, as every zip without a time
        entry.external_attr = 0o755 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        zipped.writestr(entry, binary.read_bytes())


def materials(packages):
    def component(package):
        name, version = package["name"], package["version"]
        found = {"type": "library", "name": name, "version": version, "purl": f"pkg:cargo/{name}@{version}"}
        if package["license"]:
            found["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        return found

    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": [component(it) for it in packages]}


def licences(packages):
    """Each text once, under those that it is for."""
    texts = {}
    for package in packages:
        folder = Path(package["manifest_path"]).parent
        files = sorted(it for it in folder.iterdir() if it.name.upper().startswith(("LICEN", "COPYING", "NOTICE")))
        title = f"{package['name']} {package['version']} ({package['license']})"
        for text in [it.read_text(errors="replace").strip() for it in files if it.is_file()] or [""]:
            texts.setdefault(text, []).append(title)
    return "\n\n".join("\n".join(titles) + "\n\n" + (text or "(comes without a text)") for text, titles in texts.items())


def main():
    binaries, out = Path(sys.argv[1]), Path(sys.argv[2])
    functions = sorted(folder.name for folder in (ROOT / "functions").iterdir())
    packages = linked(functions)
    (out / "sbom.cdx.json").write_text(json.dumps(materials(packages), indent=1) + "\n")
    (out / "THIRD-PARTY-LICENCES.txt").write_text(licences(packages) + "\n")
    too_large = []
    for function in functions:
        zipped = out / f"{function}.zip"
        pack(binaries / function, zipped)
        size, limit = zipped.stat().st_size, ZIP_MAX_OF.get(function, ZIP_MAX)
        print(f"{zipped.name:14} {size:9} bytes, {(binaries / function).stat().st_size} unpacked")
        too_large += [function] if size > limit else []
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(out.iterdir())]
    (out / "SHA256SUMS").write_text("".join(sums))
    print(f"{len(packages)} packages are linked in")
    sys.exit(f"larger than they may be: {', '.join(too_large)}" if too_large else 0)


if __name__ == "__main__":
    main()

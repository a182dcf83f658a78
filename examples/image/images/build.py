"""Builds an image of democloud from the files in images/NAME.

Everything is in the image when a server is made from it: nothing has to be installed then.
The last line of the standard output is the image's id, for terrace.hcl: image.NAME.id.
"""

import json
import os
import pathlib
import sys
import urllib.request

name = sys.argv[1]
folder = pathlib.Path("images") / name
files = {str(f.relative_to(folder)): f.read_text() for f in sorted(folder.rglob("*")) if f.is_file()}
print(f"building {name} of {', '.join(files)}", file=sys.stderr)

# Images belong to a tenant of their own; servers of every environment are made from them.
request = urllib.request.Request(
    os.environ["CLOUD"] + "/v1/images/image",
    data=json.dumps({"name": name, "spec": {"files": files}}).encode(),
    headers={"Content-Type": "application/json"},
)
with urllib.request.urlopen(request, timeout=60) as answer:
    print(json.load(answer)["id"])

"""The tour in Python with pachybox.client, which needs nothing but the standard library.

Finds the box by $PACHYBOX_ADDRESS, else in the data directory:  python examples/clients/tour.py
"""

import tempfile
from pathlib import Path

from pachybox.client import Client

COUNT = (
    'for f in /pfs/tour-python/*; do wc -w < "$f" > "/pfs/out/${f##*/}"; echo "counted $f"; done'
)

with Client() as box:
    # A repo, and two files in one commit.
    box.create_repo("tour-python", update=True)
    with box.commit("tour-python@master") as commit:
        commit.put_file("/hamlet", b"to be or not to be\n")
        commit.put_file("/merchant", b"the quality of mercy is not strained\n")

    for file in box.list_file("tour-python@master:/"):
        print(file.path, file.size_bytes, "bytes")
    with box.open("tour-python@master:/hamlet") as text:
        print(text.read(), end="")

    # A pipeline: a datum for each file. The commit it makes waits for its job.
    box.create_pipeline(
        "words-python",
        cmd=["sh"],
        stdin=[COUNT],
        input={"pfs": {"repo": "tour-python", "glob": "/*"}},
        update=True,
    )
    made = box.wait_commit("words-python@master")
    for line in box.logs("words-python"):
        print("log:", line.message)

    with tempfile.TemporaryDirectory() as folder:
        box.get_files(f"words-python@{made.id}:/", folder)
        for result in sorted(Path(folder).iterdir()):
            print(f"/{result.name}: {result.read_text().strip()}")

"""Datums of many and of large files, through a whole box."""

from __future__ import annotations

import hashlib
import os
import random

from tests.boxes import RealBox
from tests.flow.test_pipelines import contents, last_job, spec

SCRIPT = """\
set -e
cd /pfs/in
find . -type f | LC_ALL=C sort | xargs cat | sha256sum > /pfs/out/sum
find . -type f | wc -l > /pfs/out/count
if (echo x > d0/f0) 2>/dev/null; then exit 4; fi
if (echo x > d0/new) 2>/dev/null; then exit 5; fi
if (echo x > large) 2>/dev/null; then exit 6; fi
if rm -f large 2>/dev/null; then exit 7; fi
ln -s /pfs/in/d1 /pfs/out/linked
ln -s /pfs/in/large /pfs/out/large
"""


def test_a_datum_of_many_files_sees_them_read_only_and_links_them(box: RealBox) -> None:
    """Whatever the machine allows (an image, links, copies): the same content."""
    c = box.client
    files = {f"/d{i % 3}/f{i}": random.Random(i).randbytes(i) for i in range(700)}
    files["/large"] = os.urandom(1 << 20)
    c.create_repo("in")
    with c.put("in@master") as put:
        for path, data in files.items():
            put.data(path, data)
    c.create_pipelines(spec("p", "in", SCRIPT, pfs={"glob": "/"}, datum_tries=1))
    job = last_job(box, "p")
    assert (job.state, job.reason) == ("JOB_SUCCESS", "")
    found = contents(box, "p@master")
    assert found["/count"].strip() == b"%d" % len(files)
    assert found["/large"] == files["/large"]
    assert {p: d for p, d in found.items() if p.startswith("/linked/")} == {
        "/linked" + p[3:]: d for p, d in files.items() if p.startswith("/d1/")
    }
    whole = b"".join(files[p] for p in sorted(files, key=str.encode))
    assert found["/sum"].split()[0].decode() == hashlib.sha256(whole).hexdigest()

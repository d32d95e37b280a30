"""The S3 door: Amazon's S3 over HTTP, translated to the object service (pfs/objects.py).

door.py        one request to one answer: guard, address, identity, operation, errors
route.py       what is S3's, which bucket and key are meant, which operation it is
auth.py        signatures of versions 4 and 2, in headers, in a query, in a form
payload.py     the body: aws-chunked undone, digests compared before anything is stored
buckets.py, listing.py, objects.py, puts.py, copies.py, deletes.py, multipart.py, form.py
               the operations
absent.py      what is not kept here: empty configurations, and refusals by name
"""

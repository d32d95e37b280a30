// The tour in JavaScript: Node 18 or newer and nothing else. It works in a browser's page too,
// when the page comes from the box. $PACHYBOX_URL says where the box is, $PACHYBOX_TOKEN who asks:
//
//   node examples/clients/tour.mjs

const url = process.env.PACHYBOX_URL ?? "http://localhost:30600";
const token = process.env.PACHYBOX_TOKEN;
const headers = token ? { authorization: `Bearer ${token}` } : {};

/** POST one message, or several one after the other; the answer's body as a Response. */
async function post(method, ...messages) {
  const body = messages.map((message) => JSON.stringify(message)).join("\n");
  const answer = await fetch(`${url}/api/${method}`, { method: "POST", headers, body });
  if (!answer.ok) {
    const said = await answer.json();
    throw new Error((said.error ?? said).message);
  }
  return answer;
}

/** A method that answers once. */
const call = async (method, ...messages) => (await post(method, ...messages)).json();

/** A method that answers with a stream: its records as they arrive. */
async function* stream(method, message) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of (await post(method, message)).body) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines.filter(Boolean)) {
      const record = JSON.parse(line);
      if (record.error) throw new Error(record.error.message);
      yield record.result;
    }
  }
}

const project = { name: "default" };
const repo = { name: "tour-js", type: "user", project };
const master = { repo, branch: { repo, name: "master" } };
const pipeline = { name: "words-js", project };
const output = { name: "words-js", type: "user", project };
const add = (path, text) => ({ addFile: { path, raw: btoa(text) } });
const drop = (path) => ({ deleteFile: { path } });

// A repo, and two files in one commit.
await call("pfs_v2.API/CreateRepo", { repo, update: true });
await call(
  "pfs_v2.API/ModifyFile",
  { setCommit: master },
  drop("/hamlet"),
  add("/hamlet", "to be or not to be\n"),
  drop("/merchant"),
  add("/merchant", "the quality of mercy is not strained\n"),
);

for await (const info of stream("pfs_v2.API/ListFile", { file: { commit: master, path: "/" } }))
  console.log(info.file.path, info.sizeBytes, "bytes");
const hamlet = await fetch(`${url}/pfs/default/tour-js/master/hamlet`, { headers });
process.stdout.write(await hamlet.text());

// A pipeline: a datum for each file. The commit it makes waits for its job.
await call("pps_v2.API/CreatePipeline", {
  pipeline,
  transform: {
    cmd: ["sh"],
    stdin: ['for f in /pfs/tour-js/*; do wc -w < "$f" > "/pfs/out/${f##*/}"; echo "counted $f"; done'],
  },
  input: { pfs: { repo: "tour-js", glob: "/*" } },
  update: true,
});
const made = await call("pfs_v2.API/InspectCommit", {
  commit: { repo: output, branch: { repo: output, name: "master" } },
  wait: "FINISHED",
});
for await (const line of stream("pachybox.v1.API/GetLogs", { pipeline })) console.log("log:", line.message);

// The same port speaks S3; without a token an object is one plain request.
if (!token) {
  const object = await fetch(`${url}/words-js/hamlet`);
  console.log("by S3:", (await object.text()).trim(), object.headers.get("x-amz-version-id"));
}

for (const name of ["hamlet", "merchant"]) {
  const result = await fetch(`${url}/pfs/default/words-js/${made.commit.id}/${name}`, { headers });
  console.log(`/${name}: ${(await result.text()).trim()}`);
}

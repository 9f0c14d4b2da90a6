// Connects a TypeScript client, lists the tools and makes calls; prints all as JSON.
//
//   node call.mjs 1|2 '{"url": ...} or {"command": ..., "args": [...], "env": {...}}'
//       '[{"name": ..., "arguments": {...}}, ...]'
//
// 1 is the SDK @modelcontextprotocol/sdk, 2 is @modelcontextprotocol/client, which
// negotiates the newest revision of the protocol.

const [version, where, calls] = process.argv.slice(2);
const server = JSON.parse(where);
const about = { name: "conformance", version: "1" };

async function connected() {
  if (version === "1") {
    const sdk = "@modelcontextprotocol/sdk/client";
    const { Client } = await import(`${sdk}/index.js`);
    const { StdioClientTransport } = await import(`${sdk}/stdio.js`);
    const { StreamableHTTPClientTransport } = await import(`${sdk}/streamableHttp.js`);
    const client = new Client(about);
    await client.connect(transport(StdioClientTransport, StreamableHTTPClientTransport));
    return client;
  }
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const { StdioClientTransport } = await import("@modelcontextprotocol/client/stdio");
  const client = new Client(about, { versionNegotiation: { mode: "auto" } });
  await client.connect(transport(StdioClientTransport, StreamableHTTPClientTransport));
  return client;
}

function transport(Stdio, Http) {
  return server.url ? new Http(new URL(server.url)) : new Stdio(server);
}

const client = await connected();
const { tools } = await client.listTools();
const results = [];
for (const call of JSON.parse(calls)) results.push(await client.callTool(call));
const revision = client.getNegotiatedProtocolVersion?.() ?? null;
console.log(JSON.stringify({ revision, tools, results }));
await client.close();

// Checks an AsyncAPI document with AsyncAPI's own parser:  node asyncapi.mjs FOLDER-OF-MODULES DOCUMENT
// Prints what is wrong, one JSON object a line. Exit code 1 if the document is invalid.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, document] = process.argv.slice(2);
const { Parser } = createRequire(`${modules}/`)("@asyncapi/parser");
const { document: parsed, diagnostics } = await new Parser().parse(readFileSync(document, "utf8"));
for (const { severity, message, path, code } of diagnostics) {
  console.log(JSON.stringify({ severity, code, message, path: path.join("/") }));
}
if (!parsed) process.exit(1);
console.log(JSON.stringify({ channels: parsed.channels().length, operations: parsed.operations().length }));

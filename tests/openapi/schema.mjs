// schema.mjs - JSON Schemas of the API's document: bodies made from them, and
// validators of replies.
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import fc from "fast-check";

const ODD_STRINGS = ["", " ", "a".repeat(70), "A", "-a", "ä", "\u0000", "\u202e",
  "../..", "a/b", "%00", "'; DROP TABLE instances;--", "<script>", "\ud800",
  "00000000-0000-0000-0000-000000000000", "null", "x".repeat(70000)];
const ODD_NUMBERS = [0, -1, 1, 0.5, 1e308, Number.MAX_SAFE_INTEGER,
  -Number.MAX_SAFE_INTEGER, 2 ** 31, 2 ** 32];
const deep = (n) => JSON.parse("[".repeat(n) + "]".repeat(n));
// What hardly any field takes.
export const odd = fc.oneof(fc.constantFrom(...ODD_STRINGS), fc.constantFrom(...ODD_NUMBERS),
  fc.constantFrom(null, true, false, [], {}, [[]], deep(50)), fc.jsonValue({ maxDepth: 3 }));

export class Document {
  constructor(text) {
    this.doc = JSON.parse(text);
    // Strict: a reply may hold nothing that the document does not name.
    const closed = JSON.parse(text, (key, value) =>
      value && value.type === "object" && value.properties
        ? { ...value, additionalProperties: false } : value);
    const ajv = new Ajv2020({ strict: true, allErrors: false, validateSchema: true });
    addFormats(ajv);
    ajv.addFormat("int64", { type: "number", validate: Number.isInteger });
    ajv.addVocabulary(["openapi", "info", "servers", "tags", "paths", "components"]);
    ajv.addSchema(closed, "virga");
    this.ajv = ajv;
    this.compiled = new Map();
    this.operations = [];
    for (const [path, item] of Object.entries(this.doc.paths))
      for (const [method, op] of Object.entries(item))
        this.operations.push({ path, method: method.toUpperCase(), op });
  }

  pointer(path, method, status, type) {
    const esc = (s) => s.replace(/~/g, "~0").replace(/\//g, "~1");
    return `virga#/paths/${esc(path)}/${method.toLowerCase()}/responses/${status}` +
      `/content/${esc(type)}/schema`;
  }

  // What is wrong with a reply by the document, or null.
  fault({ path, method, op }, reply) {
    const status = op.responses[reply.status] ? String(reply.status) : "default";
    const documented = op.responses[status];
    const content = documented.content;
    if (status === "default" && reply.status < 400)
      return `status ${reply.status} is not documented`;
    if (!content) return null; // no body, or one that is not JSON
    const type = (reply.type || "").split(";")[0];
    if (!content[type])
      return `content type "${type}" of ${reply.status} is not documented`;
    if (!/json$/.test(type)) return null;
    let value;
    try {
      value = JSON.parse(reply.text);
    } catch (e) {
      return `the body is no JSON: ${e.message}`;
    }
    const ref = this.pointer(path, method, status, type);
    if (!this.compiled.has(ref)) {
      const check = this.ajv.getSchema(encodeURI(ref));
      if (!check) return `no schema at ${ref}`;
      this.compiled.set(ref, check);
    }
    const check = this.compiled.get(ref);
    return check(value) ? null
      : `not as documented: ${this.ajv.errorsText(check.errors)}: ${reply.text.slice(0, 300)}`;
  }

  resolve(schema) {
    while (schema.$ref)
      schema = schema.$ref.slice(2).split("/").reduce((at, key) => at[key], this.doc);
    return schema;
  }

  // Values that a schema takes; `names`: what references may point at.
  good(schema, names) {
    schema = this.resolve(schema);
    if (schema.anyOf) return this.good(schema.anyOf[0], names);
    if (schema.enum) return fc.constantFrom(...schema.enum);
    switch (schema.type) {
      case "object": {
        const fields = {};
        for (const [key, sub] of Object.entries(schema.properties || {}))
          fields[key] = this.good(sub, names);
        if (!schema.properties)
          return fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.stringMatching(/^[a-z]{0,8}$/),
            { maxKeys: 4 });
        return fc.record(fields, { requiredKeys: schema.required || [] });
      }
      case "array":
        // Lists of texts are of words that are looked up, not kept.
        return fc.array(schema.items.type === "string"
          ? fc.oneof(fc.constantFrom(...names), fc.string({ maxLength: 40 }))
          : this.good(schema.items, names),
          { minLength: schema.minItems || 0, maxLength: Math.min(schema.maxItems || 3, 3) });
      case "integer":
        return fc.integer({ min: Math.max(schema.minimum ?? 0, -(2 ** 31)),
          max: Math.min(schema.maximum ?? 1000, 2 ** 31 - 1) });
      case "boolean":
        return fc.boolean();
      default:
        break;
    }
    if (schema.format === "uuid") return fc.uuid({ version: 7 });
    if (schema.format === "date-time")
      return fc.date({ min: new Date("2027-01-01"), max: new Date("2030-01-01"), noInvalidDate: true })
        .map((d) => d.toISOString());
    if (schema.pattern) {
      const form = new RegExp(schema.pattern);
      const fits = names.filter((n) => form.test(n));
      return fits.length === 0 ? fc.stringMatching(form)
        : fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...fits) },
          { weight: 1, arbitrary: fc.stringMatching(form) });
    }
    // What is kept as it was sent may hold no name: seen again, it would be taken for a leak.
    return fc.string({ minLength: schema.minLength || 0, maxLength: 40 });
  }

  // A body with one thing wrong, or with anything in it.
  bad(schema, names) {
    const base = this.good(schema, names);
    const keys = Object.keys(this.resolve(schema).properties || {});
    const one = fc.tuple(base, fc.constantFrom(...keys, "surplus"), odd).map(([value, key, wrong]) =>
      JSON.stringify({ ...value, [key]: wrong }));
    const text = base.map((value) => JSON.stringify(value));
    const cut = fc.tuple(text, fc.nat()).map(([s, n]) => s.slice(0, n % (s.length + 1)));
    const twice = text.map((s) => (s === "{}" ? '{"a":1,"a":2}' : `{${s.slice(1, -1)},${s.slice(1, -1)}}`));
    const any = odd.map((value) => JSON.stringify(value));
    return fc.oneof({ weight: 6, arbitrary: one }, { weight: 1, arbitrary: cut },
      { weight: 1, arbitrary: twice }, { weight: 1, arbitrary: any });
  }
}

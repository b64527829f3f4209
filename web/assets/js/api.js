// Shows what openapi.json describes, and sends what is filled in. No library, no global names.
"use strict";
(async () => {
  const place = document.querySelector("[data-operations]");
  const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const described = await (await fetch("/api/v1/openapi.json")).json();
  const schemas = described.components.schemas;
  const named = (schema) => (schema.$ref ? schemas[schema.$ref.split("/").pop()] : schema);
  const kind = (schema) => {
    if (schema.$ref) return schema.$ref.split("/").pop();
    if (schema.enum) return schema.enum.join(" | ");
    if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
    if (schema.items) return `list of ${kind(schema.items)}`;
    return [schema.type ?? "anything"].flat().join(" or ");
  };

  const fields = (schema) => {
    const { properties = {}, required = [] } = named(schema);
    const rows = Object.entries(properties).map(([name, field]) => make("tr", {},
      make("th", { scope: "row", textContent: name + (required.includes(name) ? " *" : "") }),
      make("td", { textContent: kind(field) }),
      make("td", { textContent: field.description ?? named(field).description ?? "" })));
    return make("div", { className: "scroll" }, make("table", {}, make("tbody", {}, ...rows)));
  };

  const form = (method, path, operation) => {
    const inputs = (operation.parameters ?? []).map((parameter) => {
      const input = make("input", { name: parameter.name, required: parameter.required ?? false });
      return { parameter, input, label: make("label", {}, `${parameter.name} (${parameter.in}) `, input) };
    });
    const [type, media] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
    const body = type && make("textarea", { rows: 8, spellcheck: false, ariaLabel: "Body", value: JSON.stringify(media.example ?? {}, null, type.endsWith("ndjson") ? 0 : 2) });
    const answer = make("pre", { ariaLive: "polite" });
    const form = make("form", { className: "stack" }, ...inputs.map(({ label }) => label), ...(body ? [body] : []),
      make("button", { className: "button", textContent: "Send" }), answer);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const url = new URL(path, location.origin);
      const headers = { Authorization: `Bearer ${document.querySelector("#token").value.trim()}` };
      if (body) headers["Content-Type"] = type;
      for (const { parameter, input } of inputs) {
        if (input.value === "") continue;
        if (parameter.in === "path") url.pathname = decodeURI(url.pathname).replace(`{${parameter.name}}`, encodeURIComponent(input.value));
        if (parameter.in === "query") url.searchParams.set(parameter.name, input.value);
        if (parameter.in === "header") headers[parameter.name] = input.value;
      }
      answer.textContent = "…";
      try {
        const response = await fetch(url, { method, headers, body: body?.value });
        const text = await response.text();
        const isJson = (response.headers.get("content-type") ?? "").endsWith("json") && !type?.endsWith("ndjson");
        answer.textContent = `${response.status} ${response.statusText}\n${isJson && text ? JSON.stringify(JSON.parse(text), null, 2) : text}`;
      } catch (error) {
        answer.textContent = String(error);
      }
    });
    return form;
  };

  for (const [path, operations] of Object.entries(described.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const schema = Object.values(operation.requestBody?.content ?? {})[0]?.schema;
      place.append(make("details", {},
        make("summary", {}, make("code", { textContent: `${method.toUpperCase()} ${path}` }), ` ${operation.summary}`),
        make("p", { textContent: operation.description ?? "" }), ...(schema ? [fields(schema)] : []),
        form(method.toUpperCase(), path, operation)));
    }
  }
})();

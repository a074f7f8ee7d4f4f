"use strict";

const prefix = document.body.dataset.prefix;
const rowCountMax = 1000;

const byId = (id) => document.getElementById(id);

/** The `data` of an API answer; throws with the server's own words. */
async function api(path, parameters) {
  const query = parameters ? "?" + new URLSearchParams(parameters) : "";
  const response = await fetch(prefix + "/api/v1/" + path + query);
  const text = await response.text();
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new Error(`${response.status}: ${text.trim()}`);
  }
  if (answer.status !== "success") {
    throw new Error(`${answer.errorType}: ${answer.error}`);
  }
  return answer;
}

function cell(row, text, className) {
  const td = row.insertCell();
  td.textContent = text;
  if (className) {
    td.className = className;
  }
}

function describe(list, name, value) {
  const dt = document.createElement("dt");
  const dd = document.createElement("dd");
  dt.textContent = name;
  dd.textContent = value;
  list.append(dt, dd);
}

function seriesText(metric) {
  const { __name__: name = "", ...labels } = metric;
  const pairs = Object.entries(labels).map(([label, value]) => `${label}=${JSON.stringify(value)}`);
  return pairs.length === 0 && name ? name : `${name}{${pairs.join(", ")}}`;
}

/** Rows of [series, value] for any type of result. */
function rowsOf(data) {
  const point = ([time, value]) => `${value} @${time}`;
  switch (data.resultType) {
    case "vector":
      return data.result.map((s) => [seriesText(s.metric), s.value ? s.value[1] : "histogram"]);
    case "matrix":
      return data.result.map((s) => [seriesText(s.metric), (s.values || []).map(point).join("\n")]);
    default:
      return [[data.resultType, data.result[1]]];
  }
}

async function runQuery(event) {
  event.preventDefault();
  const table = byId("result");
  const error = byId("query-error");
  const note = byId("query-note");
  const parameters = { query: byId("query").value };
  if (byId("time").value.trim()) {
    parameters.time = byId("time").value.trim();
  }
  note.textContent = "running";
  error.hidden = true;
  const start = performance.now();
  try {
    const answer = await api("query", parameters);
    const rows = rowsOf(answer.data);
    const body = table.tBodies[0];
    body.replaceChildren();
    for (const [series, value] of rows.slice(0, rowCountMax)) {
      const row = body.insertRow();
      cell(row, series);
      cell(row, value, "number");
    }
    table.hidden = rows.length === 0;
    const shown = rows.length > rowCountMax ? `, ${rowCountMax} of them shown` : "";
    const took = Math.round(performance.now() - start);
    const notes = [...(answer.warnings || []), ...(answer.infos || [])];
    note.textContent = [`${rows.length} results in ${took} ms${shown}`, ...notes].join("; ");
    history.replaceState(null, "", "?" + new URLSearchParams(parameters));
  } catch (failure) {
    table.hidden = true;
    note.textContent = "";
    error.textContent = failure.message;
    error.hidden = false;
  }
}

const ago = (iso) => {
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  if (iso.startsWith("0001")) {
    return "never";
  }
  return seconds < 120 ? `${seconds.toFixed(1)} s ago` : `${Math.round(seconds / 60)} min ago`;
};

async function showTargets() {
  const { activeTargets } = (await api("targets", { state: "active" })).data;
  const body = byId("targets").tBodies[0];
  body.replaceChildren();
  for (const target of activeTargets.slice(0, rowCountMax)) {
    const row = body.insertRow();
    cell(row, target.scrapePool);
    cell(row, target.scrapeUrl);
    cell(row, target.health, target.health);
    cell(row, ago(target.lastScrape), "number");
    cell(row, `${(target.lastScrapeDuration * 1000).toFixed(1)} ms`, "number");
    cell(row, target.lastError, "error");
  }
  const up = activeTargets.filter((target) => target.health === "up").length;
  byId("targets").hidden = activeTargets.length === 0;
  byId("targets-note").textContent =
    activeTargets.length === 0
      ? "No targets: the configuration names none."
      : `${up} of ${activeTargets.length} up`;
}

async function showServer() {
  const [build, runtime, tsdb] = await Promise.all(
    ["status/buildinfo", "status/runtimeinfo", "status/tsdb"].map((path) => api(path)),
  );
  byId("build").textContent =
    `${build.data.revision}, speaks the API of Prometheus ${build.data.version}`;
  const list = byId("server");
  list.replaceChildren();
  describe(list, "Started", `${runtime.data.startTime} (${ago(runtime.data.startTime)})`);
  describe(list, "Shards", String(runtime.data.GOMAXPROCS));
  describe(list, "Series in memory", tsdb.data.headStats.numSeries.toLocaleString());
  describe(list, "Retention", runtime.data.storageRetention);
  describe(list, "Working directory", runtime.data.CWD);
  const reload = runtime.data.reloadConfigSuccess ? "loaded" : "the last reload failed, since";
  describe(list, "Configuration", `${reload} ${runtime.data.lastConfigTime}`);
}

async function showRules() {
  const { groups } = (await api("rules")).data;
  const rules = groups.flatMap((group) => group.rules.map((rule) => [group, rule]));
  const health = { ok: "up", err: "down" };
  let body = byId("rules").tBodies[0];
  body.replaceChildren();
  for (const [group, rule] of rules.slice(0, rowCountMax)) {
    const row = body.insertRow();
    cell(row, group.name);
    cell(row, rule.name);
    cell(row, rule.query);
    cell(row, rule.health, health[rule.health]);
    cell(row, ago(rule.lastEvaluation), "number");
    cell(row, `${(rule.evaluationTime * 1000).toFixed(1)} ms`, "number");
    cell(row, rule.lastError || "", "error");
  }
  byId("rules").hidden = rules.length === 0;
  byId("rules-note").textContent =
    rules.length === 0
      ? "No rules: the configuration names none."
      : `${rules.length} in ${groups.length} groups`;
  const alerts = rules.flatMap(([, rule]) => rule.alerts || []);
  const firing = alerts.filter((alert) => alert.state === "firing").length;
  body = byId("alerts").tBodies[0];
  body.replaceChildren();
  alerts.sort((a, b) => a.state.localeCompare(b.state));
  for (const alert of alerts.slice(0, rowCountMax)) {
    const row = body.insertRow();
    cell(row, alert.state, alert.state === "firing" ? "down" : "");
    const { alertname, ...labels } = alert.labels;
    cell(row, seriesText({ __name__: alertname, ...labels }));
    cell(row, String(Number(alert.value)), "number");
    cell(row, ago(alert.activeAt), "number");
    cell(row, Object.entries(alert.annotations).map(([name, text]) => `${name}: ${text}`).join("\n"));
  }
  byId("alerts").hidden = alerts.length === 0;
  byId("alerts-note").textContent =
    alerts.length === 0 ? "None." : `${firing} firing, ${alerts.length - firing} pending`;
}

function refresh() {
  showServer().catch((failure) => {
    byId("build").textContent = failure.message;
  });
  showTargets().catch((failure) => {
    byId("targets-note").textContent = failure.message;
  });
  showRules().catch((failure) => {
    byId("rules-note").textContent = failure.message;
  });
}

const asked = new URLSearchParams(location.search);
const query = asked.get("query") || asked.get("g0.expr");
byId("query-form").addEventListener("submit", runQuery);
if (query) {
  byId("query").value = query;
  byId("time").value = asked.get("time") || "";
  byId("query-form").requestSubmit();
}
refresh();
setInterval(refresh, 15000);

//! `marathon_sd_configs`: tasks of the applications that Marathon runs.
//!
//! Source: Prometheus `discovery/marathon/marathon.go`.

use std::collections::BTreeMap;

use engine::model::Labels;
use serde_json::Value;
use shards::runtime;

use crate::config::MarathonSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::json::int;
use crate::discovery::api::{
    Api, Meta, Request, at, group, host_port, items, secret, text, text_at,
};

const PREFIX: &str = "__meta_marathon_";

pub async fn refresh(config: &MarathonSdConfig, api: &mut Api) -> Result<Vec<TargetGroup>, String> {
    // Any of the servers will do; the clock is as good as a die.
    let index = runtime::unix_ms().unsigned_abs() as usize % config.servers.len().max(1);
    let server = config.servers.get(index).map_or("", String::as_str);
    let mut request = Request::get(format!("{server}/v2/apps/?embed=apps.tasks"));
    let token = secret(config.auth_token.reveal(), &config.auth_token_file, "auth token")?;
    if !token.is_empty() {
        request = request.with("authorization", format!("token={token}"));
    }
    let reply = api.exchange(request).await?;
    if !(200..300).contains(&reply.status) {
        let status = reply.status;
        return Err(format!(
            "non 2xx status '{status}' response during marathon service discovery"
        ));
    }
    let answer = reply.json()?;
    let groups: BTreeMap<String, TargetGroup> =
        items(&answer["apps"]).iter().map(|app| (text(&app["id"]), group_of(app))).collect();
    Ok(groups.into_values().collect())
}

fn group_of(app: &Value) -> TargetGroup {
    let id = text(&app["id"]);
    let mut meta = Meta::new(PREFIX);
    meta.set("app", &id)
        .set("image", text_at(app, "container.docker.image"))
        .set_all("app_label_", &app["labels"]);
    group(id, meta.finish(), targets(app))
}

/// Ports of an application, zero where only the task knows it, each with its labels.
struct Ports<'a> {
    prefix: &'static str,
    numbers: Vec<i64>,
    labels: Vec<&'a Value>,
}

/// Since Marathon 1.5 mappings stand in the container itself, before below `docker`.
fn ports(app: &Value, is_container_network: bool) -> Ports<'_> {
    for path in ["container.portMappings", "container.docker.portMappings"] {
        let mappings = items(at(app, path));
        if !mappings.is_empty() {
            let field = if is_container_network { "containerPort" } else { "hostPort" };
            return Ports {
                prefix: "port_mapping_label_",
                numbers: mappings.iter().map(|mapping| int(&mapping[field])).collect(),
                labels: mappings.iter().map(|mapping| &mapping["labels"]).collect(),
            };
        }
    }
    let definitions = items(&app["portDefinitions"]);
    // Ports that are not required are those of the service; a task listens elsewhere.
    let is_required = app["requirePorts"] == true;
    let number = |definition: &Value| if is_required { int(&definition["port"]) } else { 0 };
    Ports {
        prefix: "port_definition_label_",
        numbers: definitions.iter().map(number).collect(),
        labels: definitions.iter().map(|definition| &definition["labels"]).collect(),
    }
}

fn targets(app: &Value) -> Vec<Labels> {
    let is_container_network = at(app, "networks")[0]["mode"] == "container";
    let mut ports = ports(app, is_container_network);
    let mut targets = vec![];
    for task in items(&app["tasks"]) {
        let own: Vec<i64> = items(&task["ports"]).iter().map(int).collect();
        // The first task that knows ports tells them for all, as in Prometheus.
        if ports.numbers.is_empty() {
            ports.numbers.clone_from(&own);
        }
        let host = match items(&task["ipAddresses"]).first() {
            Some(address) if is_container_network => text(&address["ipAddress"]),
            _ => text(&task["host"]),
        };
        for (index, &number) in ports.numbers.iter().enumerate() {
            let is_elsewhere = number == 0 && own.len() == ports.numbers.len();
            let number = if is_elsewhere { own[index] } else { number };
            let mut meta = Meta::new(PREFIX);
            meta.address(host_port(&host, number))
                .set("task", text(&task["id"]))
                .set("port_index", index.to_string());
            if let Some(labels) = ports.labels.get(index) {
                meta.set_all(ports.prefix, labels);
            }
            targets.push(meta.finish());
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    #[track_caller]
    fn check(answer: &str, expected: &str) {
        check_provider(
            "{servers: [SERVER], auth_token: t}",
            &[("GET /v2/apps/?embed=apps.tasks\nauthorization: token=t", answer)],
            async |config, api, _| refresh(config, api).await,
            expected,
        );
    }

    #[test]
    fn ports_of_the_task() {
        check(
            r#"{"apps":[{"id":"/b","labels":{"a/b":"c"},"container":{"docker":{"image":"i"}},
            "tasks":[{"id":"t1","host":"h","ports":[31000,31001]}]},
            {"id":"/a","portDefinitions":[{"labels":{"x":"y"},"port":80}],"requirePorts":true,
            "tasks":[{"id":"t2","host":"h","ports":[9]}]}]}"#,
            r#"
/a {__meta_marathon_app="/a"}
  {__address__="h:80", __meta_marathon_port_definition_label_x="y", __meta_marathon_port_index="0", __meta_marathon_task="t2"}
/b {__meta_marathon_app="/b", __meta_marathon_app_label_a_b="c", __meta_marathon_image="i"}
  {__address__="h:31000", __meta_marathon_port_index="0", __meta_marathon_task="t1"}
  {__address__="h:31001", __meta_marathon_port_index="1", __meta_marathon_task="t1"}"#,
        );
    }

    #[test]
    fn mapped_ports() {
        check(
            r#"{"apps":[{"id":"/old","container":{"docker":{"image":"i","portMappings":[
            {"labels":{"l":"1"},"containerPort":80,"hostPort":0}]}},"tasks":[{"id":"t","host":"h",
            "ports":[31000]}]},{"id":"/net","networks":[{"mode":"container"}],"container":{
            "portMappings":[{"containerPort":8080,"hostPort":31000}]},"tasks":[{"id":"t","host":"h",
            "ipAddresses":[{"ipAddress":"1.2.3.4"}],"ports":[]}]}]}"#,
            r#"
/net {__meta_marathon_app="/net"}
  {__address__="1.2.3.4:8080", __meta_marathon_port_index="0", __meta_marathon_task="t"}
/old {__meta_marathon_app="/old", __meta_marathon_image="i"}
  {__address__="h:31000", __meta_marathon_port_index="0", __meta_marathon_port_mapping_label_l="1", __meta_marathon_task="t"}"#,
        );
    }

    #[test]
    fn refusals() {
        check("503", "non 2xx status '503' response during marathon service discovery");
    }
}

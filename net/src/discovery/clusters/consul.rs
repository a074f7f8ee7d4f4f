//! `consul_sd_configs`: instances of the services of a Consul catalogue.
//!
//! Prometheus waits for changes by long requests, but not more often than the refresh interval; here
//! both lists are asked for once an interval, so a change is known as soon.
//!
//! Source: Prometheus `discovery/consul/consul.go`.

use serde_json::Value;
use shards::runtime;

use crate::config::ConsulSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::{Api, Meta, group, host_port, items, joined, query, segment, text};
use crate::discovery::stats::DiscoveryStats;

const PREFIX: &str = "__meta_consul_";

pub async fn refresh(
    config: &ConsulSdConfig,
    api: &mut Api,
    stats: &DiscoveryStats,
) -> Result<Vec<TargetGroup>, String> {
    if !config.token.is_empty() {
        api.header("x-consul-token", config.token.reveal())?;
    }
    let path = config.path_prefix.trim_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    let base = format!("{}://{}{slash}{path}/v1", config.scheme, config.server);
    let mut datacenter = config.datacenter.clone();
    if datacenter.is_empty() {
        let own = api.json(&format!("{base}/agent/self")).await?;
        datacenter = text(&own["Config"]["Datacenter"]);
        if datacenter.is_empty() {
            return Err("invalid value '<nil>' for Config.Datacenter".to_owned());
        }
    }
    let ask = |filter: &str, passing: &[(&str, &str)]| {
        let mut pairs = vec![("dc", datacenter.as_str())];
        pairs.extend([("ns", &*config.namespace), ("partition", &config.partition)]);
        pairs.push(("filter", filter));
        pairs.retain(|(_, value)| !value.is_empty());
        if config.allow_stale {
            pairs.push(("stale", ""));
        }
        let metas: Vec<String> =
            config.node_meta.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        pairs.extend(metas.iter().map(|meta| ("node-meta", meta.as_str())));
        pairs.extend_from_slice(passing);
        query(pairs)
    };
    let url = format!("{base}/catalog/services{}", ask(&config.filter, &[]));
    let services = timed("services", api.json(&url), stats).await?;
    let mut groups = vec![];
    for (name, tags) in services.as_object().into_iter().flatten() {
        if !is_watched(config, name, tags) {
            continue;
        }
        let tags: Vec<(&str, &str)> = config.tags.iter().map(|tag| ("tag", &**tag)).collect();
        let name_in_path = segment(name);
        let asked = ask(&config.health_filter, &tags);
        let url = format!("{base}/health/service/{name_in_path}{asked}");
        let instances = timed("service", api.json(&url), stats).await?;
        let targets = items(&instances).iter().map(|instance| target(config, instance).finish());
        let mut labels = Meta::new(PREFIX);
        labels.set("service", name).set("dc", &datacenter);
        groups.push(group(name.clone(), labels.finish(), targets.collect()));
    }
    Ok(groups)
}

/// Counts how long a request takes.
async fn timed(
    call: &'static str,
    request: impl Future<Output = Result<Value, String>>,
    stats: &DiscoveryStats,
) -> Result<Value, String> {
    let begun = runtime::now();
    let answer = request.await;
    let durations = stats.counts().consul_durations.entry(call).or_default().clone();
    durations.add(runtime::now(), begun.elapsed().as_secs_f64());
    answer
}

fn is_watched(config: &ConsulSdConfig, name: &str, tags: &Value) -> bool {
    let has = |wanted: &String| items(tags).iter().any(|tag| text(tag) == *wanted);
    (config.services.is_empty() || config.services.iter().any(|service| service == name))
        && config.tags.iter().all(has)
}

fn target(config: &ConsulSdConfig, instance: &Value) -> Meta {
    let (node, service) = (&instance["Node"], &instance["Service"]);
    let address = match text(&service["Address"]) {
        address if address.is_empty() => text(&node["Address"]),
        address => address,
    };
    let mut meta = Meta::new(PREFIX);
    meta.address(host_port(&address, text(&service["Port"])))
        .copy(node, &[("address", "Address"), ("node", "Node")])
        .copy(
            service,
            &[
                ("namespace", "Namespace"),
                ("partition", "Partition"),
                ("service_address", "Address"),
                ("service_port", "Port"),
                ("service_id", "ID"),
            ],
        )
        .set("tags", joined(items(&service["Tags"]).iter().map(text), &config.tag_separator))
        .set("health", health(&instance["Checks"]))
        .set_all("metadata_", &node["Meta"])
        .set_all("service_metadata_", &service["Meta"])
        .set_all("tagged_address_", &node["TaggedAddresses"]);
    meta
}

/// The worst of all checks.
fn health(checks: &Value) -> &'static str {
    let has = |wanted: &str| items(checks).iter().any(|check| text(&check["Status"]) == wanted);
    let is_maintained = items(checks).iter().any(|check| {
        let id = text(&check["CheckID"]);
        id == "_node_maintenance" || id.starts_with("_service_maintenance:")
    });
    if is_maintained {
        "maintenance"
    } else if has("critical") {
        "critical"
    } else if has("warning") {
        "warning"
    } else {
        "passing"
    }
}

#[cfg(test)]
mod tests {
    use super::refresh;
    use crate::config::{ConsulSdConfig, yaml};
    use crate::discovery::api::Api;
    use crate::discovery::api::testing::check;
    use crate::discovery::stats::DiscoveryStats;
    use crate::http::testing::{FakeServer, reply_json, reply_status};
    use std::time::Duration;

    #[test]
    fn instances_of_services() {
        let server = FakeServer::http(|asked| {
            assert_eq!(asked.header("x-consul-token"), "t");
            match asked.target.as_str() {
                "/p/v1/agent/self" => reply_json(r#"{"Config":{"Datacenter":"d1"}}"#),
                "/p/v1/catalog/services?dc=d1&stale=&node-meta=rack%3A1" => {
                    reply_json(r#"{"web":["a","b"],"db":[],"other":["a"]}"#)
                }
                "/p/v1/health/service/web?dc=d1&filter=x+%3D%3D+1&stale=&node-meta=rack%3A1&tag=a" => {
                    reply_json(
                        r#"[{"Node":{"Node":"n1","Address":"10.0.0.1","Meta":{"r-k":"1"},
                          "TaggedAddresses":{"lan":"10.0.0.1"}},
                          "Service":{"ID":"w1","Address":"","Port":80,"Tags":["a","b"],
                          "Meta":{"v":"2"}},
                          "Checks":[{"Status":"passing"},{"Status":"warning"}]},
                         {"Node":{"Node":"n2","Address":"10.0.0.2"},
                          "Service":{"ID":"w2","Address":"fd00::1","Port":81,"Tags":[]},
                          "Checks":[]}]"#,
                    )
                }
                _ => reply_status(404, ("a", "b")),
            }
        });
        let mut config = ConsulSdConfig::default();
        let text = format!(
            "server: {}\npath_prefix: /p\ntoken: t\nservices: [web, db]\ntags: [a]\n\
             node_meta: {{rack: '1'}}\nhealth_filter: x == 1",
            server.address
        );
        yaml::decode(&text, &mut config).ok().unwrap();
        let mut api = Api::plain(Duration::from_secs(5));
        check(
            refresh(&config, &mut api, &DiscoveryStats::default()),
            r#"
web {__meta_consul_dc="d1", __meta_consul_service="web"}
  {__address__="10.0.0.1:80", __meta_consul_address="10.0.0.1", __meta_consul_health="warning", __meta_consul_metadata_r_k="1", __meta_consul_node="n1", __meta_consul_service_id="w1", __meta_consul_service_metadata_v="2", __meta_consul_service_port="80", __meta_consul_tagged_address_lan="10.0.0.1", __meta_consul_tags=",a,b,"}
  {__address__="[fd00::1]:81", __meta_consul_address="10.0.0.2", __meta_consul_health="passing", __meta_consul_node="n2", __meta_consul_service_address="fd00::1", __meta_consul_service_id="w2", __meta_consul_service_port="81", __meta_consul_tags=",,"}"#,
        );
    }
}

//! `nomad_sd_configs`: services that Nomad knows.
//!
//! Source: Prometheus `discovery/nomad/nomad.go`.

use super::TargetGroup;
use super::api::{Api, Meta, host_port, items, joined, one_group, query, text};
use crate::config::NomadSdConfig;

pub async fn refresh(config: &NomadSdConfig, api: &mut Api) -> Result<Vec<TargetGroup>, String> {
    let mut pairs = vec![("namespace", &*config.namespace), ("region", &*config.region)];
    if config.allow_stale {
        pairs.push(("stale", ""));
    }
    let query = query(pairs);
    let base = format!("{}/v1", config.server.trim_end_matches('/'));
    let lists = api.json(&format!("{base}/services{query}")).await?;
    let mut targets = vec![];
    for service in items(&lists).iter().flat_map(|list| items(&list["Services"])) {
        let name = text(&service["ServiceName"]);
        let instances = api.json(&format!("{base}/service/{name}{query}")).await;
        let instances = instances.map_err(|why| format!("failed to fetch services: {why}"))?;
        for instance in items(&instances) {
            let (address, port) = (text(&instance["Address"]), text(&instance["Port"]));
            let tags = items(&instance["Tags"]);
            let mut meta = Meta::new("__meta_nomad_");
            meta.address(host_port(&address, &port))
                .set("address", &address)
                .set("dc", text(&instance["Datacenter"]))
                .set("node_id", text(&instance["NodeID"]))
                .set("namespace", text(&instance["Namespace"]))
                .set("service_address", &address)
                .set("service_id", text(&instance["ID"]))
                .set("service_port", &port)
                .set("service", text(&instance["ServiceName"]));
            if !tags.is_empty() {
                meta.set("tags", joined(tags.iter().map(text), &config.tag_separator));
            }
            targets.push(meta.finish());
        }
    }
    Ok(one_group("Nomad", targets))
}

#[cfg(test)]
mod tests {
    use super::refresh;
    use crate::config::{NomadSdConfig, yaml};
    use crate::discovery::api::Api;
    use crate::discovery::api::testing::check;
    use crate::http::testing::{FakeServer, reply_json, reply_status};
    use std::time::Duration;

    #[test]
    fn services() {
        let server = FakeServer::http(|asked| match asked.target.as_str() {
            "/v1/services?namespace=default&region=global&stale=" => {
                reply_json(r#"[{"Namespace":"default","Services":[{"ServiceName":"web"}]}]"#)
            }
            "/v1/service/web?namespace=default&region=global&stale=" => reply_json(
                r#"[{"ID":"s1","ServiceName":"web","Namespace":"default","NodeID":"n","Datacenter":
                "dc1","Address":"10.0.0.1","Port":8080,"Tags":["a","b"]}]"#,
            ),
            _ => reply_status(404, ("a", "b")),
        });
        let mut config = NomadSdConfig::default();
        yaml::decode(&format!("server: {}", server.url("")), &mut config).ok().unwrap();
        let mut api = Api::plain(Duration::from_secs(5));
        check(
            refresh(&config, &mut api),
            r#"
Nomad {}
  {__address__="10.0.0.1:8080", __meta_nomad_address="10.0.0.1", __meta_nomad_dc="dc1", __meta_nomad_namespace="default", __meta_nomad_node_id="n", __meta_nomad_service="web", __meta_nomad_service_address="10.0.0.1", __meta_nomad_service_id="s1", __meta_nomad_service_port="8080", __meta_nomad_tags=",a,b,"}"#,
        );
    }
}

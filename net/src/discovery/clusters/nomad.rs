//! `nomad_sd_configs`: services that Nomad knows.
//!
//! Source: Prometheus `discovery/nomad/nomad.go`.

use crate::config::NomadSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::{Api, Meta, host_port, items, one_group, query, text};

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
            let mut meta = Meta::new("__meta_nomad_");
            meta.address(host_port(&address, &port))
                .set("address", &address)
                .set("service_address", &address)
                .set("service_port", &port)
                .set_list("tags", &instance["Tags"], &config.tag_separator)
                .copy(
                    instance,
                    &[
                        ("dc", "Datacenter"),
                        ("node_id", "NodeID"),
                        ("namespace", "Namespace"),
                        ("service_id", "ID"),
                        ("service", "ServiceName"),
                    ],
                );
            targets.push(meta.finish());
        }
    }
    Ok(one_group("Nomad", targets))
}

#[cfg(test)]
mod tests {
    use super::refresh;
    use crate::config::NomadSdConfig;
    use crate::discovery::api::testing::check_provider;

    const LIST: &str = "GET /v1/services?namespace=default&region=global&stale=";
    const SERVICE: &str = "GET /v1/service/web?namespace=default&region=global&stale=";
    const NAMES: &str = r#"[{"Namespace":"default","Services":[{"ServiceName":"web"}]}]"#;

    #[track_caller]
    fn check(service: &str, expected: &str) {
        check_provider::<NomadSdConfig>(
            "server: SERVER",
            &[(LIST, NAMES), (SERVICE, service)],
            async |config, api, _| refresh(config, api).await,
            expected,
        );
    }

    #[test]
    fn services() {
        check(
            r#"[{"ID":"s1","ServiceName":"web","Namespace":"default","NodeID":"n","Datacenter":
            "dc1","Address":"10.0.0.1","Port":8080,"Tags":["a","b"]}]"#,
            r#"
Nomad {}
  {__address__="10.0.0.1:8080", __meta_nomad_address="10.0.0.1", __meta_nomad_dc="dc1", __meta_nomad_namespace="default", __meta_nomad_node_id="n", __meta_nomad_service="web", __meta_nomad_service_address="10.0.0.1", __meta_nomad_service_id="s1", __meta_nomad_service_port="8080", __meta_nomad_tags=",a,b,"}"#,
        );
        check(
            "500\nno leader",
            "failed to fetch services: server returned HTTP status 500 Internal Server Error: no leader",
        );
    }
}

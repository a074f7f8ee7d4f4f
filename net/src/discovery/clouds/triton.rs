//! `triton_sd_configs`: containers, virtual machines and compute nodes of Triton's monitor (CMON).
//!
//! Source: Prometheus `discovery/triton/triton.go`.

use engine::model::Labels;
use serde_json::Value;

use crate::config::{HttpClientConfig, TritonSdConfig};
use crate::discovery::TargetGroup;
use crate::discovery::api::{Api, Meta, items, one_group, query, text};

pub fn http(config: &TritonSdConfig) -> HttpClientConfig {
    HttpClientConfig { tls_config: config.tls_config.clone(), ..HttpClientConfig::default() }
}

/// Where the monitor listens.
pub fn base(config: &TritonSdConfig) -> String {
    format!("https://{}:{}", config.endpoint, config.port)
}

pub async fn refresh(
    config: &TritonSdConfig,
    api: &mut Api,
    base: &str,
) -> Result<Vec<TargetGroup>, String> {
    let (path, key, fields): (_, _, &[_]) = match config.role.as_str() {
        "cn" => (
            "gz/discover",
            "cns",
            &[("machine_id", "server_uuid"), ("machine_alias", "server_hostname")],
        ),
        _ => (
            "discover",
            "containers",
            &[
                ("machine_id", "vm_uuid"),
                ("machine_alias", "vm_alias"),
                ("machine_brand", "vm_brand"),
                ("machine_image", "vm_image_uuid"),
                ("server_id", "server_uuid"),
            ],
        ),
    };
    let groups = config.groups.join(",");
    let asked = query((!groups.is_empty()).then_some(("groups", groups.as_str())));
    let url = format!("{base}/v{}/{path}{asked}", config.version);
    let failed = |why: String| {
        format!("an error occurred when requesting targets from the discovery endpoint: {why}")
    };
    let answer = api.json(&url).await.map_err(failed)?;
    let target = |machine: &Value| -> Labels {
        let id = text(&machine[fields[0].1]);
        let mut meta = Meta::new("__meta_triton_");
        meta.address(format!("{id}.{}:{}", config.dns_suffix, config.port))
            .copy(machine, fields)
            .set_list("groups", &machine["groups"], ",");
        meta.finish()
    };
    Ok(one_group(&url, items(&answer[key]).iter().map(target).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    #[test]
    fn machines() {
        let section = "{account: a, dns_suffix: t.test, endpoint: e, groups: [g, h]}";
        check_provider(
            section,
            &[(
                "GET /v1/discover?groups=g%2Ch",
                r#"{"containers":[{"groups":["g","h"],"server_uuid":"s","vm_alias":"n",
                "vm_brand":"lx","vm_image_uuid":"i","vm_uuid":"u"}]}"#,
            )],
            refresh,
            r#"
SERVER/v1/discover?groups=g%2Ch {}
  {__address__="u.t.test:9163", __meta_triton_groups=",g,h,", __meta_triton_machine_alias="n", __meta_triton_machine_brand="lx", __meta_triton_machine_id="u", __meta_triton_machine_image="i", __meta_triton_server_id="s"}"#,
        );
        check_provider(
            "{account: a, dns_suffix: t.test, endpoint: e, role: cn}",
            &[("GET /v1/gz/discover", r#"{"cns":[{"server_uuid":"u","server_hostname":"h"}]}"#)],
            refresh,
            r#"
SERVER/v1/gz/discover {}
  {__address__="u.t.test:9163", __meta_triton_machine_alias="h", __meta_triton_machine_id="u"}"#,
        );
        let config = crate::discovery::api::testing::section::<TritonSdConfig>(section);
        assert_eq!(base(&config), "https://e:9163");
    }
}

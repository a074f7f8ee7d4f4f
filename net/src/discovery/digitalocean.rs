//! `digitalocean_sd_configs`: droplets of DigitalOcean. (The role `databases` is not built.)
//!
//! Source: Prometheus `discovery/digitalocean/digitalocean.go`.

use serde_json::Value;

use super::TargetGroup;
use super::api::{Api, Meta, host_port, items, joined, one_group, text};
use crate::config::DigitalOceanSdConfig;

pub async fn refresh(
    config: &DigitalOceanSdConfig,
    api: &mut Api,
) -> Result<Vec<TargetGroup>, String> {
    refresh_at(config, api, "https://api.digitalocean.com").await
}

async fn refresh_at(
    config: &DigitalOceanSdConfig,
    api: &mut Api,
    base: &str,
) -> Result<Vec<TargetGroup>, String> {
    if config.role == "databases" {
        return Err("the role databases is not supported".to_owned());
    }
    let mut targets = vec![];
    for page in 1.. {
        let url = format!("{base}/v2/droplets?page={page}&per_page=200");
        let answer = api.json(&url).await?;
        for droplet in items(&answer["droplets"]) {
            if !items(&droplet["networks"]["v4"]).is_empty() {
                targets.push(target(config, droplet).finish());
            }
        }
        if answer["links"]["pages"]["next"].is_null() {
            break;
        }
    }
    Ok(one_group("DigitalOcean", targets))
}

fn target(config: &DigitalOceanSdConfig, droplet: &Value) -> Meta {
    let address = |family: &str, kind: &str| {
        let networks = items(&droplet["networks"][family]);
        let network = networks.iter().find(|network| network["type"] == kind);
        network.map_or_else(String::new, |network| text(&network["ip_address"]))
    };
    let mut meta = Meta::new("__meta_digitalocean_");
    meta.address(host_port(&address("v4", "public"), config.port))
        .set("droplet_id", text(&droplet["id"]))
        .set("droplet_name", text(&droplet["name"]))
        .set("image", text(&droplet["image"]["slug"]))
        .set("image_name", text(&droplet["image"]["name"]))
        .set("private_ipv4", address("v4", "private"))
        .set("public_ipv4", address("v4", "public"))
        .set("public_ipv6", address("v6", "public"))
        .set("region", text(&droplet["region"]["slug"]))
        .set("size", text(&droplet["size_slug"]))
        .set("status", text(&droplet["status"]))
        .set("vpc", text(&droplet["vpc_uuid"]));
    for name in ["features", "tags"] {
        let list = items(&droplet[name]);
        if !list.is_empty() {
            meta.set(name, joined(list.iter().map(text), ","));
        }
    }
    meta
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check;
    use crate::http::testing::{FakeServer, reply_json};
    use std::time::Duration;

    #[test]
    fn droplets() {
        let server = FakeServer::http(|asked| match asked.target.as_str() {
            "/v2/droplets?page=1&per_page=200" => reply_json(
                r#"{"droplets":[{"id":1,"name":"d","networks":{"v4":[{"ip_address":"10.0.0.1",
                "type":"private"},{"ip_address":"1.2.3.4","type":"public"}]},"region":{"slug":"r"},
                "image":{"slug":"i","name":"n"},"size_slug":"s","status":"active",
                "features":["x"],"tags":[]},{"id":2,"networks":{"v4":[]}}],
                "links":{"pages":{"next":"x"}}}"#,
            ),
            _ => reply_json(r#"{"droplets":[],"links":{}}"#),
        });
        let config = DigitalOceanSdConfig { port: 80, ..DigitalOceanSdConfig::default() };
        let mut api = Api::plain(Duration::from_secs(5));
        let url = server.url("");
        check(
            refresh_at(&config, &mut api, &url),
            r#"
DigitalOcean {}
  {__address__="1.2.3.4:80", __meta_digitalocean_droplet_id="1", __meta_digitalocean_droplet_name="d", __meta_digitalocean_features=",x,", __meta_digitalocean_image="i", __meta_digitalocean_image_name="n", __meta_digitalocean_private_ipv4="10.0.0.1", __meta_digitalocean_public_ipv4="1.2.3.4", __meta_digitalocean_region="r", __meta_digitalocean_size="s", __meta_digitalocean_status="active"}"#,
        );
        assert_eq!(server.asked().len(), 2);
    }
}

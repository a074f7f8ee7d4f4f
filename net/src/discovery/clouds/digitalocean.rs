//! `digitalocean_sd_configs`: droplets and managed databases of DigitalOcean.
//!
//! Source: Prometheus `discovery/digitalocean`.

use engine::model::Labels;
use serde_json::Value;

use crate::config::DigitalOceanSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::json::int;
use crate::discovery::api::{Api, Meta, at, host_port, items, one_group, text, text_at, texts};

pub const API: &str = "https://api.digitalocean.com";

const PREFIX: &str = "__meta_digitalocean_";

pub async fn refresh(
    config: &DigitalOceanSdConfig,
    api: &mut Api,
    base: &str,
) -> Result<Vec<TargetGroup>, String> {
    match config.role.as_str() {
        "databases" => databases(config, api, base).await,
        _ => droplets(config, api, base).await,
    }
}

async fn droplets(
    config: &DigitalOceanSdConfig,
    api: &mut Api,
    base: &str,
) -> Result<Vec<TargetGroup>, String> {
    let mut targets = vec![];
    for page in 1.. {
        let answer = api.json(&format!("{base}/v2/droplets?page={page}&per_page=200")).await;
        let answer =
            answer.map_err(|why| format!("error while listing droplets page {page}: {why}"))?;
        targets.extend(items(&answer["droplets"]).iter().filter_map(|d| droplet(config, d)));
        if at(&answer, "links.pages.next").is_null() {
            break;
        }
    }
    Ok(one_group("DigitalOcean", targets))
}

/// None for one without an IPv4 address.
fn droplet(config: &DigitalOceanSdConfig, droplet: &Value) -> Option<Labels> {
    let networks = &droplet["networks"];
    if items(&networks["v4"]).is_empty() {
        return None;
    }
    let address = |family: &str, kind: &str| {
        let network = items(&networks[family]).iter().find(|network| network["type"] == kind);
        network.map_or_else(String::new, |network| text(&network["ip_address"]))
    };
    let public = address("v4", "public");
    let mut meta = Meta::new(PREFIX);
    meta.address(host_port(&public, config.port))
        .set("private_ipv4", address("v4", "private"))
        .set("public_ipv4", &public)
        .set("public_ipv6", address("v6", "public"))
        .set_list("features", &droplet["features"], ",")
        .set_list("tags", &droplet["tags"], ",")
        .copy(
            droplet,
            &[
                ("droplet_id", "id"),
                ("droplet_name", "name"),
                ("image", "image.slug"),
                ("image_name", "image.name"),
                ("region", "region.slug"),
                ("size", "size_slug"),
                ("status", "status"),
                ("vpc", "vpc_uuid"),
            ],
        );
    Some(meta.finish())
}

/// Pages up to the first empty one.
async fn databases(
    config: &DigitalOceanSdConfig,
    api: &mut Api,
    base: &str,
) -> Result<Vec<TargetGroup>, String> {
    let mut targets = vec![];
    for page in 1.. {
        let answer = api.json(&format!("{base}/v2/databases?page={page}&per_page=100")).await;
        let failed = |why| format!("error while listing database clusters page {page}: {why}");
        let answer = answer.map_err(failed)?;
        let found = items(&answer["databases"]);
        if found.is_empty() {
            break;
        }
        targets.extend(found.iter().map(|cluster| database(config, cluster)));
    }
    Ok(one_group("DigitalOcean Databases", targets))
}

fn database(config: &DigitalOceanSdConfig, cluster: &Value) -> Labels {
    let hosts = ["private_connection.host", "connection.host"].map(|path| text_at(cluster, path));
    let mut meta = Meta::new(PREFIX);
    meta.set("db_num_nodes", int(&cluster["num_nodes"]).to_string()).copy(
        cluster,
        &[
            ("db_id", "id"),
            ("db_name", "name"),
            ("db_engine", "engine"),
            ("db_version", "version"),
            ("db_status", "status"),
            ("db_region", "region"),
            ("db_size", "size"),
            ("db_private_host", "private_connection.host"),
            ("db_host", "connection.host"),
        ],
    );
    if let Some(host) = hosts.iter().find(|host| !host.is_empty()) {
        meta.address(host_port(host, config.port));
    }
    // As they are: tags may hold what labels' names may not.
    for tag in texts(&cluster["tags"]) {
        meta.set(&format!("db_tag_{tag}"), "true");
    }
    meta.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    #[test]
    fn droplets_of_all_pages() {
        check_provider::<DigitalOceanSdConfig>(
            "{}",
            &[
                (
                    "GET /v2/droplets?page=1&per_page=200",
                    r#"{"droplets":[{"id":1,"name":"d","networks":{"v4":[{"ip_address":"10.0.0.1",
                    "type":"private"},{"ip_address":"1.2.3.4","type":"public"}]},"region":{"slug":"r"},
                    "image":{"slug":"i","name":"n"},"size_slug":"s","status":"active",
                    "features":["x"],"tags":[]},{"id":2,"networks":{"v4":[]}}],
                    "links":{"pages":{"next":"x"}}}"#,
                ),
                ("GET /v2/droplets?page=2&per_page=200", r#"{"droplets":[],"links":{}}"#),
            ],
            refresh,
            r#"
DigitalOcean {}
  {__address__="1.2.3.4:80", __meta_digitalocean_droplet_id="1", __meta_digitalocean_droplet_name="d", __meta_digitalocean_features=",x,", __meta_digitalocean_image="i", __meta_digitalocean_image_name="n", __meta_digitalocean_private_ipv4="10.0.0.1", __meta_digitalocean_public_ipv4="1.2.3.4", __meta_digitalocean_region="r", __meta_digitalocean_size="s", __meta_digitalocean_status="active"}"#,
        );
    }

    #[test]
    fn databases_of_all_pages() {
        check_provider::<DigitalOceanSdConfig>(
            "{role: databases, port: 9273}",
            &[
                (
                    "GET /v2/databases?page=1&per_page=100",
                    r#"{"databases":[{"id":"a","name":"n","engine":"pg","version":"16","status":
                    "online","region":"nyc3","size":"s","num_nodes":2,"connection":{"host":"c.test"},
                    "private_connection":{"host":"p.test"},"tags":["env:prod"]},
                    {"id":"b","connection":{"host":"only.test"}}]}"#,
                ),
                ("GET /v2/databases?page=2&per_page=100", r#"{"databases":[]}"#),
            ],
            refresh,
            r#"
DigitalOcean Databases {}
  {__address__="p.test:9273", __meta_digitalocean_db_engine="pg", __meta_digitalocean_db_host="c.test", __meta_digitalocean_db_id="a", __meta_digitalocean_db_name="n", __meta_digitalocean_db_num_nodes="2", __meta_digitalocean_db_private_host="p.test", __meta_digitalocean_db_region="nyc3", __meta_digitalocean_db_size="s", __meta_digitalocean_db_status="online", "__meta_digitalocean_db_tag_env:prod"="true", __meta_digitalocean_db_version="16"}
  {__address__="only.test:9273", __meta_digitalocean_db_host="only.test", __meta_digitalocean_db_id="b", __meta_digitalocean_db_num_nodes="0"}"#,
        );
    }
}

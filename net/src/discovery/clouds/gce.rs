//! `gce_sd_configs`: instances of one zone of Google Compute Engine.
//!
//! Source: Prometheus `discovery/gce/gce.go`; Google's application default credentials.

use std::time::Duration;

use engine::model::Labels;
use ring::signature::RSA_PKCS1_SHA256;
use serde_json::{Map, Value, json};
use shards::runtime;

use crate::config::GceSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::json::int;
use crate::discovery::api::{
    Api, Meta, Request, at, items, one_group, parse, query, segment, text,
};
use crate::http::jwt;

const SCOPE: &str = "https://www.googleapis.com/auth/compute.readonly";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How long an assertion is good.
const ASSERTION_SECONDS: i64 = 3600;

/// A token is renewed this long before it ends.
const EARLY_SECONDS: i64 = 10;

/// The servers that are spoken to.
pub struct Places {
    compute: String,
    /// Where a machine of Google asks about itself.
    machine: String,
    /// File of credentials; none outside the environment and the home directory.
    credentials: Option<String>,
}

impl Places {
    pub fn of_environment() -> Places {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let host = variable("GCE_METADATA_HOST").unwrap_or_else(|| "169.254.169.254".to_owned());
        let in_home = variable("HOME")
            .map(|home| format!("{home}/.config/gcloud/application_default_credentials.json"))
            .filter(|path| std::fs::exists(path).unwrap_or(false));
        Places {
            compute: "https://compute.googleapis.com".to_owned(),
            machine: format!("http://{host}"),
            credentials: variable("GOOGLE_APPLICATION_CREDENTIALS").or(in_home),
        }
    }
}

pub async fn refresh(
    config: &GceSdConfig,
    api: &mut Api,
    places: &Places,
) -> Result<Vec<TargetGroup>, String> {
    let token = token(api, places)
        .await
        .map_err(|why| format!("error setting up communication with GCE service: {why}"))?;
    let (project, zone) = (&config.project, &config.zone);
    let url = format!(
        "{}/compute/v1/projects/{}/zones/{}/instances",
        places.compute,
        segment(project),
        segment(zone)
    );
    let mut targets = vec![];
    let mut page = String::new();
    loop {
        let mut pairs = vec![("filter", config.filter.as_str()), ("pageToken", &page)];
        pairs.retain(|(_, value)| !value.is_empty());
        let request = Request::get(format!("{url}{}", query(pairs))).bearer(&token);
        let answer = api.ask(request).await;
        let answer =
            answer.map_err(|why| format!("error retrieving refresh targets from gce: {why}"))?;
        targets.extend(items(&answer["items"]).iter().filter_map(|i| target(config, i)));
        page = text(&answer["nextPageToken"]);
        if page.is_empty() {
            return Ok(one_group(&format!("GCE_{project}_{zone}"), targets));
        }
    }
}

/// None for a machine without an interface.
fn target(config: &GceSdConfig, instance: &Value) -> Option<Labels> {
    let interfaces = items(&instance["networkInterfaces"]);
    let first = interfaces.first()?;
    let ip = text(&first["networkIP"]);
    let mut meta = Meta::new("__meta_gce_");
    meta.address(format!("{ip}:{}", config.port))
        .set("project", &config.project)
        .set("private_ip", &ip)
        .copy(
            instance,
            &[
                ("zone", "zone"),
                ("instance_id", "id"),
                ("instance_name", "name"),
                ("instance_status", "status"),
                ("machine_type", "machineType"),
            ],
        )
        .copy(first, &[("network", "network"), ("subnetwork", "subnetwork")])
        .set_list("tags", at(instance, "tags.items"), &config.tag_separator)
        .set_tags("metadata_", at(instance, "metadata.items"), "key", "value")
        .set_all("label_", &instance["labels"]);
    for interface in interfaces {
        let name = text(&interface["name"]);
        meta.set_free("interface_ipv4_", &name, text(&interface["networkIP"]));
    }
    let access = &first["accessConfigs"][0];
    if access["type"] == "ONE_TO_ONE_NAT" {
        meta.set("public_ip", text(&access["natIP"]));
    }
    Some(meta.finish())
}

/// The token in force: of a file of credentials, or of the machine.
async fn token(api: &mut Api, places: &Places) -> Result<String, String> {
    if let Some(token) = api.memory.get("token") {
        return Ok(text(token));
    }
    let request = match &places.credentials {
        Some(path) => {
            let read = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
            by_file(&parse(&read).map_err(|why| format!("{path}: {why}"))?)?
        }
        None => {
            let path = "computeMetadata/v1/instance/service-accounts/default/token";
            let asked = query([("scopes", SCOPE)]);
            Request::get(format!("{}/{path}{asked}", places.machine))
                .with("metadata-flavor", "Google")
        }
    };
    let answer = api.ask(request).await?;
    let token = text(&answer["access_token"]);
    let seconds = (int(&answer["expires_in"]) - EARLY_SECONDS).max(0) as u64;
    api.memory.put("token", token.clone(), Duration::from_secs(seconds));
    Ok(token)
}

fn by_file(file: &Value) -> Result<Request, String> {
    let uri = match text(&file["token_uri"]) {
        uri if uri.is_empty() => "https://oauth2.googleapis.com/token".to_owned(),
        uri => uri,
    };
    match file["type"].as_str().unwrap_or("") {
        "service_account" => {
            let now = runtime::unix_ms() / 1000;
            let object = |value: Value| match value {
                Value::Object(map) => map,
                _ => Map::new(),
            };
            let header = json!({"alg": "RS256", "typ": "JWT", "kid": file["private_key_id"]});
            let claims = json!({
                "iss": file["client_email"],
                "scope": SCOPE,
                "aud": uri,
                "iat": now,
                "exp": now + ASSERTION_SECONDS,
            });
            let key = text(&file["private_key"]);
            let assertion = jwt::signed(object(header), object(claims), &RSA_PKCS1_SHA256, &key)?;
            Ok(Request::post_form(uri, [("grant_type", JWT_BEARER), ("assertion", &assertion)]))
        }
        "authorized_user" => {
            let [id, secret, refresh] =
                ["client_id", "client_secret", "refresh_token"].map(|name| text(&file[name]));
            let form = [
                ("grant_type", "refresh_token"),
                ("client_id", &id),
                ("client_secret", &secret),
                ("refresh_token", &refresh),
            ];
            Ok(Request::post_form(uri, form))
        }
        other => Err(format!("credentials of type {other:?} are not supported")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    const SECTION: &str = "{project: p, zone: z, filter: 'a=b'}";

    async fn by_machine(
        config: &GceSdConfig,
        api: &mut Api,
        base: &str,
    ) -> Result<Vec<TargetGroup>, String> {
        let (compute, machine) = (base.to_owned(), base.to_owned());
        refresh(config, api, &Places { compute, machine, credentials: None }).await
    }

    #[test]
    fn instances() {
        check_provider(
            SECTION,
            &[
                (
                    "GET /computeMetadata/v1/instance/service-accounts/default/token?scopes=\
                     https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcompute.readonly\nmetadata-flavor: Google",
                    r#"{"access_token":"tok","expires_in":3599}"#,
                ),
                (
                    "GET /compute/v1/projects/p/zones/z/instances?filter=a%3Db\nauthorization: Bearer tok",
                    r#"{"items":[{"id":"12345678901234567890","name":"n","zone":"zones/z","status":
                    "RUNNING","machineType":"types/e2","tags":{"items":["a","b"]},"metadata":{"items":
                    [{"key":"k-1","value":"v"},{"key":"none"}]},"labels":{"l-1":"x"},
                    "networkInterfaces":[{"name":"nic0","network":"net","subnetwork":"sub","networkIP":
                    "10.0.0.1","accessConfigs":[{"type":"ONE_TO_ONE_NAT","natIP":"5.5.5.5"}]},
                    {"name":"nic1","networkIP":"10.1.0.1"}]},{"name":"off"}],"nextPageToken":"t"}"#,
                ),
                ("GET /compute/v1/projects/p/zones/z/instances?filter=a%3Db&pageToken=t", "{}"),
            ],
            by_machine,
            r#"
GCE_p_z {}
  {__address__="10.0.0.1:80", __meta_gce_instance_id="12345678901234567890", __meta_gce_instance_name="n", __meta_gce_instance_status="RUNNING", __meta_gce_interface_ipv4_nic0="10.0.0.1", __meta_gce_interface_ipv4_nic1="10.1.0.1", __meta_gce_label_l_1="x", __meta_gce_machine_type="types/e2", __meta_gce_metadata_k_1="v", __meta_gce_network="net", __meta_gce_private_ip="10.0.0.1", __meta_gce_project="p", __meta_gce_public_ip="5.5.5.5", __meta_gce_subnetwork="sub", __meta_gce_tags=",a,b,", __meta_gce_zone="zones/z"}"#,
        );
    }

    #[test]
    fn a_service_account_signs_for_its_token() {
        let path = std::env::temp_dir().join(format!("hearth-gce-{}.json", std::process::id()));
        check_provider(
            SECTION,
            &[
                ("POST /token", r#"{"access_token":"tok","expires_in":3599}"#),
                (
                    "GET /compute/v1/projects/p/zones/z/instances?filter=a%3Db\nauthorization: Bearer tok",
                    "403\nno",
                ),
            ],
            async |config, api, base| {
                let key = include_str!("../../http/client/rsa_test_key.pem");
                let file = json!({"type": "service_account", "private_key": key, "private_key_id":
                    "k", "client_email": "e", "token_uri": format!("{base}/token")});
                std::fs::write(&path, file.to_string()).unwrap();
                let credentials = Some(path.display().to_string());
                let places =
                    Places { compute: base.to_owned(), machine: String::new(), credentials };
                refresh(config, api, &places).await
            },
            "error retrieving refresh targets from gce: server returned HTTP status 403 Forbidden: no",
        );
        std::fs::remove_file(path).unwrap();
    }
}

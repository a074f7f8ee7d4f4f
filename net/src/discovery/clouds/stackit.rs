//! `stackit_sd_configs`: servers of one project of STACKIT.
//!
//! Who asks is told by the section's credentials for HTTP, or by the key of a service account,
//! which signs for a token.
//!
//! Source: Prometheus `discovery/stackit`, STACKIT's SDK for Go (`core/auth`, `core/clients`).

use std::time::Duration;

use engine::model::Labels;
use ring::signature::RSA_PKCS1_SHA512;
use serde_json::{Map, Value};
use shards::runtime;

use crate::config::StackitSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::json::int;
use crate::discovery::api::{
    Api, Meta, Request, host_port, items, one_group, parse, secret, segment, text, text_at,
};
use crate::http::jwt;

const TOKEN_URL: &str = "https://service-account.api.stackit.cloud/token";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How long an assertion is good.
const ASSERTION_SECONDS: i64 = 600;

/// A token is renewed this long before it ends.
const EARLY_SECONDS: i64 = 10;

/// Where tokens are, as the environment has it.
pub fn token_url() -> String {
    std::env::var("STACKIT_TOKEN_BASEURL").unwrap_or_else(|_| TOKEN_URL.to_owned())
}

pub async fn refresh(
    config: &StackitSdConfig,
    api: &mut Api,
    token_url: &str,
) -> Result<Vec<TargetGroup>, String> {
    let base = match config.endpoint.trim_end_matches('/') {
        "" => format!("https://iaas.api.{}.stackit.cloud", config.region),
        endpoint => endpoint.to_owned(),
    };
    let project = segment(&config.project);
    let mut request = Request::get(format!("{base}/v1/projects/{project}/servers?details=true"));
    if !config.service_account_key.is_empty() || !config.service_account_key_path.is_empty() {
        request = request.bearer(&token(config, api, token_url).await?);
    }
    let reply = api.exchange(request).await.map_err(|why| format!("sending request: {why}"))?;
    if reply.status != 200 {
        let body = String::from_utf8_lossy(&reply.body[..reply.body.len().min(500)]);
        return Err(format!("unexpected status code {}: {body}", reply.status));
    }
    let answer = reply.json().map_err(|why| format!("decoding response: {why}"))?;
    let targets = items(&answer["items"]).iter().filter_map(|server| target(config, server));
    Ok(one_group("stackit", targets.collect()))
}

async fn token(config: &StackitSdConfig, api: &mut Api, url: &str) -> Result<String, String> {
    if let Some(token) = api.memory.get("token") {
        return Ok(text(token));
    }
    let account = match config.service_account_key.reveal() {
        "" => secret("", &config.service_account_key_path, "service account key")?,
        key => key.to_owned(),
    };
    let account = parse(account.as_bytes())
        .map_err(|why| format!("unmarshalling service account key: {why}"))?;
    let key = private_key(config, &account)?;
    let answer = api
        .ask(Request::post_form(
            url,
            [("grant_type", JWT_BEARER), ("assertion", &assertion(&account, &key)?)],
        ))
        .await
        .map_err(|why| format!("get new access token: {why}"))?;
    let token = text(&answer["access_token"]);
    let seconds = (int(&answer["expires_in"]) - EARLY_SECONDS).max(0) as u64;
    api.memory.put("token", token.clone(), Duration::from_secs(seconds));
    Ok(token)
}

/// Of the section, of the file it names, of the environment, of the credentials file, or a part of
/// the account's key.
fn private_key(config: &StackitSdConfig, account: &Value) -> Result<String, String> {
    if !config.private_key.is_empty() {
        return Ok(config.private_key.reveal().to_owned());
    }
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let mut path = config.private_key_path.clone();
    if path.is_empty() {
        path = variable("STACKIT_PRIVATE_KEY_PATH");
    }
    if path.is_empty() {
        let own = [config.credentials_file_path.clone(), variable("STACKIT_CREDENTIALS_PATH")];
        let own = own.into_iter().find(|path| !path.is_empty());
        let file = own.unwrap_or_else(|| format!("{}/.stackit/credentials.json", variable("HOME")));
        let read = std::fs::read(file).ok().and_then(|bytes| parse(&bytes).ok());
        path = read.map_or_else(String::new, |file| text(&file["STACKIT_PRIVATE_KEY_PATH"]));
    }
    let part = text_at(account, "credentials.privateKey");
    match path.is_empty() {
        false => secret("", &path, "private key"),
        true if part.is_empty() => {
            Err("private key is not part of the service account key and could not be found"
                .to_owned())
        }
        true => Ok(part),
    }
}

fn assertion(account: &Value, key: &str) -> Result<String, String> {
    let now = runtime::unix_ms() / 1000;
    let credentials = &account["credentials"];
    let mut header = Map::new();
    header.insert("alg".to_owned(), "RS512".into());
    header.insert("typ".to_owned(), "JWT".into());
    header.insert("kid".to_owned(), credentials["kid"].clone());
    let mut claims = Map::new();
    for name in ["iss", "sub", "aud"] {
        claims.insert(name.to_owned(), credentials[name].clone());
    }
    claims.insert("jti".to_owned(), jwt::random_id()?.into());
    claims.insert("iat".to_owned(), now.into());
    claims.insert("exp".to_owned(), (now + ASSERTION_SECONDS).into());
    jwt::signed(header, claims, &RSA_PKCS1_SHA512, key)
}

/// None for a server without an address.
fn target(config: &StackitSdConfig, server: &Value) -> Option<Labels> {
    let mut meta = Meta::new("__meta_stackit_");
    let interfaces = items(&server["nics"]);
    let mut address = String::new();
    let mut public = String::new();
    for interface in interfaces {
        let (ip, public_ip) = (text(&interface["ipv4"]), text(&interface["publicIp"]));
        if public.is_empty() && !public_ip.is_empty() {
            address.clone_from(&public_ip);
            public = public_ip;
        }
        if !ip.is_empty() {
            meta.set_free("private_ipv4_", &text(&interface["networkName"]), &ip);
            if address.is_empty() {
                address = ip;
            }
        }
    }
    if address.is_empty() {
        return None;
    }
    meta.address(host_port(&address, config.port))
        .set("project", &config.project)
        .set("public_ipv4", &public)
        .copy(
            server,
            &[
                ("id", "id"),
                ("name", "name"),
                ("availability_zone", "availabilityZone"),
                ("status", "status"),
                ("power_status", "powerStatus"),
                ("type", "machineType"),
            ],
        );
    for (name, value) in server["labels"].as_object().into_iter().flatten() {
        if let Some(value) = value.as_str() {
            meta.set_free("labelpresent_", name, "true").set_free("label_", name, value);
        }
    }
    Some(meta.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    const SERVERS: &str = r#"{"items":[{"availabilityZone":"eu01-1","id":"s","labels":{"a-b":"c","n":1},
        "machineType":"c1.2","name":"n","nics":[{"networkName":"my net","ipv4":"10.0.0.1",
        "publicIp":"5.5.5.5"},{"networkName":"two","ipv4":"10.1.0.1"}],"powerStatus":"RUNNING",
        "status":"ACTIVE"},{"id":"no interface"},{"id":"no address","nics":[{"networkName":"x"}]}]}"#;
    const EXPECTED: &str = r#"
stackit {}
  {__address__="5.5.5.5:80", __meta_stackit_availability_zone="eu01-1", __meta_stackit_id="s", __meta_stackit_label_a_b="c", __meta_stackit_labelpresent_a_b="true", __meta_stackit_name="n", __meta_stackit_power_status="RUNNING", __meta_stackit_private_ipv4_my_net="10.0.0.1", __meta_stackit_private_ipv4_two="10.1.0.1", __meta_stackit_project="p", __meta_stackit_public_ipv4="5.5.5.5", __meta_stackit_status="ACTIVE", __meta_stackit_type="c1.2"}"#;

    #[test]
    fn servers() {
        let asked = "GET /v1/projects/p/servers?details=true";
        check_provider("{project: p, endpoint: SERVER}", &[(asked, SERVERS)], refresh, EXPECTED);
        check_provider(
            "{project: p, endpoint: SERVER}",
            &[(asked, "403\nno")],
            refresh,
            "unexpected status code 403: no",
        );
    }

    #[test]
    fn a_key_is_changed_for_a_token() {
        let pem = include_str!("../../http/client/rsa_test_key.pem");
        let account = serde_json::json!({"credentials": {"iss": "i", "sub": "s", "aud": "a",
            "kid": "k", "privateKey": pem}});
        let section = serde_json::json!({"project": "p", "endpoint": "SERVER",
            "service_account_key": account.to_string()});
        check_provider(
            &section.to_string(),
            &[
                (
                    "POST /\ncontent-type: application/x-www-form-urlencoded",
                    r#"{"access_token":"tok","expires_in":3600}"#,
                ),
                ("GET /v1/projects/p/servers?details=true\nauthorization: Bearer tok", SERVERS),
            ],
            refresh,
            EXPECTED,
        );
    }
}

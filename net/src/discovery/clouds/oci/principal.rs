//! Instance principals: a machine of the cloud proves what it is by the certificate that its
//! metadata service gives it, and gets a token for a key it makes itself.
//!
//! ```text
//! metadata   region, certificate with its key, intermediate certificate
//! auth       POST /v1/x509 with them and the public half of a new key, signed by the certificate's
//! then       requests signed by the new key, under the token's name, until shortly before it ends
//! ```
//!
//! Source: Oracle's SDK for Go, `common/auth`.

use std::time::Duration;

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use shards::runtime;

use super::regions::region;
use super::session::SessionKey;
use super::{Places, Signer, signed};
use crate::discovery::api::{Api, Memory, Request, parse, text};
use crate::http::encoding::{base64, base64_url_decode};
use crate::http::tls::pem;
use crate::http::tls::subject::subject_values;

const METADATA: &str = "http://169.254.169.254/opc/v2";
const TENANT: &str = "opc-tenant:";

/// A token is renewed so long before it ends.
const TOKEN_MARGIN_SECONDS: i64 = 5 * 60;

/// What is remembered of a session.
const SESSION: &str = "session";

/// Where a machine asks about itself.
pub fn metadata_url() -> String {
    let named = std::env::var("OCI_METADATA_BASE_URL").unwrap_or_default();
    if named.is_empty() { METADATA.to_owned() } else { named }
}

/// What a machine may do until the token ends.
pub struct Session {
    pub region: String,
    pub tenancy: String,
    pub signer: Signer,
}

/// The session of the refresh before, or a new one.
pub async fn session(
    api: &mut Api,
    metadata: &str,
    places: &dyn Fn(&str) -> Places,
) -> Result<Session, String> {
    if let Some(session) = api.memory.get(SESSION) {
        return Ok(Session::of(session));
    }
    begin(api, metadata, places).await.map_err(|why| {
        format!(
            "oci_sd: instance principal: {why} (this machine must be an instance of the cloud, and a \
             policy must allow it to ask)"
        )
    })
}

/// The token of the session is refused: the next refresh gets another one.
pub fn forget(memory: &mut Memory) {
    memory.forget(SESSION);
}

impl Session {
    fn of(kept: &Value) -> Session {
        let field = |name: &str| text(&kept[name]);
        let signer = Signer { key_id: field("key_id"), key_pem: field("key_pem") };
        Session { region: field("region"), tenancy: field("tenancy"), signer }
    }
}

async fn begin(
    api: &mut Api,
    metadata: &str,
    places: &dyn Fn(&str) -> Places,
) -> Result<Session, String> {
    let named = ask(api, &format!("{metadata}/instance/region")).await;
    let named = named.map_err(|why| format!("failed to get the region name: {why}"))?;
    let region = region(named.trim());
    let leaf = ask(api, &format!("{metadata}/identity/cert.pem")).await;
    let leaf = leaf.map_err(|why| format!("failed to get the leaf certificate: {why}"))?;
    let leaf_key = ask(api, &format!("{metadata}/identity/key.pem")).await;
    let leaf_key = leaf_key.map_err(|why| format!("failed to get the private key: {why}"))?;
    let middle = ask(api, &format!("{metadata}/identity/intermediate.pem")).await;
    let middle =
        middle.map_err(|why| format!("failed to get the intermediate certificate: {why}"))?;

    let certificates = pem::certificates(leaf.as_bytes())?;
    let certificate =
        certificates.first().ok_or("failed to parse the new certificate, not valid pem data")?;
    let values = subject_values(certificate);
    let tenancy = values.iter().find_map(|value| value.strip_prefix(TENANT)).unwrap_or_default();
    let print: Vec<String> = digest(&SHA256, certificate).as_ref().iter().map(hex).collect();
    let signer = Signer {
        key_id: format!("{tenancy}/fed-x509-sha256/{}", print.join(":")),
        key_pem: leaf_key,
    };

    // A new key is the work of a part of a second.
    let session_key = runtime::blocking(SessionKey::new).await?;
    let body = json!({
        "certificate": bare(&leaf),
        "publicKey": session_key.public_text,
        "intermediateCertificates": [bare(&middle)],
        "fingerprintAlgorithm": "SHA256",
    });
    let now_seconds = runtime::unix_ms() / 1000;
    let request = federation(&signer, &places(&region).auth, &body, now_seconds)?;
    let answer = api.ask(request).await;
    let answer = answer.map_err(|why| format!("failed to get a security token: {why}"))?;
    let token = text(&answer["token"]);
    let kept = json!({
        "region": region,
        "tenancy": tenancy,
        "key_id": format!("ST${token}"),
        "key_pem": session_key.private_pem,
    });
    let session = Session::of(&kept);
    let seconds_left = expiry_seconds(&token)? - TOKEN_MARGIN_SECONDS - now_seconds;
    let lifetime = Duration::from_secs(seconds_left.max(0) as u64);
    api.memory.put(SESSION, kept, lifetime);
    Ok(session)
}

async fn ask(api: &mut Api, url: &str) -> Result<String, String> {
    let reply = api.send(Request::get(url).bearer("Oracle")).await?;
    String::from_utf8(reply.body).map_err(|_| format!("{url}: the answer is no text"))
}

fn federation(
    signer: &Signer,
    url: &str,
    body: &Value,
    now_seconds: i64,
) -> Result<Request, String> {
    let body = body.to_string();
    let sum = base64(digest(&SHA256, body.as_bytes()).as_ref());
    let headers = [
        ("content-length", body.len().to_string()),
        ("content-type", "application/json".to_owned()),
        ("x-content-sha256", sum.clone()),
    ];
    let request = Request::post(url, "application/json", body).with("x-content-sha256", sum);
    signed(request, signer, "date (request-target)", &headers, now_seconds)
}

/// The base64 of a PEM text of one section.
fn bare(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect()
}

fn hex(byte: &u8) -> String {
    format!("{byte:02x}")
}

/// When a token ends, seconds since the Unix epoch.
fn expiry_seconds(token: &str) -> Result<i64, String> {
    let parts: Vec<&str> = token.split('.').collect();
    let [_, claims, _] = parts[..] else {
        return Err("the security token is no JSON web token".to_owned());
    };
    let claims = base64_url_decode(claims).and_then(|claims| parse(&claims).ok());
    let expiry = claims.and_then(|claims| claims["exp"].as_f64());
    expiry
        .map(|seconds| seconds as i64)
        .ok_or("the security token does not say when it ends".into())
}

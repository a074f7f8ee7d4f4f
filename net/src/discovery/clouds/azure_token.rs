//! Who asks Azure: a secret of the section, the machine's identity, that of a workload, or what the
//! environment has of these.
//!
//! Source: Azure's SDK for Go (`azidentity`); `discovery/azure/azure.go`, `newCredential`.

use std::time::Duration;

use serde_json::Value;

use crate::config::AzureSdConfig;
use crate::discovery::api::json::int;
use crate::discovery::api::{Api, Request, query, secret, text};

/// Where a machine of Azure asks about itself.
const MACHINE: &str = "http://169.254.169.254";

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A token is renewed this long before it ends.
const EARLY_SECONDS: i64 = 300;

/// One of Azure's clouds.
pub struct Cloud {
    login: &'static str,
    /// Whom tokens are for.
    audience: &'static str,
    manager: &'static str,
}

const PUBLIC: Cloud = Cloud {
    login: "https://login.microsoftonline.com",
    audience: "https://management.core.windows.net/",
    manager: "https://management.azure.com",
};
const CHINA: Cloud = Cloud {
    login: "https://login.chinacloudapi.cn",
    audience: "https://management.core.chinacloudapi.cn",
    manager: "https://management.chinacloudapi.cn",
};
const GOVERNMENT: Cloud = Cloud {
    login: "https://login.microsoftonline.us",
    audience: "https://management.core.usgovcloudapi.net",
    manager: "https://management.usgovcloudapi.net",
};

impl Cloud {
    pub fn of(name: &str) -> Result<Cloud, String> {
        match name.to_uppercase().as_str() {
            "AZURECLOUD" | "AZUREPUBLICCLOUD" | "AZUREGERMANCLOUD" => Ok(PUBLIC),
            "AZURECHINACLOUD" => Ok(CHINA),
            "AZUREUSGOVERNMENT" | "AZUREUSGOVERNMENTCLOUD" => Ok(GOVERNMENT),
            name => Err(format!("there is no cloud configuration matching the name {name:?}")),
        }
    }

    pub fn places(&self) -> Places {
        Places {
            login: self.login.to_owned(),
            audience: self.audience,
            manager: self.manager.to_owned(),
            machine: MACHINE.to_owned(),
        }
    }
}

/// The servers that are spoken to.
pub struct Places {
    login: String,
    audience: &'static str,
    pub manager: String,
    machine: String,
}

impl Places {
    #[cfg(test)]
    pub fn for_tests(base: &str) -> Places {
        let base = base.to_owned();
        let audience = PUBLIC.audience;
        Places { login: base.clone(), audience, manager: base.clone(), machine: base }
    }
}

/// The token in force.
pub async fn token(
    config: &AzureSdConfig,
    api: &mut Api,
    places: &Places,
) -> Result<String, String> {
    if let Some(token) = api.memory.get("token") {
        return Ok(text(token));
    }
    let answer = api.ask(request(config, places)?).await;
    let answer =
        answer.map_err(|why| format!("{} credential: {why}", config.authentication_method))?;
    let token = text(&answer["access_token"]);
    // The machine writes the number as text.
    let seconds = match &answer["expires_in"] {
        Value::String(text) => text.parse().unwrap_or(0),
        number => int(number),
    };
    let lifetime = Duration::from_secs((seconds - EARLY_SECONDS).max(0) as u64);
    api.memory.put("token", token.clone(), lifetime);
    Ok(token)
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn request(config: &AzureSdConfig, places: &Places) -> Result<Request, String> {
    let (tenant, id) = (variable("AZURE_TENANT_ID"), variable("AZURE_CLIENT_ID"));
    let environment_secret = variable("AZURE_CLIENT_SECRET");
    let tenant_or = |own: &str| if own.is_empty() { tenant.clone() } else { own.to_owned() };
    match config.authentication_method.as_str() {
        "OAuth" => {
            let proof = [("client_secret", config.client_secret.reveal())];
            Ok(by_client(places, &config.tenant_id, &config.client_id, &proof))
        }
        "WorkloadIdentity" => by_workload(places, &tenant, &id),
        "ManagedIdentity" => Ok(by_machine(places, &config.client_id)),
        // The first of these that the environment tells; the command line's login is not asked.
        _ if !environment_secret.is_empty() => {
            let proof = [("client_secret", environment_secret.as_str())];
            Ok(by_client(places, &tenant_or(&config.tenant_id), &id, &proof))
        }
        _ if !variable("AZURE_FEDERATED_TOKEN_FILE").is_empty() => {
            by_workload(places, &tenant_or(&config.tenant_id), &id)
        }
        _ => Ok(by_machine(places, &id)),
    }
}

fn by_client(places: &Places, tenant: &str, id: &str, proof: &[(&str, &str)]) -> Request {
    let scope = format!("{}/.default", places.audience);
    let mut form =
        vec![("grant_type", "client_credentials"), ("client_id", id), ("scope", scope.as_str())];
    form.extend_from_slice(proof);
    Request::post_form(format!("{}/{tenant}/oauth2/v2.0/token", places.login), form)
}

fn by_workload(places: &Places, tenant: &str, id: &str) -> Result<Request, String> {
    let file = variable("AZURE_FEDERATED_TOKEN_FILE");
    for (value, name) in [
        (id, "AZURE_CLIENT_ID"),
        (tenant, "AZURE_TENANT_ID"),
        (file.as_str(), "AZURE_FEDERATED_TOKEN_FILE"),
    ] {
        if value.is_empty() {
            return Err(format!("no {name} in the environment of the workload"));
        }
    }
    let assertion = secret("", &file, "federated token")?;
    let proof = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*assertion)];
    Ok(by_client(places, tenant, id, &proof))
}

fn by_machine(places: &Places, id: &str) -> Request {
    let mut pairs = vec![("api-version", "2018-02-01"), ("resource", places.audience)];
    if !id.is_empty() {
        pairs.push(("client_id", id));
    }
    // An application service has a place of its own.
    let (endpoint, header) = (variable("IDENTITY_ENDPOINT"), variable("IDENTITY_HEADER"));
    if !endpoint.is_empty() && !header.is_empty() {
        pairs[0].1 = "2019-08-01";
        return Request::get(format!("{endpoint}{}", query(pairs)))
            .with("x-identity-header", header);
    }
    let url = format!("{}/metadata/identity/oauth2/token{}", places.machine, query(pairs));
    Request::get(url).with("metadata", "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clouds() {
        assert_eq!(Cloud::of("AzureChinaCloud").ok().unwrap().manager, CHINA.manager);
        assert_eq!(Cloud::of("azureusgovernment").ok().unwrap().login, GOVERNMENT.login);
        assert!(Cloud::of("AzureMoonCloud").is_err());
    }
}

//! Tokens and the catalogue of services by OpenStack's identity service (Keystone), version 3.
//!
//! A refresh asks anew, as Prometheus does: projects move and tokens are revoked.
//!
//! Source: OpenStack's SDK for Go (`AuthOptions`, `AuthOptionsFromEnv`); Keystone's API, v3.

use serde_json::{Map, Value, json};

use crate::config::OpenstackSdConfig;
use crate::discovery::api::{Api, Request, at, items, text};

/// Who may ask for what.
pub struct Session {
    pub token: String,
    catalog: Vec<Value>,
}

impl Session {
    /// The URL of a service of that type.
    pub fn endpoint(&self, service: &str, interface: &str, region: &str) -> Result<String, String> {
        let services = self.catalog.iter().filter(|entry| entry["type"] == service);
        let mut endpoints = services.flat_map(|entry| items(&entry["endpoints"]));
        let found = endpoints.find(|endpoint| {
            let is_here = endpoint["region_id"] == region || endpoint["region"] == region;
            endpoint["interface"] == interface && (region.is_empty() || is_here)
        });
        found
            .map(|endpoint| text(&endpoint["url"]))
            .ok_or_else(|| "No suitable endpoint could be found in the service catalog.".to_owned())
    }
}

pub async fn authenticate(config: &OpenstackSdConfig, api: &mut Api) -> Result<Session, String> {
    let who = match config.identity_endpoint.as_str() {
        "" => Who::of_environment(|name| std::env::var(name).unwrap_or_default())?,
        _ => Who::of_section(config),
    };
    let base = who.endpoint.trim_end_matches('/');
    if base.ends_with("/v2.0") {
        return Err("version 2.0 of the identity service is not supported".to_owned());
    }
    let base = base.trim_end_matches("/v3");
    let request = Request::post_json(format!("{base}/v3/auth/tokens"), &who.asking()?);
    let reply = api.send(request).await?;
    let token = reply.header("x-subject-token").to_owned();
    let answer = reply.json()?;
    Ok(Session { token, catalog: items(at(&answer, "token.catalog")).to_vec() })
}

/// The fields of a section, or what the environment has instead.
#[derive(Default)]
struct Who {
    endpoint: String,
    name: String,
    id: String,
    password: String,
    project_name: String,
    project_id: String,
    domain_name: String,
    domain_id: String,
    credential_name: String,
    credential_id: String,
    credential_secret: String,
}

impl Who {
    fn of_section(config: &OpenstackSdConfig) -> Who {
        Who {
            endpoint: config.identity_endpoint.clone(),
            name: config.username.clone(),
            id: config.userid.clone(),
            password: config.password.reveal().to_owned(),
            project_name: config.project_name.clone(),
            project_id: config.project_id.clone(),
            domain_name: config.domain_name.clone(),
            domain_id: config.domain_id.clone(),
            credential_name: config.application_credential_name.clone(),
            credential_id: config.application_credential_id.clone(),
            credential_secret: config.application_credential_secret.reveal().to_owned(),
        }
    }

    fn of_environment(variable: impl Fn(&str) -> String) -> Result<Who, String> {
        let first = |names: &[&str]| {
            let found = names.iter().map(|name| variable(name)).find(|value| !value.is_empty());
            found.unwrap_or_default()
        };
        let who = Who {
            endpoint: variable("OS_AUTH_URL"),
            name: variable("OS_USERNAME"),
            id: first(&["OS_USERID", "OS_USER_ID"]),
            password: variable("OS_PASSWORD"),
            project_name: first(&["OS_PROJECT_NAME", "OS_TENANT_NAME"]),
            project_id: first(&["OS_PROJECT_ID", "OS_TENANT_ID"]),
            domain_name: first(&[
                "OS_DOMAIN_NAME",
                "OS_USER_DOMAIN_NAME",
                "OS_PROJECT_DOMAIN_NAME",
            ]),
            domain_id: first(&["OS_DOMAIN_ID", "OS_USER_DOMAIN_ID", "OS_PROJECT_DOMAIN_ID"]),
            credential_name: variable("OS_APPLICATION_CREDENTIAL_NAME"),
            credential_id: variable("OS_APPLICATION_CREDENTIAL_ID"),
            credential_secret: variable("OS_APPLICATION_CREDENTIAL_SECRET"),
        };
        if who.endpoint.is_empty() {
            return Err("Missing environment variable [OS_AUTH_URL]".to_owned());
        }
        Ok(who)
    }

    fn domain(&self) -> Value {
        match self.domain_id.as_str() {
            "" => json!({"name": self.domain_name}),
            id => json!({"id": id}),
        }
    }

    /// By its id, or by its name in a domain.
    fn user(&self) -> Map<String, Value> {
        let mut user = Map::new();
        if !self.id.is_empty() {
            user.insert("id".to_owned(), self.id.clone().into());
        } else {
            user.insert("name".to_owned(), self.name.clone().into());
            user.insert("domain".to_owned(), self.domain());
        }
        user
    }

    fn asking(&self) -> Result<Value, String> {
        if !self.credential_id.is_empty() || !self.credential_name.is_empty() {
            if self.credential_secret.is_empty() {
                return Err("You must provide an Application Credential Secret".to_owned());
            }
            let mut credential = Map::new();
            credential.insert("secret".to_owned(), self.credential_secret.clone().into());
            if !self.credential_id.is_empty() {
                credential.insert("id".to_owned(), self.credential_id.clone().into());
            } else {
                credential.insert("name".to_owned(), self.credential_name.clone().into());
                credential.insert("user".to_owned(), Value::Object(self.user()));
            }
            let methods = ["application_credential"];
            let identity = json!({"methods": methods, "application_credential": credential});
            return Ok(json!({"auth": {"identity": identity}}));
        }
        if self.id.is_empty() && self.name.is_empty() {
            return Err("One and only one of Username or UserID must be provided for Identity v3 \
                        authentication"
                .to_owned());
        }
        let mut user = self.user();
        user.insert("password".to_owned(), self.password.clone().into());
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let mut auth = json!({"identity": identity});
        if !self.project_id.is_empty() {
            auth["scope"] = json!({"project": {"id": self.project_id}});
        } else if !self.project_name.is_empty() {
            let project = json!({"name": self.project_name, "domain": self.domain()});
            auth["scope"] = json!({"project": project});
        }
        Ok(json!({"auth": auth}))
    }
}

#[cfg(test)]
mod tests {
    use super::Who;

    #[test]
    fn the_environment() {
        let who = Who::of_environment(|name| match name {
            "OS_AUTH_URL" => "http://k".to_owned(),
            "OS_USERID" => "u".to_owned(),
            "OS_TENANT_ID" => "t".to_owned(),
            _ => String::new(),
        });
        let asking = who.and_then(|who| who.asking()).unwrap().to_string();
        let user = r#"{"user":{"id":"u","password":""}}"#;
        let expected = format!(
            "{{\"auth\":{{\"identity\":{{\"methods\":[\"password\"],\"password\":{user}}},\
             \"scope\":{{\"project\":{{\"id\":\"t\"}}}}}}}}"
        );
        assert_eq!(asking, expected);
        let missing = Who::of_environment(|_| String::new()).err();
        assert_eq!(missing.as_deref(), Some("Missing environment variable [OS_AUTH_URL]"));
    }
}

//! Who asks AWS: keys of the configuration, of the environment, of a workload's token, of the file of
//! profiles, of a container's or the machine's own role; and the role that these may take on.
//!
//! Source: AWS SDK, "Standardized credential providers"; the Query API of STS.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use shards::runtime;

use super::{Access, Places, host};
use crate::discovery::api::{Api, Request, parse, secret, text};
use crate::discovery::xml::{self, Element};
use crate::http::sigv4::Credentials;

/// Version of the API of STS.
const STS_VERSION: &str = "2011-06-15";

/// Keys that end are good for at least a quarter of an hour.
const LIFETIME: Duration = Duration::from_secs(600);

fn of_json(value: &Value, names: [&str; 3]) -> Credentials {
    let [id, secret, token] = names.map(|name| text(&value[name]));
    Credentials { id, secret, token }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// The keys to sign with, the section's role taken on.
pub async fn credentials(
    access: &Access<'_>,
    region: &str,
    api: &mut Api,
    places: &Places,
) -> Result<Credentials, String> {
    const NAMES: [&str; 3] = ["id", "secret", "token"];
    if let Some(kept) = api.memory.get("credentials") {
        return Ok(of_json(kept, NAMES));
    }
    let mut found = own(access, region, api, places).await?;
    if !access.role_arn.is_empty() {
        found = assume(access, &found, region, api, places).await?;
    }
    // Keys that last are looked up again: they may be others tomorrow.
    if !found.token.is_empty() {
        let kept = json!({"id": found.id, "secret": found.secret, "token": found.token});
        api.memory.put("credentials", kept, LIFETIME);
    }
    Ok(found)
}

async fn own(
    access: &Access<'_>,
    region: &str,
    api: &mut Api,
    places: &Places,
) -> Result<Credentials, String> {
    if !access.access_key.is_empty() && !access.secret_key.is_empty() {
        let (id, secret) = (access.access_key.to_owned(), access.secret_key.to_owned());
        return Ok(Credentials { id, secret, token: String::new() });
    }
    if access.profile.is_empty() {
        let of_environment = Credentials {
            id: variable("AWS_ACCESS_KEY_ID"),
            secret: variable("AWS_SECRET_ACCESS_KEY"),
            token: variable("AWS_SESSION_TOKEN"),
        };
        if !of_environment.id.is_empty() {
            return Ok(of_environment);
        }
        let (file, role) = (variable("AWS_WEB_IDENTITY_TOKEN_FILE"), variable("AWS_ROLE_ARN"));
        if !file.is_empty() && !role.is_empty() {
            return of_workload(&file, &role, region, api, places).await;
        }
    }
    let path = file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    let read = fs::read_to_string(path).unwrap_or_default();
    if let Some(found) = of_profile(&read, &profile(access.profile)) {
        return Ok(found);
    }
    if !access.profile.is_empty() {
        return Err(format!("no credentials of profile {:?}", access.profile));
    }
    if let Some(request) = of_container()? {
        let answer = api.ask(request).await?;
        return Ok(of_json(&answer, ["AccessKeyId", "SecretAccessKey", "Token"]));
    }
    of_machine(api, &places.metadata).await
}

/// A file of the SDK: where the variable says, or in the home directory.
fn file(name: &str, default: &str) -> String {
    match variable(name) {
        path if path.is_empty() => format!("{}/.aws/{default}", variable("HOME")),
        path => path,
    }
}

fn profile(configured: &str) -> String {
    let names = [configured.to_owned(), variable("AWS_PROFILE"), "default".to_owned()];
    names.into_iter().find(|name| !name.is_empty()).unwrap_or_default()
}

/// Names and values of a section of an INI file.
fn ini_section<'a>(text: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
    let mut found = vec![];
    let mut is_inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            is_inside = section.trim_end_matches(']').trim() == name;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| is_inside) {
            found.push((key.trim(), value.trim()));
        }
    }
    found
}

fn of_profile(text: &str, name: &str) -> Option<Credentials> {
    let mut found = Credentials::default();
    for (key, value) in ini_section(text, name) {
        match key {
            "aws_access_key_id" => found.id = value.to_owned(),
            "aws_secret_access_key" => found.secret = value.to_owned(),
            "aws_session_token" => found.token = value.to_owned(),
            _ => {}
        }
    }
    (!found.id.is_empty()).then_some(found)
}

/// The request of a container's role, if it has one.
fn of_container() -> Result<Option<Request>, String> {
    let relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let url = match (relative.as_str(), variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
        ("", full) if full.is_empty() => return Ok(None),
        ("", full) => full,
        (relative, _) => format!("http://169.254.170.2{relative}"),
    };
    let token = secret(
        &variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        &variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        "container authorization token",
    )?;
    let request = Request::get(url);
    Ok(Some(if token.is_empty() { request } else { request.with("authorization", token) }))
}

async fn sts(
    credentials: Option<&Credentials>,
    action: &str,
    parameters: &[(&str, &str)],
    region: &str,
    api: &mut Api,
    places: &Places,
) -> Result<Credentials, String> {
    let mut form = vec![("Action", action), ("Version", STS_VERSION)];
    form.extend_from_slice(parameters);
    let url = places.sts.clone().unwrap_or_else(|| host("sts", region));
    let mut request = Request::post_form(url, form);
    if let Some(credentials) = credentials {
        request = super::sign(request, credentials, "sts", region)?;
    }
    let failed = |why: String| format!("operation error STS: {action}: {why}");
    let reply = api.send(request).await.map_err(failed)?;
    let answer = xml::parse(&String::from_utf8_lossy(&reply.body)).map_err(failed)?;
    let keys = answer.child(&format!("{action}Result")).and_then(|r| r.child("Credentials"));
    let text = |name: &str| keys.map_or("", |keys: &Element| keys.text_at(&[name])).to_owned();
    let (id, secret) = (text("AccessKeyId"), text("SecretAccessKey"));
    Ok(Credentials { id, secret, token: text("SessionToken") })
}

fn session_name() -> String {
    format!("hearth-{}", runtime::unix_ms())
}

/// The section's role.
async fn assume(
    access: &Access<'_>,
    own: &Credentials,
    region: &str,
    api: &mut Api,
    places: &Places,
) -> Result<Credentials, String> {
    let name = session_name();
    let mut parameters =
        vec![("RoleArn", access.role_arn), ("RoleSessionName", &name), ("DurationSeconds", "900")];
    if !access.external_id.is_empty() {
        parameters.push(("ExternalId", access.external_id));
    }
    sts(Some(own), "AssumeRole", &parameters, region, api, places).await
}

/// The role of a workload, proved by a token that somebody keeps in a file.
async fn of_workload(
    file: &str,
    role: &str,
    region: &str,
    api: &mut Api,
    places: &Places,
) -> Result<Credentials, String> {
    let token = secret("", file, "web identity token")?;
    let name = match variable("AWS_ROLE_SESSION_NAME") {
        name if name.is_empty() => session_name(),
        name => name,
    };
    let parameters = [("RoleArn", role), ("RoleSessionName", &name), ("WebIdentityToken", &token)];
    sts(None, "AssumeRoleWithWebIdentity", &parameters, region, api, places).await
}

/// A header that proves that who asks runs on the machine.
async fn metadata_token(api: &mut Api, metadata: &str) -> Result<String, String> {
    let request = Request::new(http::Method::PUT, format!("{metadata}/latest/api/token"));
    let reply = api.send(request.with("x-aws-ec2-metadata-token-ttl-seconds", "300")).await?;
    Ok(String::from_utf8_lossy(&reply.body).into_owned())
}

async fn of_machine(api: &mut Api, metadata: &str) -> Result<Credentials, String> {
    let failed = |why: String| format!("no EC2 IMDS role found: {why}");
    let token = metadata_token(api, metadata).await.map_err(failed)?;
    let base = format!("{metadata}/latest/meta-data/iam/security-credentials/");
    let get = |url: String| Request::get(url).with("x-aws-ec2-metadata-token", &token);
    let role = api.send(get(base.clone())).await.map_err(failed)?.body;
    let role = String::from_utf8_lossy(&role).trim().to_owned();
    let answer = api.send(get(format!("{base}{role}"))).await.map_err(failed)?;
    let answer = parse(&answer.body)?;
    Ok(of_json(&answer, ["AccessKeyId", "SecretAccessKey", "Token"]))
}

/// The region of the configuration, of the environment, of the profile, or of the machine.
pub async fn region(access: &Access<'_>, api: &mut Api, metadata: &str) -> Result<String, String> {
    let mut known =
        vec![access.region.to_owned(), variable("AWS_REGION"), variable("AWS_DEFAULT_REGION")];
    if known.iter().all(String::is_empty) {
        let read = fs::read_to_string(file("AWS_CONFIG_FILE", "config")).unwrap_or_default();
        let name = match profile(access.profile) {
            name if name == "default" => name,
            name => format!("profile {name}"),
        };
        let of_profile = ini_section(&read, &name).into_iter().find(|(key, _)| *key == "region");
        known.extend(of_profile.map(|(_, region)| region.to_owned()));
    }
    if let Some(region) = known.into_iter().find(|region| !region.is_empty()) {
        return Ok(region);
    }
    let failed = |why: String| {
        format!("could not determine AWS region: failed to get region from IMDS: {why}")
    };
    let token = metadata_token(api, metadata).await.map_err(failed)?;
    let url = format!("{metadata}/latest/meta-data/placement/region");
    let request = Request::get(url).with("x-aws-ec2-metadata-token", token);
    let region = api.send(request).await.map_err(failed)?.body;
    Ok(String::from_utf8_lossy(&region).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::serve;
    use crate::http::testing::on_control;

    fn api() -> Api {
        Api::plain(Duration::from_secs(5))
    }

    #[test]
    fn profiles() {
        let file = "[a]\naws_access_key_id = 1\n[b]\naws_access_key_id=2\n\
                    aws_secret_access_key = s\naws_session_token=t\n";
        let b = Credentials { id: "2".into(), secret: "s".into(), token: "t".into() };
        assert_eq!(of_profile(file, "b"), Some(b));
        assert_eq!(of_profile(file, "c"), None);
    }

    #[test]
    fn a_machine_knows_its_role() {
        let server = serve(&[
            ("PUT /latest/api/token\nx-aws-ec2-metadata-token-ttl-seconds: 300", "200\ntok"),
            (
                "GET /latest/meta-data/iam/security-credentials/\nx-aws-ec2-metadata-token: tok",
                "200\nrole",
            ),
            (
                "GET /latest/meta-data/iam/security-credentials/role\nx-aws-ec2-metadata-token: tok",
                r#"{"AccessKeyId":"i","SecretAccessKey":"s","Token":"t"}"#,
            ),
        ]);
        let found = on_control(of_machine(&mut api(), &server.url("")));
        let role = Credentials { id: "i".into(), secret: "s".into(), token: "t".into() };
        assert_eq!(found, Ok(role));
    }

    #[test]
    fn a_role_is_taken_on_once() {
        let server = serve(&[(
            "POST /\nauthorization: AWS4-HMAC-SHA256 Credential=k/",
            "200\n<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>i</AccessKeyId>\
             <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken></Credentials>\
             </AssumeRoleResult></AssumeRoleResponse>",
        )]);
        let access = Access {
            access_key: "k",
            secret_key: "own",
            role_arn: "arn:r",
            external_id: "x",
            ..Access::default()
        };
        let places = Places { sts: Some(server.url("/")), ..Places::default() };
        let mut api = api();
        let role = Credentials { id: "i".into(), secret: "s".into(), token: "t".into() };
        on_control(async {
            for _ in 0..2 {
                let found = credentials(&access, "r1", &mut api, &places).await;
                assert_eq!(found, Ok(role.clone()));
            }
        });
        assert_eq!(server.asked(), ["POST /"]);
    }

    #[test]
    fn a_workload_proves_itself_by_its_token() {
        let server = serve(&[(
            "POST /\ncontent-type: application/x-www-form-urlencoded",
            "200\n<R><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>i</AccessKeyId>\
             <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken></Credentials>\
             </AssumeRoleWithWebIdentityResult></R>",
        )]);
        let file = std::env::temp_dir().join(format!("hearth-sts-{}", std::process::id()));
        fs::write(&file, "token\n").unwrap();
        let places = Places { sts: Some(server.url("/")), ..Places::default() };
        let path = file.display().to_string();
        let mut api = api();
        let found = on_control(of_workload(&path, "arn:r", "r1", &mut api, &places));
        fs::remove_file(file).unwrap();
        assert_eq!(found.map(|found| found.id), Ok("i".to_owned()));
    }
}

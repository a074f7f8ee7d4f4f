//! Who asks AWS: keys of the configuration, of the environment, of the file of profiles, or of the
//! machine's own role.
//!
//! Source: AWS SDK, "Standardized credential providers".

use std::fs;

use crate::discovery::api::{Api, parse, text};
use crate::http::sigv4::Credentials;

/// Where a machine of AWS asks about itself.
pub const METADATA: &str = "http://169.254.169.254";

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

pub async fn credentials(
    id: &str,
    secret: &str,
    profile: &str,
    api: &mut Api,
    metadata: &str,
) -> Result<Credentials, String> {
    if !id.is_empty() && !secret.is_empty() {
        return Ok(Credentials {
            id: id.to_owned(),
            secret: secret.to_owned(),
            ..Credentials::default()
        });
    }
    let of_environment = Credentials {
        id: variable("AWS_ACCESS_KEY_ID"),
        secret: variable("AWS_SECRET_ACCESS_KEY"),
        token: variable("AWS_SESSION_TOKEN"),
    };
    if profile.is_empty() && !of_environment.id.is_empty() {
        return Ok(of_environment);
    }
    let file = match variable("AWS_SHARED_CREDENTIALS_FILE") {
        path if path.is_empty() => format!("{}/.aws/credentials", variable("HOME")),
        path => path,
    };
    let name = match (profile, variable("AWS_PROFILE")) {
        ("", name) if name.is_empty() => "default".to_owned(),
        ("", name) => name,
        (profile, _) => profile.to_owned(),
    };
    if let Some(found) = fs::read_to_string(file).ok().and_then(|text| of_profile(&text, &name)) {
        return Ok(found);
    }
    if !profile.is_empty() {
        return Err(format!("no credentials of profile {profile:?}"));
    }
    of_machine(api, metadata).await
}

/// A section of an INI file.
fn of_profile(text: &str, name: &str) -> Option<Credentials> {
    let mut found = Credentials::default();
    let mut is_inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            is_inside = section.trim_end_matches(']').trim() == name;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| is_inside) {
            let value = value.trim().to_owned();
            match key.trim() {
                "aws_access_key_id" => found.id = value,
                "aws_secret_access_key" => found.secret = value,
                "aws_session_token" => found.token = value,
                _ => {}
            }
        }
    }
    (!found.id.is_empty()).then_some(found)
}

async fn metadata_token(api: &mut Api, metadata: &str) -> Result<(), String> {
    api.header("x-aws-ec2-metadata-token-ttl-seconds", "300")?;
    let url = format!("{metadata}/latest/api/token");
    let (_, token) = api.send(http::Method::PUT, &url, vec![]).await?;
    api.headers.remove("x-aws-ec2-metadata-token-ttl-seconds");
    api.header("x-aws-ec2-metadata-token", &String::from_utf8_lossy(&token))
}

async fn of_machine(api: &mut Api, metadata: &str) -> Result<Credentials, String> {
    let failed = |why: String| format!("no EC2 IMDS role found: {why}");
    metadata_token(api, metadata).await.map_err(failed)?;
    let base = format!("{metadata}/latest/meta-data/iam/security-credentials/");
    let role = api.get(&base).await.map_err(failed)?;
    let role = String::from_utf8_lossy(&role).trim().to_owned();
    let answer = api.get(&format!("{base}{role}")).await.map_err(failed)?;
    api.headers.remove("x-aws-ec2-metadata-token");
    let answer = parse(&answer)?;
    Ok(Credentials {
        id: text(&answer["AccessKeyId"]),
        secret: text(&answer["SecretAccessKey"]),
        token: text(&answer["Token"]),
    })
}

/// The region of the configuration, of the environment, or of the machine.
pub async fn region(configured: &str, api: &mut Api, metadata: &str) -> Result<String, String> {
    let known = [configured.to_owned(), variable("AWS_REGION"), variable("AWS_DEFAULT_REGION")];
    if let Some(region) = known.into_iter().find(|region| !region.is_empty()) {
        return Ok(region);
    }
    let failed = |why: String| format!("EC2 SD configuration requires a region: {why}");
    metadata_token(api, metadata).await.map_err(failed)?;
    let url = format!("{metadata}/latest/meta-data/placement/region");
    let region = api.get(&url).await.map_err(failed)?;
    api.headers.remove("x-aws-ec2-metadata-token");
    Ok(String::from_utf8_lossy(&region).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::{FakeServer, on_control, reply, reply_status};
    use std::time::Duration;

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
        let server = FakeServer::http(|asked| {
            let path = asked.path().trim_start_matches("/latest/");
            match (path, asked.header("x-aws-ec2-metadata-token")) {
                ("api/token", "") => reply("tok"),
                ("meta-data/iam/security-credentials/", "tok") => reply("role\n"),
                ("meta-data/iam/security-credentials/role", "tok") => {
                    reply(r#"{"AccessKeyId":"i","SecretAccessKey":"s","Token":"t"}"#)
                }
                _ => reply_status(401, ("a", "b")),
            }
        });
        let mut api = Api::plain(Duration::from_secs(5));
        let found = on_control(of_machine(&mut api, &server.url("")));
        let role = Credentials { id: "i".into(), secret: "s".into(), token: "t".into() };
        assert_eq!(found, Ok(role));
    }
}

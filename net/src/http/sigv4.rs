//! Signatures of requests to AWS, version 4.
//!
//! Source: AWS, "Create a signed AWS API request".

use ring::{digest, hmac};

use super::url::Url;

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    pub id: String,
    pub secret: String,
    /// Of a session; empty for keys that last.
    pub token: String,
}

/// Headers that make a POST of `body` to `url` a signed one; `content-type` is among them.
pub fn sign(
    credentials: &Credentials,
    url: &Url,
    service: &str,
    region: &str,
    content_type: &str,
    body: &[u8],
    now_seconds: i64,
) -> Vec<(&'static str, String)> {
    let time = jiff::Timestamp::from_second(now_seconds).unwrap_or_default();
    let time = time.strftime("%Y%m%dT%H%M%SZ").to_string();
    let date = &time[..8];
    let mut headers = vec![("content-type", content_type.to_owned())];
    headers.push(("host", url.authority.clone()));
    headers.push(("x-amz-date", time.clone()));
    if !credentials.token.is_empty() {
        headers.push(("x-amz-security-token", credentials.token.clone()));
    }
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String =
        headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let request = format!("POST\n{}\n{}\n{lines}\n{names}\n{}", url.path, url.query, hash(body));
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hash(request.as_bytes()));
    let key = signing_key(&credentials.secret, date, region, service);
    let signature = hex(&mac(&key, text.as_bytes()));
    headers.retain(|(name, _)| *name != "host");
    let id = &credentials.id;
    headers.push((
        "authorization",
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, \
             Signature={signature}"
        ),
    ));
    headers
}

fn signing_key(secret: &str, date: &str, region: &str, service: &str) -> Vec<u8> {
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [date, region, service, "aws4_request"] {
        key = mac(&key, part.as_bytes());
    }
    key
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{hex, signing_key};

    #[test]
    fn the_key_of_the_documentation() {
        let key =
            signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830", "us-east-1", "iam");
        let expected = "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9";
        assert_eq!(hex(&key), expected);
    }
}

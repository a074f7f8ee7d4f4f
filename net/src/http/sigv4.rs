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

/// For what a signature is good.
pub struct Scope<'a> {
    pub service: &'a str,
    pub region: &'a str,
    pub now_seconds: i64,
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
    let scope = Scope { service, region, now_seconds };
    let own = [("content-type", content_type)];
    let mut headers = vec![("content-type", content_type.to_owned())];
    headers.extend(sign_request(credentials, &scope, "POST", url, &own, body));
    headers
}

/// Headers beside its own that make a request a signed one.
pub fn sign_request(
    credentials: &Credentials,
    scope: &Scope<'_>,
    method: &str,
    url: &Url,
    own: &[(&str, &str)],
    body: &[u8],
) -> Vec<(&'static str, String)> {
    let time = jiff::Timestamp::from_second(scope.now_seconds).unwrap_or_default();
    let time = time.strftime("%Y%m%dT%H%M%SZ").to_string();
    let date = &time[..8];
    let mut added = vec![("x-amz-date", time.clone())];
    if !credentials.token.is_empty() {
        added.push(("x-amz-security-token", credentials.token.clone()));
    }
    let mut headers: Vec<(&str, &str)> = own.to_vec();
    headers.push(("host", &url.authority));
    headers.extend(added.iter().map(|(name, value)| (*name, value.as_str())));
    headers.sort_unstable();
    let lines: String =
        headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let mut parameters: Vec<&str> = url.query.split('&').collect();
    parameters.sort_unstable();
    let (path, query) = (encoded_again(&url.path), parameters.join("&"));
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{}", hash(body));
    let (service, region) = (scope.service, scope.region);
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hash(canonical.as_bytes()));
    let key = signing_key(&credentials.secret, date, region, service);
    let signature = hex(&mac(&key, text.as_bytes()));
    let id = &credentials.id;
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
    );
    added.push(("authorization", authorization));
    added
}

/// The encoded path, encoded once more: what AWS signs.
fn encoded_again(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
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
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    #[test]
    fn the_key_of_the_documentation() {
        let key = signing_key(SECRET, "20150830", "us-east-1", "iam");
        let expected = "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9";
        assert_eq!(hex(&key), expected);
    }

    #[test]
    fn the_request_of_the_documentation() {
        let url = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08";
        let form = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let (id, secret) = ("AKIDEXAMPLE".to_owned(), SECRET.to_owned());
        let credentials = Credentials { id, secret, token: String::new() };
        let scope = Scope { service: "iam", region: "us-east-1", now_seconds: 1_440_938_160 };
        let url = Url::parse(url).unwrap();
        let signed = sign_request(&credentials, &scope, "GET", &url, &form, b"");
        let expected = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
        assert_eq!(signed.last(), Some(&("authorization", expected.to_owned())));
    }

    #[test]
    fn paths_are_encoded_twice() {
        assert_eq!(encoded_again("/v1/arn%3Aaws/x"), "/v1/arn%253Aaws/x");
    }
}

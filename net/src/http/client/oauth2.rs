//! Tokens by OAuth 2.0: client credentials (RFC 6749, 4.4) and signed assertions (RFC 7523, 2.1).
//!
//! A token is fetched by the first request that needs it and used by all clients of the
//! configuration until shortly before it expires, or until the secret changes.
//!
//! Source: golang.org/x/oauth2 (`internal/token.go`), prometheus/common
//! `config/oauth_assertion.go`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender, bounded};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use ring::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding};
use serde_json::{Map, Value};
use shards::runtime;

use super::options::{basic_authorization, for_tls, secret};
use super::{AGENT, Answer, Ask, Client, ClientOptions};
use crate::config::{OAuth2, yaml::Yaml};
use crate::http::jwt;
use crate::http::url::{Url, escape_query};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Longest answer of a token server.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A token is renewed this long before it expires.
const EARLY: Duration = Duration::from_secs(10);

/// How long a signed assertion is good.
const ASSERTION_SECONDS: i64 = 600;

pub struct TokenSource {
    config: OAuth2,
    url: Url,
    options: Arc<ClientOptions>,
    state: Mutex<State>,
    /// One place: who holds it fetches, the others wait.
    places: (Sender<()>, Receiver<()>),
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// Whether the server wants the credentials in the form, once that is known.
    in_form: Option<bool>,
}

#[derive(Clone)]
struct Token {
    authorization: HeaderValue,
    secret: String,
    expires: Option<Instant>,
}

/// The place of whoever fetches, given back when dropped.
struct Place<'a>(&'a Sender<()>);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // There is room: this was the only place.
        let _ = self.0.try_send(());
    }
}

impl TokenSource {
    pub fn new(config: &OAuth2) -> Result<TokenSource, String> {
        let places = bounded(1);
        // An empty channel has room for one.
        let _ = places.0.try_send(());
        Ok(TokenSource {
            url: Url::parse(&config.token_url)?,
            options: for_tls(&config.tls_config, &config.proxy)?,
            config: config.clone(),
            state: Mutex::default(),
            places,
        })
    }

    /// The header that carries the token in force.
    pub async fn authorization(&self) -> Result<HeaderValue, String> {
        let secret = self.secret().await?;
        if let Some(good) = self.good(&secret) {
            return Ok(good);
        }
        let closed = |_| "oauth2: cannot fetch token".to_owned();
        self.places.1.recv().await.map_err(closed)?;
        let _place = Place(&self.places.0);
        // Somebody else may have fetched it meanwhile.
        if let Some(good) = self.good(&secret) {
            return Ok(good);
        }
        let token = self.fetch(&secret).await?;
        let authorization = token.authorization.clone();
        self.state().token = Some(token);
        Ok(authorization)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn good(&self, secret: &str) -> Option<HeaderValue> {
        let state = self.state();
        let token = state.token.as_ref()?;
        let is_fresh = token.expires.is_none_or(|expires| Instant::now() + EARLY < expires);
        (is_fresh && token.secret == secret).then(|| token.authorization.clone())
    }

    fn is_jwt(&self) -> bool {
        self.config.grant_type == JWT_BEARER
    }

    async fn secret(&self) -> Result<String, String> {
        let config = &self.config;
        let (text, file) = if self.is_jwt() {
            (&config.client_certificate_key, config.client_certificate_key_file.as_str())
        } else {
            (&config.client_secret, &*config.client_secret_file)
        };
        let (text, file) = (text.reveal().to_owned(), file.to_owned());
        if !text.is_empty() || file.is_empty() {
            return Ok(text);
        }
        runtime::blocking(move || secret(&text, &file, "oauth2 client secret")).await
    }

    async fn fetch(&self, secret: &str) -> Result<Token, String> {
        let mut form: BTreeMap<&str, String> = BTreeMap::new();
        if self.is_jwt() {
            form.insert("grant_type", JWT_BEARER.to_owned());
            form.insert("assertion", assertion(&self.config, secret, runtime::unix_ms() / 1000)?);
        } else {
            form.insert("grant_type", "client_credentials".to_owned());
        }
        if !self.config.scopes.is_empty() {
            form.insert("scope", self.config.scopes.join(" "));
        }
        for (name, value) in &self.config.endpoint_params {
            if name != "grant_type" && form.contains_key(name.as_str()) {
                return Err(format!("oauth2: cannot overwrite parameter {name:?}"));
            }
            form.insert(name, value.clone());
        }
        let mut body = vec![];
        if self.is_jwt() {
            let answer = self.post(&form, None, &mut body).await?;
            return token(&answer, &body, secret);
        }
        // Servers differ in where they want the credentials; which way works is remembered.
        let known = self.state().in_form;
        let mut in_form = known.unwrap_or(false);
        let mut answer = self.ask(&form, secret, in_form, &mut body).await?;
        if known.is_none() && !answer.status.is_success() {
            in_form = true;
            answer = self.ask(&form, secret, in_form, &mut body).await?;
        }
        let token = token(&answer, &body, secret)?;
        self.state().in_form = Some(in_form);
        Ok(token)
    }

    async fn ask(
        &self,
        form: &BTreeMap<&str, String>,
        secret: &str,
        in_form: bool,
        body: &mut Vec<u8>,
    ) -> Result<Answer, String> {
        let id = &self.config.client_id;
        if !in_form {
            let basic = basic_authorization(&escape_query(id), &escape_query(secret));
            return self.post(form, Some(basic), body).await;
        }
        let mut form = form.clone();
        form.insert("client_id", id.clone());
        if !secret.is_empty() {
            form.insert("client_secret", secret.to_owned());
        }
        self.post(&form, None, body).await
    }

    async fn post(
        &self,
        form: &BTreeMap<&str, String>,
        authorization: Option<String>,
        body: &mut Vec<u8>,
    ) -> Result<Answer, String> {
        let mut headers = HeaderMap::new();
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form_type);
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(authorization) = authorization {
            let value = HeaderValue::from_str(&authorization);
            headers.insert(AUTHORIZATION, value.map_err(|_| "oauth2: bad client_id".to_owned())?);
        }
        let pairs = form.iter().map(|(n, v)| format!("{}={}", escape_query(n), escape_query(v)));
        let form = pairs.collect::<Vec<_>>().join("&");
        let ask = Ask::post(&self.url, &headers, form, ANSWER_BYTES_MAX);
        let sent = Client::new(self.options.clone()).send(&ask, body).await;
        sent.map_err(|error| format!("oauth2: cannot fetch token: {error}"))
    }
}

/// Reads a token server's answer.
fn token(answer: &Answer, body: &[u8], secret: &str) -> Result<Token, String> {
    let fail = |why: &str| Err(format!("oauth2: cannot fetch token: {why}"));
    if !answer.status.is_success() {
        let text = String::from_utf8_lossy(&body[..body.len().min(1000)]);
        return fail(&format!("{}\nResponse: {text}", answer.status_line));
    }
    let fields: Value = match serde_json::from_slice(body) {
        Ok(fields) => fields,
        Err(error) => return fail(&format!("cannot parse json: {error}")),
    };
    let text = |name: &str| fields[name].as_str().unwrap_or("");
    if text("access_token").is_empty() {
        return fail("server response missing access_token");
    }
    let kind = match text("token_type") {
        kind if kind.is_empty() || kind.eq_ignore_ascii_case("bearer") => "Bearer",
        kind if kind.eq_ignore_ascii_case("mac") => "MAC",
        kind if kind.eq_ignore_ascii_case("basic") => "Basic",
        kind => kind,
    };
    let Ok(mut authorization) = HeaderValue::from_str(&format!("{kind} {}", text("access_token")))
    else {
        return fail("access_token does not fit into a header");
    };
    authorization.set_sensitive(true);
    // Some servers write the number as text.
    let expires_in = &fields["expires_in"];
    let seconds = expires_in.as_u64().or_else(|| expires_in.as_str()?.parse().ok()).unwrap_or(0);
    let lifetime = Duration::from_secs(seconds.min(1 << 30));
    Ok(Token {
        authorization,
        secret: secret.to_owned(),
        expires: (seconds > 0).then(|| Instant::now() + lifetime),
    })
}

/// A signed assertion of who asks (a JWT).
fn assertion(config: &OAuth2, key_pem: &str, now_seconds: i64) -> Result<String, String> {
    let (algorithm, encoding): (_, &'static dyn RsaEncoding) =
        match config.signature_algorithm.as_str() {
            "RS384" => ("RS384", &RSA_PKCS1_SHA384),
            "RS512" => ("RS512", &RSA_PKCS1_SHA512),
            _ => ("RS256", &RSA_PKCS1_SHA256),
        };
    let mut header = Map::new();
    header.insert("alg".to_owned(), algorithm.into());
    header.insert("typ".to_owned(), "JWT".into());
    if !config.client_certificate_key_id.is_empty() {
        header.insert("kid".to_owned(), config.client_certificate_key_id.clone().into());
    }
    let or = |text: &str, other: &str| if text.is_empty() { other.into() } else { text.into() };
    let mut claims: Map<String, Value> = Map::new();
    claims.insert("iss".to_owned(), or(&config.iss, &config.client_id));
    claims.insert("sub".to_owned(), config.client_id.clone().into());
    let id = jwt::random_id().map_err(|why| format!("oauth2: {why}"))?;
    claims.insert("jti".to_owned(), id.into());
    claims.insert("aud".to_owned(), or(&config.audience, &config.token_url));
    claims.insert("iat".to_owned(), now_seconds.into());
    claims.insert("exp".to_owned(), (now_seconds + ASSERTION_SECONDS).into());
    if !config.scopes.is_empty() {
        claims.insert("scope".to_owned(), config.scopes.join(" ").into());
    }
    for (name, value) in &config.claims {
        claims.insert(name.clone(), to_json(value));
    }
    jwt::signed(header, claims, encoding, key_pem).map_err(|why| format!("oauth2: {why}"))
}

fn to_json(value: &Yaml) -> Value {
    match value {
        Yaml::Null => Value::Null,
        Yaml::Plain(text) => serde_json::from_str(text).unwrap_or_else(|_| text.clone().into()),
        Yaml::Text(text) => text.clone().into(),
        Yaml::Sequence(items) | Yaml::Flow(items) => items.iter().map(to_json).collect(),
        Yaml::Mapping(pairs) => {
            let pairs = pairs.iter().map(|(name, value)| (name.clone(), to_json(value)));
            Value::Object(pairs.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::RsaKeyPair;
    use rustls::pki_types::PrivateKeyDer;

    use super::*;
    use crate::http::tls::pem;

    /// Made for this test, used nowhere else.
    const KEY: &str = include_str!("rsa_test_key.pem");

    /// The parts of an assertion that hold text.
    fn parts(assertion: &str) -> Vec<String> {
        let standard = assertion.replace('-', "+").replace('_', "/");
        let decode = |part: &str| crate::http::encoding::base64_decode(part).unwrap();
        let parts = standard.split('.').take(2);
        parts.map(|part| String::from_utf8(decode(part)).unwrap()).collect()
    }

    #[test]
    fn an_assertion_says_who_asks() {
        let config = OAuth2 {
            client_id: "me".to_owned(),
            token_url: "http://t/".to_owned(),
            client_certificate_key_id: "k".to_owned(),
            signature_algorithm: "RS512".to_owned(),
            scopes: vec!["a".to_owned(), "b".to_owned()],
            claims: [("n".to_owned(), Yaml::Plain("1".to_owned()))].into(),
            ..OAuth2::default()
        };
        let assertion = assertion(&config, KEY, 1000).unwrap();
        let parts = parts(&assertion);
        assert_eq!(parts[0], r#"{"alg":"RS512","typ":"JWT","kid":"k"}"#);
        let claims: Value = serde_json::from_str(&parts[1]).unwrap();
        assert_eq!(claims["iss"], "me");
        assert_eq!(claims["aud"], "http://t/");
        assert_eq!(claims["exp"], 1600);
        assert_eq!(claims["scope"], "a b");
        assert_eq!(claims["n"], 1);
        assert!(!claims["jti"].as_str().unwrap().is_empty());
        let (signed, signature) = assertion.rsplit_once('.').unwrap();
        let signature = signature.replace('-', "+").replace('_', "/");
        let signature = crate::http::encoding::base64_decode(&signature).unwrap();
        let PrivateKeyDer::Pkcs8(key) = pem::private_key(KEY.as_bytes()).unwrap() else { return };
        let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
        let public = ring::signature::UnparsedPublicKey::new(
            &ring::signature::RSA_PKCS1_2048_8192_SHA512,
            key.public().as_ref(),
        );
        assert_eq!(public.verify(signed.as_bytes(), &signature), Ok(()));
    }
}

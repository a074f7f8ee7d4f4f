//! A server that commands ask: as `--http.config.file` says, over the client of all of hearth.
//!
//! Source: Prometheus `cmd/promtool/{main,query}.go`; client_golang `api/prometheus/v1/api.go`.

use std::path::Path;
use std::time::Duration;

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::Kind;
use super::arguments::{Arguments, Flag, flag};
use crate::config::{BasicAuth, HttpClientConfig, Secret, yaml, yaml::Field as _};
use crate::http::client::{AGENT, Ask, Client, ClientOptions};
use crate::http::url::{Url, escape_query};

/// Longest answer.
const ANSWER_BYTES_MAX: usize = 2 << 30;

const QUERY_TIMEOUT: Duration = Duration::from_secs(120);

pub(super) const HTTP_CONFIG: Flag =
    flag("http.config.file", Kind::File, "HTTP client configuration file.");

pub(super) struct Server {
    runtime: Runtime,
    client: Client,
    base: Url,
    headers: HeaderMap,
}

pub(super) struct Reply {
    pub status: StatusCode,
    pub body: Vec<u8>,
}

/// `time=1&query=up`, encoded.
pub(super) fn form(pairs: &[(&str, &str)]) -> String {
    let encode = |(name, value): &(&str, &str)| format!("{name}={}", escape_query(value));
    pairs.iter().map(encode).collect::<Vec<_>>().join("&")
}

impl Server {
    /// The server at `url`; `headers` go with every request.
    pub fn new(arguments: &Arguments, url: &str) -> Result<Server, String> {
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", &url));
        let authority = rest.split('/').next().unwrap_or("");
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let base = format!("{scheme}://{host}{}", &rest[authority.len()..]);
        let mut config = http_config(arguments.text("http.config.file"))?;
        if !user.is_empty() {
            if arguments.value("http.config.file").is_some() {
                return Err(
                    "Cannot set base auth in the server URL and use a http.config.file at \
                            the same time"
                        .to_owned(),
                );
            }
            let (username, password) = user.split_once(':').unwrap_or((user, ""));
            config.basic_auth = Some(BasicAuth {
                username: username.to_owned(),
                password: Secret::new(password),
                ..BasicAuth::default()
            });
        }
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, value) in arguments.pairs("header") {
            let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
            headers.append(name, HeaderValue::try_from(value).map_err(|error| error.to_string())?);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Server {
            runtime: runtime.map_err(|error| error.to_string())?,
            client: Client::new(ClientOptions::new("promtool", &config)?),
            base: Url::parse(&base)?,
            headers,
        })
    }

    /// The URL of `path` below the server's own, with what stands behind a question mark.
    fn url(&self, path: &str) -> Url {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut whole = self.base.path.clone();
        if !path.is_empty() {
            whole = format!("{}/{}", whole.trim_end_matches('/'), path.trim_start_matches('/'));
        }
        Url { path: whole, query: query.to_owned(), ..self.base.clone() }
    }

    pub fn base(&self) -> String {
        self.base.to_string()
    }

    /// # Errors
    ///
    /// Go's text, if there is no answer in time.
    pub fn send(
        &mut self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<Reply, String> {
        let url = self.url(path);
        let mut headers = self.headers.clone();
        if !content_type.is_empty() {
            let value = HeaderValue::from_str(content_type).map_err(|error| error.to_string())?;
            headers.insert(CONTENT_TYPE, value);
        }
        let ask = Ask {
            method: method.clone(),
            body: body.into(),
            ..Ask::get(&url, &headers, ANSWER_BYTES_MAX)
        };
        let mut body = Vec::new();
        let client = &mut self.client;
        let asked = async {
            match timeout(within, client.send(&ask, &mut body)).await {
                Err(_) => Err(client.timed_out(&method, &url)),
                Ok(answer) => answer.map_err(|error| error.to_string()),
            }
        };
        let answer = LocalSet::new().block_on(&self.runtime, asked)?;
        Ok(Reply { status: answer.status, body })
    }

    pub fn set_header(&mut self, name: &'static str, value: &'static str) {
        self.headers.insert(name, HeaderValue::from_static(value));
    }

    pub fn get(&mut self, path: &str, within: Duration) -> Result<Reply, String> {
        self.send(Method::GET, path, "", Vec::new(), within)
    }

    /// What an endpoint of the API answers: `data`.
    ///
    /// # Errors
    ///
    /// The text of client_golang: `bad_data: …`, with the body of an answer that is none of the API.
    pub fn ask(
        &mut self,
        method: Method,
        path: &str,
        pairs: &[(&str, &str)],
    ) -> Result<Value, String> {
        let form = form(pairs);
        let reply = if method == Method::GET {
            self.get(&format!("{path}?{form}"), QUERY_TIMEOUT)?
        } else {
            let kind = "application/x-www-form-urlencoded";
            self.send(method, path, kind, form.clone().into_bytes(), QUERY_TIMEOUT)?
        };
        let reply = match reply.status.as_u16() {
            // A server that takes no such method.
            405 | 501 => self.get(&format!("{path}?{form}"), QUERY_TIMEOUT)?,
            _ => reply,
        };
        read_answer(&reply)
    }
}

fn read_answer(reply: &Reply) -> Result<Value, String> {
    let code = reply.status.as_u16();
    let is_api_error = matches!(code, 400 | 422);
    if !reply.status.is_success() && !is_api_error {
        let (kind, text) = match code / 100 {
            4 => ("client_error", format!("client error: {code}")),
            5 => ("server_error", format!("server error: {code}")),
            _ => ("bad_response", format!("bad response code {code}")),
        };
        let detail = String::from_utf8_lossy(&reply.body);
        return Err(match detail.trim() {
            "" => format!("{kind}: {text}"),
            detail => format!("{kind}: {text} (detail: {detail})"),
        });
    }
    let mut answer: Value =
        serde_json::from_slice(&reply.body).map_err(|error| format!("bad_response: {error}"))?;
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    match text("status").as_str() {
        "success" if is_api_error => {
            Err("bad_response: inconsistent body for response code".to_owned())
        }
        "success" => Ok(answer["data"].take()),
        _ => Err(format!("{}: {}", text("errorType"), text("error"))),
    }
}

fn http_config(file: &str) -> Result<HttpClientConfig, String> {
    let mut config = HttpClientConfig::default();
    if !file.is_empty() {
        let failed = |why: String| format!("Failed to load HTTP config file: {why}");
        let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
        yaml::decode(&text, &mut config).map_err(|abort| failed(abort.message))?;
        config.validate().map_err(failed)?;
        config.join_dir(Path::new(file).parent().unwrap_or(Path::new("")));
    }
    Ok(config)
}

//! `http_sd_configs`: groups that a web server gives as JSON.
//!
//! Source: Prometheus `discovery/http/http.go`.

use super::TargetGroup;
use super::api::{Api, Request};
use super::file::parse_json;
use crate::config::HttpSdConfig;

pub async fn refresh(config: &HttpSdConfig, api: &mut Api) -> Result<Vec<TargetGroup>, String> {
    let seconds = config.refresh_interval.ms() as f64 / 1000.0;
    let request = Request::get(&config.url)
        .with("x-prometheus-refresh-interval-seconds", seconds.to_string());
    let reply = api.send(request).await?;
    let content_type = reply.header("content-type");
    if !is_json(content_type) {
        return Err(format!("unsupported content type {content_type:?}"));
    }
    let text = std::str::from_utf8(&reply.body).map_err(|error| error.to_string())?;
    let mut groups = vec![];
    for (index, mut group) in parse_json(text)?.into_iter().enumerate() {
        group.labels.0.insert("__meta_url".to_owned(), config.url.clone());
        let source = format!("{}:{index}", config.url);
        groups.push(TargetGroup::new(source, &group.targets, &group.labels));
    }
    Ok(groups)
}

/// `application/json`, perhaps with its charset.
pub fn is_json(content_type: &str) -> bool {
    let (kind, parameter) = content_type.trim().split_once(';').unwrap_or((content_type, ""));
    let parameter = parameter.trim().to_ascii_lowercase();
    kind.trim().eq_ignore_ascii_case("application/json")
        && matches!(parameter.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"")
}

#[cfg(test)]
mod tests {
    use super::refresh;
    use crate::config::HttpSdConfig;
    use crate::discovery::api::Api;
    use crate::discovery::api::testing::check;
    use crate::http::testing::{FakeServer, reply, reply_json, reply_status};
    use std::time::Duration;

    #[track_caller]
    fn check_page(path: &str, expected: &str) {
        let server = FakeServer::http(|asked| match asked.target.as_str() {
            "/good" => {
                assert_eq!(asked.header("x-prometheus-refresh-interval-seconds"), "60");
                reply_json(r#"[{"targets":["a:1","b:2"],"labels":{"x":"y"}},{"targets":[]}]"#)
            }
            "/text" => reply("[]"),
            "/null" => reply_json("[null]"),
            _ => reply_status(500, ("a", "b")),
        });
        let config = HttpSdConfig { url: server.url(path), ..HttpSdConfig::default() };
        let config =
            HttpSdConfig { refresh_interval: crate::config::Millis::seconds(60), ..config };
        let mut api = Api::plain(Duration::from_secs(5));
        let expected = expected.replace("URL", &config.url);
        check(refresh(&config, &mut api), &expected);
    }

    #[test]
    fn groups() {
        check_page(
            "/good",
            "URL:0 {__meta_url=\"URL\", x=\"y\"}\n  {__address__=\"a:1\"}\n  \
             {__address__=\"b:2\"}\nURL:1 {__meta_url=\"URL\"}",
        );
        check_page("/text", "unsupported content type \"\"");
        check_page("/null", "nil target group item found");
        check_page("/other", "server returned HTTP status 500 Internal Server Error");
    }
}

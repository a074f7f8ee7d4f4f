//! `puppetdb_sd_configs`: resources that a query of PuppetDB finds.
//!
//! Source: Prometheus `discovery/puppetdb`.

use engine::model::Labels;
use serde_json::{Value, json};

use crate::config::PuppetDbSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::meta::sanitized;
use crate::discovery::api::{Api, Meta, Request, host_port, items, one_group, text};
use crate::discovery::http::is_json;
use crate::http::url::Url;
use crate::wire::float::push_g;

pub async fn refresh(config: &PuppetDbSdConfig, api: &mut Api) -> Result<Vec<TargetGroup>, String> {
    let mut url = Url::parse(&config.url)?;
    url.path = format!("{}/pdb/query/v4", url.path.trim_end_matches('/'));
    let url = url.to_string();
    let reply = api.exchange(Request::post_json(&url, &json!({"query": config.query}))).await?;
    if reply.status != 200 {
        return Err(format!("server returned HTTP status {}", reply.status_line));
    }
    let content_type = reply.header("content-type");
    if !is_json(content_type) {
        return Err(format!("unsupported content type {content_type}"));
    }
    let resources = reply.json()?;
    let targets = items(&resources).iter().map(|resource| target(config, resource));
    Ok(one_group(&format!("{url}?query={}", config.query), targets.collect()))
}

fn target(config: &PuppetDbSdConfig, resource: &Value) -> Labels {
    let mut meta = Meta::new("__meta_puppetdb_");
    meta.address(host_port(&text(&resource["certname"]), config.port))
        .set("query", &config.query)
        .set("exported", (resource["exported"] == true).to_string())
        .set_list("tags", &resource["tags"], ",")
        .copy(
            resource,
            &[
                ("certname", "certname"),
                ("resource", "resource"),
                ("type", "type"),
                ("title", "title"),
                ("file", "file"),
                ("environment", "environment"),
            ],
        );
    if config.include_parameters {
        set_parameters(&mut meta, "parameter_", &resource["parameters"]);
    }
    meta.finish()
}

/// Scalars and lists of them under their names, objects with their name before those inside.
fn set_parameters(meta: &mut Meta, prefix: &str, parameters: &Value) {
    for (name, value) in parameters.as_object().into_iter().flatten() {
        let name = format!("{prefix}{}", sanitized(name));
        match value {
            Value::Object(_) => set_parameters(meta, &format!("{name}_"), value),
            Value::Array(list) => {
                let texts: Vec<String> = list.iter().map(scalar).collect();
                meta.set(&name, texts.join(","));
            }
            value => {
                meta.set(&name, scalar(value));
            }
        }
    }
}

/// Numbers as Go writes those of JSON.
fn scalar(value: &Value) -> String {
    match value.as_f64() {
        Some(number) => {
            let mut out = vec![];
            push_g(&mut out, number);
            String::from_utf8_lossy(&out).into_owned()
        }
        None => text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    #[track_caller]
    fn check(answer: &str, expected: &str) {
        let asked = "POST /p/pdb/query/v4\ncontent-type: application/json\n{\"query\":\"q\"}";
        check_provider(
            "{url: SERVER/p/, query: q, include_parameters: true}",
            &[(asked, answer)],
            async |config, api, _| refresh(config, api).await,
            expected,
        );
    }

    #[test]
    fn resources() {
        check(
            r#"[{"certname":"c.test","resource":"49af","type":"Class","title":"T","exported":false,
            "tags":["a","b"],"file":"/f.pp","environment":"prod","parameters":{"access log":"x",
            "port":8080,"big":1e21,"on":true,"list":["a",1,true],"empty":[],"null":null,
            "deep":{"er-x":"y"}}}]"#,
            r#"
SERVER/p/pdb/query/v4?query=q {}
  {__address__="c.test:80", __meta_puppetdb_certname="c.test", __meta_puppetdb_environment="prod", __meta_puppetdb_exported="false", __meta_puppetdb_file="/f.pp", __meta_puppetdb_parameter_access_log="x", __meta_puppetdb_parameter_big="1e+21", __meta_puppetdb_parameter_deep_er_x="y", __meta_puppetdb_parameter_list="a,1,true", __meta_puppetdb_parameter_on="true", __meta_puppetdb_parameter_port="8080", __meta_puppetdb_query="q", __meta_puppetdb_resource="49af", __meta_puppetdb_tags=",a,b,", __meta_puppetdb_title="T", __meta_puppetdb_type="Class"}"#,
        );
    }

    #[test]
    fn refusals() {
        check("500\nbroken", "server returned HTTP status 500 Internal Server Error");
        check("200 content-type: text/plain\n[]", "unsupported content type text/plain");
        check("200\n[", "cannot read the answer: EOF while parsing a list at line 1 column 1");
    }
}

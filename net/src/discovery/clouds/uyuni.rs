//! `uyuni_sd_configs`: exporters of the systems that a Uyuni server manages.
//!
//! Source: Prometheus `discovery/uyuni/uyuni.go`; the XML-RPC specification.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::model::Labels;
use serde_json::{Map, Value, json};

use crate::config::UyuniSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::json::int;
use crate::discovery::api::{Api, Meta, Request, items, one_group, text};
use crate::discovery::xml::{self, Element, escaped};

/// How long a session is good.
const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

pub async fn refresh(config: &UyuniSdConfig, api: &mut Api) -> Result<Vec<TargetGroup>, String> {
    let url = format!("{}/rpc/api", config.server.trim_end_matches('/'));
    let token = match api.memory.get("token") {
        Some(token) => token.clone(),
        None => {
            let user = [
                json!(config.username),
                json!(config.password.reveal()),
                json!(TOKEN_LIFETIME.as_secs()),
            ];
            let token = call(api, &url, "auth.login", &user).await;
            let token = token.map_err(|why| format!("unable to login to Uyuni API: {why}"))?;
            api.memory.put("token", token.clone(), TOKEN_LIFETIME / 2);
            token
        }
    };
    match targets(config, api, &url, token).await {
        Ok(targets) => Ok(one_group(&url, targets)),
        Err(why) => {
            api.memory.forget("token");
            Err(why)
        }
    }
}

async fn targets(
    config: &UyuniSdConfig,
    api: &mut Api,
    url: &str,
    token: Value,
) -> Result<Vec<Labels>, String> {
    let failed = |what: &'static str| move |why: String| format!("unable to get {what}: {why}");
    let entitled = [token.clone(), json!(config.entitlement)];
    let method = "system.listSystemGroupsForSystemsWithEntitlement";
    let systems = call(api, url, method, &entitled)
        .await
        .map_err(failed("the managed system groups information of monitored clients"))?;
    let groups: BTreeMap<i64, String> = items(&systems)
        .iter()
        .map(|system| {
            let names = items(&system["system_groups"]).iter().map(|group| text(&group["name"]));
            (int(&system["id"]), names.collect::<Vec<_>>().join(&config.separator))
        })
        .collect();
    let of_systems = [token, groups.keys().copied().collect()];
    let endpoints = call(api, url, "system.monitoring.listEndpoints", &of_systems).await;
    let endpoints = endpoints.map_err(failed("endpoints information"))?;
    let networks = call(api, url, "system.getNetworkForSystems", &of_systems).await;
    let networks = networks.map_err(failed("the systems network information"))?;
    let networks: BTreeMap<i64, &Value> =
        items(&networks).iter().map(|network| (int(&network["system_id"]), network)).collect();
    let target = |endpoint: &Value| {
        let id = int(&endpoint["system_id"]);
        let network = networks.get(&id).map_or(&Value::Null, |network| network);
        let scheme = if endpoint["tls_enabled"] == true { "https" } else { "http" };
        let mut meta = Meta::new("__meta_uyuni_");
        meta.address(format!("{}:{}", text(&network["hostname"]), int(&endpoint["port"])))
            .set("system_id", id.to_string())
            .set("groups", groups.get(&id).map_or("", String::as_str))
            .set("scheme", scheme)
            .copy(network, &[("minion_hostname", "hostname"), ("primary_fqdn", "primary_fqdn")])
            .copy(
                endpoint,
                &[
                    ("endpoint_name", "endpoint_name"),
                    ("exporter", "exporter_name"),
                    ("proxy_module", "module"),
                    ("metrics_path", "path"),
                ],
            );
        meta.finish()
    };
    Ok(items(&endpoints).iter().map(target).collect())
}

async fn call(
    api: &mut Api,
    url: &str,
    method: &str,
    parameters: &[Value],
) -> Result<Value, String> {
    let mut body =
        format!("<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params>");
    for parameter in parameters {
        body.push_str("<param>");
        push_value(&mut body, parameter);
        body.push_str("</param>");
    }
    body.push_str("</params></methodCall>");
    let reply = api.send(Request::post(url, "text/xml", body)).await?;
    let answer = xml::parse(&String::from_utf8_lossy(&reply.body))?;
    if let Some(fault) = answer.child("fault").and_then(|fault| fault.child("value")) {
        let fault = value(fault);
        return Err(format!(
            "error: {:?} code: {}",
            text(&fault["faultString"]),
            int(&fault["faultCode"])
        ));
    }
    let result = ["params", "param", "value"];
    let result = result.iter().try_fold(&answer, |element, name| element.child(name));
    result.map(value).ok_or_else(|| "an answer without a value".to_owned())
}

/// Texts, whole numbers and lists are all that is sent.
fn push_value(out: &mut String, value: &Value) {
    out.push_str("<value>");
    match value {
        Value::Array(items) => {
            out.push_str("<array><data>");
            items.iter().for_each(|item| push_value(out, item));
            out.push_str("</data></array>");
        }
        Value::Number(number) => out.push_str(&format!("<int>{number}</int>")),
        other => out.push_str(&format!("<string>{}</string>", escaped(&text(other)))),
    }
    out.push_str("</value>");
}

fn value(element: &Element) -> Value {
    // Without a type it is a text.
    let Some(typed) = element.children.first() else { return element.text.as_str().into() };
    match typed.name.as_str() {
        "int" | "i4" | "i8" => typed.text.parse::<i64>().map_or(Value::Null, Value::from),
        "boolean" => (typed.text == "1").into(),
        "double" => typed.text.parse::<f64>().map_or(Value::Null, Value::from),
        "array" => {
            typed.child("data").into_iter().flat_map(|data| data.all("value")).map(value).collect()
        }
        "struct" => {
            let member = |member: &Element| {
                let content = member.child("value").map_or(Value::Null, value);
                (member.text_at(&["name"]).to_owned(), content)
            };
            Value::Object(typed.all("member").map(member).collect::<Map<_, _>>())
        }
        "nil" => Value::Null,
        _ => typed.text.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    const SECTION: &str = "{server: SERVER/, username: u, password: 'p<'}";
    const LOGIN: (&str, &str) = (
        "POST /rpc/api\ncontent-type: text/xml\n<?xml version=\"1.0\"?><methodCall><methodName>\
         auth.login</methodName><params><param><value><string>u</string></value></param><param>\
         <value><string>p&lt;</string></value></param><param><value><int>600</int></value>\
         </param></params></methodCall>",
        "200\n<methodResponse><params><param><value>tok</value></param></params></methodResponse>",
    );

    #[test]
    fn exporters() {
        check_provider(
            SECTION,
            &[
                LOGIN,
                (
                    "POST /rpc/api",
                    "200\n<methodResponse><params><param><value><array><data><value><struct><member>\
                     <name>id</name><value><i4>7</i4></value></member><member><name>system_groups\
                     </name><value><array><data><value><struct><member><name>name</name><value>\
                     <string>g1</string></value></member></struct></value><value><struct><member>\
                     <name>name</name><value>g2</value></member></struct></value></data></array>\
                     </value></member></struct></value></data></array></value></param></params>\
                     </methodResponse>",
                ),
                (
                    "POST /rpc/api\n<?xml version=\"1.0\"?><methodCall><methodName>\
                     system.monitoring.listEndpoints</methodName><params><param><value><string>tok\
                     </string></value></param><param><value><array><data><value><int>7</int>\
                     </value></data></array></value></param></params></methodCall>",
                    "200\n<methodResponse><params><param><value><array><data><value><struct><member>\
                     <name>system_id</name><value><int>7</int></value></member><member><name>port\
                     </name><value><int>9100</int></value></member><member><name>endpoint_name</name>\
                     <value>e</value></member><member><name>exporter_name</name><value>node_exporter\
                     </value></member><member><name>path</name><value>/m</value></member><member>\
                     <name>module</name><value>mod</value></member><member><name>tls_enabled</name>\
                     <value><boolean>1</boolean></value></member></struct></value></data></array>\
                     </value></param></params></methodResponse>",
                ),
                (
                    "POST /rpc/api",
                    "200\n<methodResponse><params><param><value><array><data><value><struct><member>\
                     <name>system_id</name><value><int>7</int></value></member><member><name>hostname\
                     </name><value>h.test</value></member><member><name>primary_fqdn</name><value>\
                     f.test</value></member></struct></value></data></array></value></param></params>\
                     </methodResponse>",
                ),
            ],
            async |config, api, _| refresh(config, api).await,
            r#"
SERVER/rpc/api {}
  {__address__="h.test:9100", __meta_uyuni_endpoint_name="e", __meta_uyuni_exporter="node_exporter", __meta_uyuni_groups="g1,g2", __meta_uyuni_metrics_path="/m", __meta_uyuni_minion_hostname="h.test", __meta_uyuni_primary_fqdn="f.test", __meta_uyuni_proxy_module="mod", __meta_uyuni_scheme="https", __meta_uyuni_system_id="7"}"#,
        );
    }

    #[test]
    fn faults() {
        let fault = "200\n<methodResponse><fault><value><struct><member><name>faultCode</name><value>\
                     <int>2950</int></value></member><member><name>faultString</name><value>no such \
                     user</value></member></struct></value></fault></methodResponse>";
        check_provider(
            SECTION,
            &[(LOGIN.0, fault)],
            async |config, api, _| refresh(config, api).await,
            "unable to login to Uyuni API: error: \"no such user\" code: 2950",
        );
    }
}

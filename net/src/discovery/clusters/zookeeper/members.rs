//! What services write about themselves into ZooKeeper's nodes.
//!
//! Source: Prometheus `discovery/zookeeper/zookeeper.go`.

use engine::model::Labels;
use serde_json::Value;

use crate::discovery::api::{Meta, host_port};

/// Reads a node of a form; none if it is not one.
pub type Parse = fn(data: &[u8], path: &str) -> Option<Labels>;

/// A field, whatever its letters' case, as Go reads JSON.
fn field<'a>(object: &'a Value, name: &str) -> &'a Value {
    let mut fields = object.as_object().into_iter().flatten();
    // The last one that fits wins.
    let found = fields.rfind(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map_or(&Value::Null, |(_, value)| value)
}

/// An object or nothing; none for other values.
fn object(value: &Value) -> Option<&Value> {
    (value.is_object() || value.is_null()).then_some(value)
}

fn text(value: &Value) -> Option<&str> {
    if value.is_null() { Some("") } else { value.as_str() }
}

fn int(value: &Value) -> Option<i64> {
    if value.is_null() { Some(0) } else { value.as_i64() }
}

fn endpoint(value: &Value) -> Option<(&str, i64)> {
    let value = object(value)?;
    Some((text(field(value, "host"))?, int(field(value, "port"))?))
}

/// A member of a server set (Finagle, Aurora).
pub fn serverset(data: &[u8], path: &str) -> Option<Labels> {
    let member: Value = serde_json::from_slice(data).ok()?;
    let member = object(&member)?;
    let (host, port) = endpoint(field(member, "serviceEndpoint"))?;
    let mut meta = Meta::new("__meta_serverset_");
    meta.address(host_port(host, port))
        .set("path", path)
        .set("endpoint_host", host)
        .set("endpoint_port", port.to_string())
        .set("status", text(field(member, "status"))?)
        .set("shard", int(field(member, "shard"))?.to_string());
    let others = object(field(member, "additionalEndpoints"))?;
    for (name, other) in others.as_object().into_iter().flatten() {
        let (host, port) = endpoint(other)?;
        meta.set_free("endpoint_host_", name, host);
        meta.set_free("endpoint_port_", name, port.to_string());
    }
    Some(meta.finish())
}

/// A member of a service that Nerve looks after.
pub fn nerve(data: &[u8], path: &str) -> Option<Labels> {
    let member: Value = serde_json::from_slice(data).ok()?;
    let (host, port) = endpoint(&member)?;
    let mut meta = Meta::new("__meta_nerve_");
    meta.address(host_port(host, port))
        .set("path", path)
        .set("endpoint_host", host)
        .set("endpoint_port", port.to_string())
        .set("endpoint_name", text(field(&member, "name"))?);
    Some(meta.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(parse: Parse, data: &str, expected: &str) {
        let found = parse(data.as_bytes(), "/p/1");
        assert_eq!(found.map_or_else(|| "none".to_owned(), |labels| labels.to_string()), expected);
    }

    #[test]
    fn members() {
        check(
            serverset,
            r#"{"serviceEndpoint":{"host":"h","port":80},"additionalEndpoints":{"ad-min":{"host":"a",
            "port":81}},"status":"ALIVE","shard":3}"#,
            r#"{__address__="h:80", __meta_serverset_endpoint_host="h", __meta_serverset_endpoint_host_ad_min="a", __meta_serverset_endpoint_port="80", __meta_serverset_endpoint_port_ad_min="81", __meta_serverset_path="/p/1", __meta_serverset_shard="3", __meta_serverset_status="ALIVE"}"#,
        );
        check(
            nerve,
            r#"{"host":"h","port":80,"name":"n"}"#,
            r#"{__address__="h:80", __meta_nerve_endpoint_host="h", __meta_nerve_endpoint_name="n", __meta_nerve_endpoint_port="80", __meta_nerve_path="/p/1"}"#,
        );
    }

    #[test]
    fn other_nodes() {
        for data in ["", "x", "[]", "1", r#"{"host":1}"#, r#"{"port":"80"}"#, r#"{"name":[]}"#] {
            check(nerve, data, "none");
        }
        for data in
            [r#"{"shard":"1"}"#, r#"{"serviceEndpoint":[]}"#, r#"{"additionalEndpoints":{"a":1}}"#]
        {
            check(serverset, data, "none");
        }
        // As Prometheus: an object without any field is a member that listens nowhere.
        check(
            nerve,
            "{}",
            r#"{__address__=":0", __meta_nerve_endpoint_port="0", __meta_nerve_path="/p/1"}"#,
        );
    }
}

//! `kuma_sd_configs`: targets that Kuma's control plane assigns (MADS, version 1, over REST).
//!
//! The server holds an answer back until something changes or the fetch's time is over.
//!
//! Source: Prometheus `discovery/xds`.

use std::time::Duration;

use engine::model::Labels;
use serde_json::{Value, json};

use crate::config::KumaSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::{Api, Meta, Request, items, one_group, query, text};
use crate::discovery::stats::DiscoveryStats;

const TYPE_URL: &str = "type.googleapis.com/kuma.observability.v1.MonitoringAssignment";

/// What the server may take beyond the time that it is given.
const MARGIN: Duration = Duration::from_secs(15);

/// For how long the version of the last answer is told; as good as for ever.
const VERSION_LIFETIME: Duration = Duration::from_secs(365 * 86400);

pub async fn refresh(
    config: &KumaSdConfig,
    api: &mut Api,
    before: &[TargetGroup],
    stats: &DiscoveryStats,
) -> Result<Vec<TargetGroup>, String> {
    api.timeout = config.fetch_timeout.duration() + MARGIN;
    let timeout = config.fetch_timeout.to_string();
    let server = config.server.trim_end_matches('/');
    let asked = query([("fetch-timeout", timeout.as_str())]);
    let url = format!("{server}/v3/discovery:monitoringassignments{asked}");
    let known = |name: &str| api.memory.get(name).map_or_else(String::new, text);
    let mut body = json!({"node": {"id": client_id(config)}, "type_url": TYPE_URL});
    for name in ["version_info", "response_nonce"] {
        let value = known(name);
        if !value.is_empty() {
            body[name] = value.into();
        }
    }
    let reply = api.exchange(Request::post_json(url, &body)).await?;
    match reply.status {
        200 => {}
        304 => {
            stats.counts().kuma_skipped += 1;
            return Ok(before.to_vec());
        }
        status => return Err(format!("non 200 status '{status}' response during xDS fetch")),
    }
    let answer = reply.json()?;
    for (name, other) in [("version_info", "versionInfo"), ("response_nonce", "nonce")] {
        api.memory.put(name, text(either(&answer, other, name)), VERSION_LIFETIME);
    }
    let type_url = text(either(&answer, "typeUrl", "type_url"));
    if type_url != TYPE_URL {
        return Err(format!("received invalid typeURL for Kuma MADS v1 Resource: {type_url}"));
    }
    let targets = items(&answer["resources"]).iter().flat_map(targets);
    Ok(one_group("kuma", targets.collect()))
}

/// JSON of Protocol Buffers names a field in one of two ways.
fn either<'a>(value: &'a Value, camel: &str, snake: &str) -> &'a Value {
    value.get(camel).unwrap_or(&value[snake])
}

fn client_id(config: &KumaSdConfig) -> String {
    if !config.client_id.is_empty() {
        return config.client_id.clone();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => "prometheus".to_owned(),
        host => host.to_owned(),
    }
}

fn targets(assignment: &Value) -> Vec<Labels> {
    let target = |target: &Value| {
        let name = text(&target["name"]);
        let mut meta = Meta::new("__meta_kuma_");
        meta.set_all("label_", &target["labels"])
            .set_all("label_", &assignment["labels"])
            .set("mesh", text(&assignment["mesh"]))
            .set("service", text(&assignment["service"]))
            .set("dataplane", &name)
            .address(text(&target["address"]))
            .set_plain("instance", &name)
            .set_plain("__scheme__", text(&target["scheme"]))
            .set_plain("__metrics_path__", text(either(target, "metricsPath", "metrics_path")));
        meta.finish()
    };
    items(&assignment["targets"]).iter().map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    const SECTION: &str = "{server: SERVER/, client_id: me}";
    const FIRST: &str = "POST /v3/discovery:monitoringassignments?fetch-timeout=2m\n\
        {\"node\":{\"id\":\"me\"},\"type_url\":\
        \"type.googleapis.com/kuma.observability.v1.MonitoringAssignment\"}";

    async fn once(
        config: &KumaSdConfig,
        api: &mut Api,
        _: &str,
    ) -> Result<Vec<TargetGroup>, String> {
        refresh(config, api, &[], &DiscoveryStats::default()).await
    }

    #[test]
    fn assignments() {
        let answer = r#"{"versionInfo":"v1","nonce":"n1","typeUrl":
            "type.googleapis.com/kuma.observability.v1.MonitoringAssignment","resources":[{"@type":"x",
            "mesh":"m","service":"s","labels":{"a-b":"c"},"targets":[{"name":"d","scheme":"http",
            "address":"10.1.4.32:9090","metricsPath":"/m","labels":{"a-b":"lost","own":"o"}}]}]}"#;
        let again = "POST /v3/discovery:monitoringassignments?fetch-timeout=2m\n\
            {\"node\":{\"id\":\"me\"},\"type_url\":\
            \"type.googleapis.com/kuma.observability.v1.MonitoringAssignment\",\"version_info\":\"v1\",\
            \"response_nonce\":\"n1\"}";
        check_provider::<KumaSdConfig>(
            SECTION,
            &[(FIRST, answer), (again, "304")],
            async |config, api, _| {
                let stats = DiscoveryStats::default();
                let first = refresh(config, api, &[], &stats).await?;
                let second = refresh(config, api, &first, &stats).await?;
                assert_eq!((stats.counts().kuma_skipped, &second), (1, &first));
                Ok(second)
            },
            r#"
kuma {}
  {__address__="10.1.4.32:9090", __meta_kuma_dataplane="d", __meta_kuma_label_a_b="c", __meta_kuma_label_own="o", __meta_kuma_mesh="m", __meta_kuma_service="s", __metrics_path__="/m", __scheme__="http", instance="d"}"#,
        );
    }

    #[test]
    fn refusals() {
        check_provider(
            SECTION,
            &[(FIRST, "503")],
            once,
            "non 200 status '503' response during xDS fetch",
        );
        check_provider(
            SECTION,
            &[(FIRST, r#"{"typeUrl":"other"}"#)],
            once,
            "received invalid typeURL for Kuma MADS v1 Resource: other",
        );
    }
}

//! `msk_sd_configs`: brokers and controllers of the provisioned clusters of MSK.
//!
//! Source: Prometheus `discovery/aws/msk.go`; the MSK API.

use engine::model::Labels;
use serde_json::Value;

use super::{Places, Service, access};
use crate::config::MskSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::{Api, Meta, host_port, one_group, segment, text, texts};
use crate::log_warn;

pub async fn refresh(config: &MskSdConfig, api: &mut Api) -> Result<Vec<TargetGroup>, String> {
    let mut kafka = Service::new("kafka", &access!(config), api, &Places::default()).await?;
    let clusters = match config.clusters.is_empty() {
        true => {
            let only = ("clusterTypeFilter", "PROVISIONED");
            let found = list(&mut kafka, "api/v2/clusters", "clusterInfoList", &[only]).await;
            found.map_err(|why| format!("could not list clusters: {why}"))?
        }
        false => named(&mut kafka, &config.clusters).await?,
    };
    let mut targets = vec![];
    for cluster in &clusters {
        let arn = text(&cluster["clusterArn"]);
        let path = format!("v1/clusters/{}/nodes", segment(&arn));
        let nodes = list(&mut kafka, &path, "nodeInfoList", &[]).await;
        let nodes =
            nodes.map_err(|why| format!("could not list nodes for cluster {arn}: {why}"))?;
        targets.extend(nodes.iter().flat_map(|node| of_node(config, cluster, node)));
    }
    Ok(one_group(&kafka.region, targets))
}

/// All pages of a list.
async fn list(
    kafka: &mut Service<'_>,
    path: &str,
    key: &str,
    only: &[(&str, &str)],
) -> Result<Vec<Value>, String> {
    let (mut all, mut next) = (vec![], String::new());
    loop {
        let mut pairs = only.to_vec();
        pairs.push(("maxResults", "100"));
        if !next.is_empty() {
            pairs.push(("nextToken", &next));
        }
        let mut answer = kafka.get(path, &pairs).await?;
        if let Some(found) = answer[key].as_array_mut() {
            all.append(found);
        }
        next = text(&answer["nextToken"]);
        if next.is_empty() {
            return Ok(all);
        }
    }
}

async fn named(kafka: &mut Service<'_>, arns: &[String]) -> Result<Vec<Value>, String> {
    let mut clusters = vec![];
    for arn in arns {
        let answer = kafka.get(&format!("api/v2/clusters/{}", segment(arn)), &[]).await;
        let answer = answer.map_err(|why| format!("could not describe cluster {arn}: {why}"))?;
        let cluster = answer["clusterInfo"].clone();
        if cluster["clusterType"] == "PROVISIONED" {
            clusters.push(cluster);
        } else {
            let what =
                "Skipping non-provisioned MSK cluster, only provisioned clusters are supported";
            log_warn!(what, "cluster" = arn, "type" = text(&cluster["clusterType"]));
        }
    }
    Ok(clusters)
}

/// A target for each endpoint.
fn of_node(config: &MskSdConfig, cluster: &Value, node: &Value) -> Vec<Labels> {
    let (broker, controller) = (&node["brokerNodeInfo"], &node["controllerNodeInfo"]);
    let mut meta = Meta::new("__meta_msk_");
    meta.set_all("cluster_tag_", &cluster["tags"])
        .copy(
            cluster,
            &[
                ("cluster_name", "clusterName"),
                ("cluster_arn", "clusterArn"),
                ("cluster_state", "state"),
                ("cluster_type", "clusterType"),
                ("cluster_version", "currentVersion"),
                ("cluster_kafka_version", "provisioned.currentBrokerSoftwareInfo.kafkaVersion"),
                (
                    "cluster_configuration_arn",
                    "provisioned.currentBrokerSoftwareInfo.configurationArn",
                ),
                (
                    "cluster_configuration_revision",
                    "provisioned.currentBrokerSoftwareInfo.configurationRevision",
                ),
                (
                    "cluster_jmx_exporter_enabled",
                    "provisioned.openMonitoring.prometheus.jmxExporter.enabledInBroker",
                ),
            ],
        )
        .copy(
            node,
            &[
                ("node_arn", "nodeARN"),
                ("node_added_time", "addedToClusterTime"),
                ("node_instance_type", "instanceType"),
            ],
        );
    let (kind, info) = match (broker.is_null(), controller.is_null()) {
        (false, _) => ("broker", broker),
        (true, false) => ("controller", controller),
        (true, true) => return vec![],
    };
    meta.set("node_type", kind.to_uppercase());
    if kind == "broker" {
        meta.set(
            "broker_id",
            broker["brokerId"].as_f64().map_or_else(|| "0".to_owned(), |id| format!("{id:.0}")),
        )
        .copy(
            broker,
            &[
                ("node_attached_eni", "attachedENIId"),
                ("broker_client_subnet", "clientSubnet"),
                ("broker_client_vpc_ip", "clientVpcIpAddress"),
            ],
        )
        .copy(
            cluster,
            &[(
                "broker_node_exporter_enabled",
                "provisioned.openMonitoring.prometheus.nodeExporter.enabledInBroker",
            )],
        );
    }
    let endpoint = |(index, endpoint): (usize, String)| {
        let mut meta = meta.clone();
        meta.set(&format!("{kind}_endpoint_index"), index.to_string())
            .address(host_port(&endpoint, config.port));
        meta.finish()
    };
    texts(&info["endpoints"]).enumerate().map(endpoint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    const CLUSTER: &str = r#"{"clusterName":"n","clusterArn":"arn:x/1","state":"ACTIVE",
        "clusterType":"PROVISIONED","currentVersion":"K1","tags":{"a-b":"c"},"provisioned":{
        "currentBrokerSoftwareInfo":{"kafkaVersion":"3.6","configurationArn":"conf",
        "configurationRevision":2},"openMonitoring":{"prometheus":{"jmxExporter":{"enabledInBroker":true},
        "nodeExporter":{"enabledInBroker":false}}}}}"#;
    const NODES: &str = r#"{"nodeInfoList":[{"nodeARN":"node","addedToClusterTime":"t","instanceType":
        "kafka.m5","brokerNodeInfo":{"attachedENIId":"eni","brokerId":1.0,"clientSubnet":"sub",
        "clientVpcIpAddress":"10.0.0.1","endpoints":["b-1.test","b-2.test"]}},
        {"nodeARN":"ctl","controllerNodeInfo":{"endpoints":["c.test"]}},{"nodeARN":"other"}]}"#;
    const EXPECTED: &str = r#"
r1 {}
  {__address__="b-1.test:80", __meta_msk_broker_client_subnet="sub", __meta_msk_broker_client_vpc_ip="10.0.0.1", __meta_msk_broker_endpoint_index="0", __meta_msk_broker_id="1", __meta_msk_broker_node_exporter_enabled="false", __meta_msk_cluster_arn="arn:x/1", __meta_msk_cluster_configuration_arn="conf", __meta_msk_cluster_configuration_revision="2", __meta_msk_cluster_jmx_exporter_enabled="true", __meta_msk_cluster_kafka_version="3.6", __meta_msk_cluster_name="n", __meta_msk_cluster_state="ACTIVE", __meta_msk_cluster_tag_a_b="c", __meta_msk_cluster_type="PROVISIONED", __meta_msk_cluster_version="K1", __meta_msk_node_added_time="t", __meta_msk_node_arn="node", __meta_msk_node_attached_eni="eni", __meta_msk_node_instance_type="kafka.m5", __meta_msk_node_type="BROKER"}
  {__address__="b-2.test:80", __meta_msk_broker_client_subnet="sub", __meta_msk_broker_client_vpc_ip="10.0.0.1", __meta_msk_broker_endpoint_index="1", __meta_msk_broker_id="1", __meta_msk_broker_node_exporter_enabled="false", __meta_msk_cluster_arn="arn:x/1", __meta_msk_cluster_configuration_arn="conf", __meta_msk_cluster_configuration_revision="2", __meta_msk_cluster_jmx_exporter_enabled="true", __meta_msk_cluster_kafka_version="3.6", __meta_msk_cluster_name="n", __meta_msk_cluster_state="ACTIVE", __meta_msk_cluster_tag_a_b="c", __meta_msk_cluster_type="PROVISIONED", __meta_msk_cluster_version="K1", __meta_msk_node_added_time="t", __meta_msk_node_arn="node", __meta_msk_node_attached_eni="eni", __meta_msk_node_instance_type="kafka.m5", __meta_msk_node_type="BROKER"}
  {__address__="c.test:80", __meta_msk_cluster_arn="arn:x/1", __meta_msk_cluster_configuration_arn="conf", __meta_msk_cluster_configuration_revision="2", __meta_msk_cluster_jmx_exporter_enabled="true", __meta_msk_cluster_kafka_version="3.6", __meta_msk_cluster_name="n", __meta_msk_cluster_state="ACTIVE", __meta_msk_cluster_tag_a_b="c", __meta_msk_cluster_type="PROVISIONED", __meta_msk_cluster_version="K1", __meta_msk_controller_endpoint_index="0", __meta_msk_node_arn="ctl", __meta_msk_node_type="CONTROLLER"}"#;

    #[track_caller]
    fn check(more: &str, exchanges: &[(&str, &str)], expected: &str) {
        check_provider::<MskSdConfig>(
            &format!("{{endpoint: SERVER, region: r1, access_key: id, secret_key: s{more}}}"),
            exchanges,
            async |config, api, _| refresh(config, api).await,
            expected,
        );
    }

    #[test]
    fn nodes() {
        let list = format!(r#"{{"clusterInfoList":[{CLUSTER}],"nextToken":"a b"}}"#);
        check(
            "",
            &[
                (
                    "GET /api/v2/clusters?clusterTypeFilter=PROVISIONED&maxResults=100\n\
                     authorization: AWS4-HMAC-SHA256 Credential=id/",
                    &list,
                ),
                (
                    "GET /api/v2/clusters?clusterTypeFilter=PROVISIONED&maxResults=100&nextToken=a%20b",
                    "{}",
                ),
                ("GET /v1/clusters/arn%3Ax%2F1/nodes?maxResults=100", NODES),
            ],
            EXPECTED,
        );
    }

    #[test]
    fn named_clusters() {
        let one = format!(r#"{{"clusterInfo":{CLUSTER}}}"#);
        check(
            ", clusters: ['arn:x/1', serverless]",
            &[
                ("GET /api/v2/clusters/arn%3Ax%2F1", &one),
                (
                    "GET /api/v2/clusters/serverless",
                    r#"{"clusterInfo":{"clusterType":"SERVERLESS"}}"#,
                ),
                ("GET /v1/clusters/arn%3Ax%2F1/nodes?maxResults=100", NODES),
            ],
            EXPECTED,
        );
    }
}

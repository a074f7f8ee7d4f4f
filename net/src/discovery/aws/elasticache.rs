//! `elasticache_sd_configs`: nodes of cache clusters and serverless caches of ElastiCache.
//!
//! Source: Prometheus `discovery/aws/elasticache.go`; the ElastiCache Query API.

use engine::model::Labels;

use super::{Places, Service, access, parameters, whole_seconds};
use crate::config::ElasticacheSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::meta::Answer;
use crate::discovery::api::{Api, Meta, host_port, one_group};
use crate::discovery::xml::Element;
use crate::log_warn;

/// Version of the API.
const VERSION: &str = "2015-02-02";

/// Which field of a serverless cache makes which label.
const SERVERLESS: &[(&str, &str)] = &[
    ("arn", "ARN"),
    ("name", "ServerlessCacheName"),
    ("status", "Status"),
    ("engine", "Engine"),
    ("full_engine_version", "FullEngineVersion"),
    ("major_engine_version", "MajorEngineVersion"),
    ("description", "Description"),
    ("kms_key_id", "KmsKeyId"),
    ("user_group_id", "UserGroupId"),
    ("daily_snapshot_time", "DailySnapshotTime"),
    ("snapshot_retention_limit", "SnapshotRetentionLimit"),
    ("endpoint_address", "Endpoint.Address"),
    ("endpoint_port", "Endpoint.Port"),
    ("endpoint_reader_address", "ReaderEndpoint.Address"),
    ("endpoint_reader_port", "ReaderEndpoint.Port"),
    ("cache_usage_limit_data_storagemaximum", "CacheUsageLimits.DataStorage.Maximum"),
    ("cache_usage_limit_data_storageminimum", "CacheUsageLimits.DataStorage.Minimum"),
    ("cache_usage_limit_data_storageunit", "CacheUsageLimits.DataStorage.Unit"),
    ("cache_usage_limit_ecpu_per_secondmaximum", "CacheUsageLimits.ECPUPerSecond.Maximum"),
    ("cache_usage_limit_ecpu_per_secondminimum", "CacheUsageLimits.ECPUPerSecond.Minimum"),
];

/// Of a cluster.
const CLUSTER: &[(&str, &str)] = &[
    ("arn", "ARN"),
    ("cache_cluster_id", "CacheClusterId"),
    ("cache_cluster_status", "CacheClusterStatus"),
    ("at_rest_encryption_enabled", "AtRestEncryptionEnabled"),
    ("auth_token_enabled", "AuthTokenEnabled"),
    ("auto_minor_version_upgrade", "AutoMinorVersionUpgrade"),
    ("cache_node_type", "CacheNodeType"),
    ("cache_parameter_group", "CacheParameterGroup.CacheParameterGroupName"),
    ("cache_subnet_group_name", "CacheSubnetGroupName"),
    ("client_download_landing_page", "ClientDownloadLandingPage"),
    ("configuration_endpoint_address", "ConfigurationEndpoint.Address"),
    ("configuration_endpoint_port", "ConfigurationEndpoint.Port"),
    ("engine", "Engine"),
    ("engine_version", "EngineVersion"),
    ("ip_discovery", "IpDiscovery"),
    ("network_type", "NetworkType"),
    ("notification_topic_arn", "NotificationConfiguration.TopicArn"),
    ("notification_topic_status", "NotificationConfiguration.TopicStatus"),
    ("num_cache_nodes", "NumCacheNodes"),
    ("preferred_availability_zone", "PreferredAvailabilityZone"),
    ("preferred_maintenance_window", "PreferredMaintenanceWindow"),
    ("preferred_outpost_arn", "PreferredOutpostArn"),
    ("replication_group_id", "ReplicationGroupId"),
    ("replication_group_log_delivery_enabled", "ReplicationGroupLogDeliveryEnabled"),
    ("snapshot_retention_limit", "SnapshotRetentionLimit"),
    ("snapshot_window", "SnapshotWindow"),
    ("transit_encryption_enabled", "TransitEncryptionEnabled"),
    ("transit_encryption_mode", "TransitEncryptionMode"),
    ("pending_modified_values_auth_token_status", "PendingModifiedValues.AuthTokenStatus"),
    ("pending_modified_values_cache_node_type", "PendingModifiedValues.CacheNodeType"),
    ("pending_modified_values_engine_version", "PendingModifiedValues.EngineVersion"),
    ("pending_modified_values_num_cache_nodes", "PendingModifiedValues.NumCacheNodes"),
    (
        "pending_modified_values_transit_encryption_enabled",
        "PendingModifiedValues.TransitEncryptionEnabled",
    ),
    (
        "pending_modified_values_transit_encryption_mode",
        "PendingModifiedValues.TransitEncryptionMode",
    ),
];

/// Of each way by which a cluster delivers its log; the way's number stands at the end.
const LOG_DELIVERY: &[(&str, &str)] = &[
    ("destination_type", "DestinationType"),
    ("log_format", "LogFormat"),
    ("log_type", "LogType"),
    ("status", "Status"),
    ("message", "Message"),
    ("log_group", "DestinationDetails.CloudWatchLogsDetails.LogGroup"),
    ("delivery_stream", "DestinationDetails.KinesisFirehoseDetails.DeliveryStream"),
];

/// Of a node.
const NODE: &[(&str, &str)] = &[
    ("node_id", "CacheNodeId"),
    ("node_status", "CacheNodeStatus"),
    ("node_availability_zone", "CustomerAvailabilityZone"),
    ("node_customer_outpost_arn", "CustomerOutpostArn"),
    ("node_source_cache_node_id", "SourceCacheNodeId"),
    ("node_parameter_group_status", "ParameterGroupStatus"),
    ("node_endpoint_address", "Endpoint.Address"),
    ("node_endpoint_port", "Endpoint.Port"),
];

pub async fn refresh(
    config: &ElasticacheSdConfig,
    api: &mut Api,
) -> Result<Vec<TargetGroup>, String> {
    let mut service =
        Service::new("elasticache", &access!(config), api, &Places::default()).await?;
    let (serverless, clusters) = split(&config.clusters);
    let mut targets = vec![];
    let caches = serverless_caches(&mut service, &serverless).await;
    let caches = caches.map_err(|why| format!("failed to describe serverless caches: {why}"))?;
    let nodes = cache_clusters(&mut service, &clusters).await;
    let nodes = nodes.map_err(|why| format!("failed to describe cache clusters: {why}"))?;
    for cache in &caches {
        let tags = tags(&mut service, cache).await?;
        targets.push(serverless_target(cache, &tags));
    }
    for cluster in &nodes {
        let tags = tags(&mut service, cluster).await?;
        targets.extend(cluster_targets(cluster, &tags));
    }
    Ok(one_group(&service.region, targets))
}

/// Ids of serverless caches and of clusters among resource names,
/// `arn:aws:elasticache:region:account:kind:id`.
fn split(arns: &[String]) -> (Vec<&str>, Vec<&str>) {
    let (mut serverless, mut clusters) = (vec![], vec![]);
    for arn in arns.iter().filter(|arn| !arn.is_empty()) {
        let parts: Vec<&str> = arn.split(':').collect();
        match (parts.get(5), parts.get(6)) {
            (Some(&"serverlesscache"), Some(id)) => serverless.push(*id),
            (Some(&"replicationgroup"), Some(id)) => clusters.push(*id),
            (Some(_), Some(_)) => {}
            _ => log_warn!("Skipping invalid ElastiCache ARN", "arn" = arn),
        }
    }
    (serverless, clusters)
}

async fn serverless_caches(
    service: &mut Service<'_>,
    ids: &[&str],
) -> Result<Vec<Element>, String> {
    let action = "DescribeServerlessCaches";
    let list =
        List { action, key: "ServerlessCaches", size: ("MaxResults", "50"), next: "NextToken" };
    if ids.is_empty() {
        return list.all(service, &[]).await;
    }
    let mut caches = vec![];
    for id in ids {
        caches.extend(list.all(service, &[("ServerlessCacheName", id)]).await?);
    }
    Ok(caches)
}

/// Those of replication groups, then the others. The first list may have others too: each counts once.
async fn cache_clusters(service: &mut Service<'_>, ids: &[&str]) -> Result<Vec<Element>, String> {
    let action = "DescribeCacheClusters";
    let list = List { action, key: "CacheClusters", size: ("MaxRecords", "100"), next: "Marker" };
    let names: Vec<Option<&str>> =
        if ids.is_empty() { vec![None] } else { ids.iter().map(|id| Some(*id)).collect() };
    let mut clusters: Vec<Element> = vec![];
    for name in names {
        for alone in ["false", "true"] {
            let mut asked = vec![
                ("ShowCacheNodeInfo", "true"),
                ("ShowCacheClustersNotInReplicationGroups", alone),
            ];
            asked.extend(name.map(|name| ("CacheClusterId", name)));
            for found in list.all(service, &asked).await? {
                let is_same = |known: &Element| known.text_of("ARN") == found.text_of("ARN");
                if !clusters.iter().any(is_same) {
                    clusters.push(found);
                }
            }
        }
    }
    Ok(clusters)
}

/// An action that gives a list in pages.
struct List {
    action: &'static str,
    key: &'static str,
    size: (&'static str, &'static str),
    /// Name of the next page's mark.
    next: &'static str,
}

impl List {
    async fn all(
        &self,
        service: &mut Service<'_>,
        asked: &[(&str, &str)],
    ) -> Result<Vec<Element>, String> {
        let (mut all, mut next) = (vec![], String::new());
        loop {
            let mut pairs = vec![self.size];
            pairs.extend_from_slice(asked);
            if !next.is_empty() {
                pairs.push((self.next, &next));
            }
            let answer = service.query(VERSION, self.action, &parameters(pairs)).await?;
            let result = answer.child(&format!("{}Result", self.action));
            let list = result.and_then(|result| result.child(self.key));
            all.extend(list.into_iter().flat_map(|list| &list.children).cloned());
            next = result.map_or_else(String::new, |result| result.text_of(self.next));
            if next.is_empty() {
                return Ok(all);
            }
        }
    }
}

/// Names and values of a resource's tags.
async fn tags(service: &mut Service<'_>, of: &Element) -> Result<Vec<(String, String)>, String> {
    let arn = of.text_of("ARN");
    if arn.is_empty() {
        return Ok(vec![]);
    }
    let asked = parameters([("ResourceName", arn.as_str())]);
    let answer = service.query(VERSION, "ListTagsForResource", &asked).await;
    let answer = answer.map_err(|why| {
        format!("failed to list tags for resources: failed to list tags for resource {arn}: {why}")
    })?;
    let result = answer.child("ListTagsForResourceResult");
    let list = result.and_then(|result| result.child("TagList")).map_or(&[][..], |l| &l.children);
    Ok(list.iter().map(|tag| (tag.text_of("Key"), tag.text_of("Value"))).collect())
}

fn children<'a>(element: &'a Element, name: &str) -> &'a [Element] {
    element.child(name).map_or(&[], |list| &list.children)
}

fn serverless_target(cache: &Element, tags: &[(String, String)]) -> Labels {
    let mut meta = Meta::new("__meta_elasticache_serverless_cache_");
    meta.set_plain("__meta_elasticache_deployment_option", "serverless")
        .copy(cache, SERVERLESS)
        .set("create_time", whole_seconds(&cache.text_of("CreateTime")));
    for (name, list) in [("security_group_id", "SecurityGroupIds"), ("subnet_id", "SubnetIds")] {
        for (index, id) in children(cache, list).iter().enumerate() {
            meta.set(&format!("{name}_{index}"), &id.text);
        }
    }
    for (key, value) in tags {
        meta.set_free("tag_", key, value);
    }
    set_endpoint(&mut meta, cache);
    meta.finish()
}

fn set_endpoint(meta: &mut Meta, of: &Element) {
    let (host, port) = (of.text_of("Endpoint.Address"), of.text_of("Endpoint.Port"));
    if !host.is_empty() && !port.is_empty() {
        meta.address(host_port(&host, port));
    }
}

/// One for each node.
fn cluster_targets(cluster: &Element, tags: &[(String, String)]) -> Vec<Labels> {
    let mut common = Meta::new("__meta_elasticache_cache_cluster_");
    common.set_plain("__meta_elasticache_deployment_option", "node").copy(cluster, CLUSTER);
    for (name, path) in [
        ("auth_token_last_modified", "AuthTokenLastModifiedDate"),
        ("cache_cluster_create_time", "CacheClusterCreateTime"),
    ] {
        common.set(name, whole_seconds(&cluster.text_of(path)));
    }
    for (index, delivery) in children(cluster, "LogDeliveryConfigurations").iter().enumerate() {
        for (name, path) in LOG_DELIVERY {
            let name = format!("log_delivery_configuration_{name}_{index}");
            common.set(&name, delivery.text_of(path));
        }
    }
    let pending = cluster.child("PendingModifiedValues");
    let removed = pending.map_or(&[][..], |pending| children(pending, "CacheNodeIdsToRemove"));
    let removed: Vec<&str> = removed.iter().map(|id| id.text.as_str()).collect();
    common.set("pending_modified_values_cache_node_ids_to_remove", removed.join(","));
    for (index, group) in children(cluster, "SecurityGroups").iter().enumerate() {
        for (name, path) in [("id", "SecurityGroupId"), ("status", "Status")] {
            let name = format!("security_group_membership_{name}_{index}");
            common.set(&name, group.text_of(path));
        }
    }
    for (key, value) in tags {
        common.set_free("tag_", key, value);
    }
    let target = |node: &Element| {
        let mut meta = common.clone();
        meta.copy(node, NODE)
            .set("node_create_time", whole_seconds(&node.text_of("CacheNodeCreateTime")));
        set_endpoint(&mut meta, node);
        meta.finish()
    };
    children(cluster, "CacheNodes").iter().map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    const CACHE: &str = "200\n<R><DescribeServerlessCachesResult><ServerlessCaches><member><ARN>\
        arn:s</ARN><ServerlessCacheName>s</ServerlessCacheName><CreateTime>2024-01-02T03:04:05.1Z\
        </CreateTime><Endpoint><Address>s.test</Address><Port>6379</Port></Endpoint><SecurityGroupIds>\
        <SecurityGroupId>sg</SecurityGroupId></SecurityGroupIds><CacheUsageLimits><DataStorage><Maximum>\
        10</Maximum><Unit>GB</Unit></DataStorage></CacheUsageLimits></member></ServerlessCaches>\
        </DescribeServerlessCachesResult></R>";
    const CLUSTERS: &str = "200\n<R><DescribeCacheClustersResult><CacheClusters><CacheCluster><ARN>\
        arn:c</ARN><CacheClusterId>c</CacheClusterId><Engine>redis</Engine><SecurityGroups><member>\
        <SecurityGroupId>sg</SecurityGroupId><Status>active</Status></member></SecurityGroups>\
        <LogDeliveryConfigurations><LogDeliveryConfiguration><LogType>slow</LogType><DestinationDetails>\
        <CloudWatchLogsDetails><LogGroup>g</LogGroup></CloudWatchLogsDetails></DestinationDetails>\
        </LogDeliveryConfiguration></LogDeliveryConfigurations><CacheNodes><CacheNode><CacheNodeId>0001\
        </CacheNodeId><Endpoint><Address>c.test</Address><Port>6380</Port></Endpoint></CacheNode>\
        </CacheNodes></CacheCluster></CacheClusters></DescribeCacheClustersResult></R>";
    const TAGS: &str = "200\n<R><ListTagsForResourceResult><TagList><Tag><Key>a-b</Key><Value>c</Value>\
        </Tag></TagList></ListTagsForResourceResult></R>";
    const NO_TAGS: &str = "200\n<R><ListTagsForResourceResult/></R>";
    const EXPECTED: &str = r#"
r1 {}
  {__address__="s.test:6379", __meta_elasticache_deployment_option="serverless", __meta_elasticache_serverless_cache_arn="arn:s", __meta_elasticache_serverless_cache_cache_usage_limit_data_storagemaximum="10", __meta_elasticache_serverless_cache_cache_usage_limit_data_storageunit="GB", __meta_elasticache_serverless_cache_create_time="2024-01-02T03:04:05Z", __meta_elasticache_serverless_cache_endpoint_address="s.test", __meta_elasticache_serverless_cache_endpoint_port="6379", __meta_elasticache_serverless_cache_name="s", __meta_elasticache_serverless_cache_security_group_id_0="sg", __meta_elasticache_serverless_cache_tag_a_b="c"}
  {__address__="c.test:6380", __meta_elasticache_cache_cluster_arn="arn:c", __meta_elasticache_cache_cluster_cache_cluster_id="c", __meta_elasticache_cache_cluster_engine="redis", __meta_elasticache_cache_cluster_log_delivery_configuration_log_group_0="g", __meta_elasticache_cache_cluster_log_delivery_configuration_log_type_0="slow", __meta_elasticache_cache_cluster_node_endpoint_address="c.test", __meta_elasticache_cache_cluster_node_endpoint_port="6380", __meta_elasticache_cache_cluster_node_id="0001", __meta_elasticache_cache_cluster_security_group_membership_id_0="sg", __meta_elasticache_cache_cluster_security_group_membership_status_0="active", __meta_elasticache_deployment_option="node"}"#;

    #[test]
    fn caches() {
        let asked = "POST /\n=Action=DescribeCacheClusters&Version=2015-02-02&MaxRecords=100\
                     &ShowCacheNodeInfo=true&ShowCacheClustersNotInReplicationGroups=";
        let [grouped, alone] = ["false", "true"].map(|alone| format!("{asked}{alone}"));
        let tags = |arn| {
            format!("POST /\n=Action=ListTagsForResource&Version=2015-02-02&ResourceName={arn}")
        };
        check_provider::<ElasticacheSdConfig>(
            "{endpoint: SERVER, region: r1, access_key: id, secret_key: s}",
            &[
                (
                    "POST /\nauthorization: AWS4-HMAC-SHA256 Credential=id/\n\
                     =Action=DescribeServerlessCaches&Version=2015-02-02&MaxResults=50",
                    CACHE,
                ),
                (&grouped, CLUSTERS),
                (&alone, CLUSTERS),
                (&tags("arn%3As"), TAGS),
                (&tags("arn%3Ac"), NO_TAGS),
            ],
            async |config, api, _| refresh(config, api).await,
            EXPECTED,
        );
    }

    #[test]
    fn resource_names() {
        let arns = [
            "arn:aws:elasticache:r:1:serverlesscache:s",
            "arn:aws:elasticache:r:1:replicationgroup:g",
            "x",
        ];
        let arns = arns.map(str::to_owned);
        assert_eq!(split(&arns), (vec!["s"], vec!["g"]));
    }
}
